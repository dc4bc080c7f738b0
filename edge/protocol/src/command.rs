//! A command: a tenant's wish that a task runs, with all that the node must know to run it.
//!
//! The papers call it MTW. A tenant writes it once and signs it ([`crate::SignedCommand`]); the node that gets it
//! checks every field before anything starts. Choices are written as JSON objects with one key (`{"again": {...}}`)
//! or as a word (`"give_up"`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CommandId, Digest, Document, Parameters, Repository, SensorPattern, Tenant, Timestamp, Version};

/// A tenant's wish that a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The format's version.
    pub version: Version<1>,
    /// Whose command it is; its signature must be by a key of this tenant.
    pub tenant: Tenant,
    /// Its name among those of the tenant. A second command of the same id with the same content is the same command,
    /// whenever it was signed; with other content it is refused.
    pub id: CommandId,
    /// When it was signed. A node refuses commands that are older than its memory of ended ones.
    pub issued: Timestamp,
    /// What runs.
    pub task: Task,
    /// The task's parameters, checked against the schema in its artifact before anything starts.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub parameters: Parameters,
    /// The data it is to get; none for a task that fetches its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    /// The guest's memory.
    pub memory: Memory,
    /// How long it lives.
    #[serde(default)]
    pub lifetime: Lifetime,
    /// Which command goes first when not all can: the higher one; of the same priority the one with the earlier
    /// deadline, then the one that came first.
    #[serde(default)]
    pub priority: u8,
    /// When its result must be there. A command that cannot make it any more is expired and not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The longest that the guest may run, in seconds, from its start; no end for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub longest_run_seconds: Option<std::num::NonZeroU32>,
    /// What happens when the guest crashes.
    #[serde(default)]
    pub on_crash: OnCrash,
    /// Where its result goes.
    #[serde(default)]
    pub result: Destination,
}

impl Command {
    /// Whether another one asks for the same, by the same name: who had no answer may have signed it once more.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Self { issued: other.issued, ..self.clone() } == *other
    }
}

fn is_empty(parameters: &Parameters) -> bool {
    parameters.0.is_empty()
}

impl Document for Command {
    const NAME: &'static str = "command";
    const MOST_BYTES: usize = 64 * 1024;
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The artifact's index: what is run is exactly this.
    pub digest: Digest,
    /// Where it can be fetched when the node does not have it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
}

/// The data that a task is to get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Which sensors: those that any of these names.
    #[schemars(length(min = 1, max = 64))]
    pub sensors: Vec<Sensors>,
    /// Which of their readings.
    pub window: Window,
    /// The most readings a second, of all sensors together.
    #[schemars(range(min = 1))]
    pub most_readings_per_second: std::num::NonZeroU32,
}

/// Sensors that all that is said here is true of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sensors {
    /// Their names.
    pub name: SensorPattern,
    /// What they measure, such as `temperature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SensorPattern>,
    /// The unit they measure in, such as `Cel` (RFC 8428).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<SensorPattern>,
    /// Where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<SensorPattern>,
}

/// Which readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Window {
    /// From the start on, until the task ends.
    Live,
    /// Those with a time from `from` up to and without `until`.
    Past {
        /// The first time.
        from: Timestamp,
        /// The first time that is too late.
        until: Timestamp,
    },
}

/// A guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Memory {
    /// So many MiB, all of them the guest's.
    Mib(#[schemars(range(min = 1))] std::num::NonZeroU32),
    /// What the artifact says that the contract's data need.
    WhatTheContractNeeds,
}

/// How long a command lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Lifetime {
    /// One run; its end is the command's end.
    #[default]
    Ephemeral,
    /// Until it is cancelled: it runs again after the board was off.
    Persistent,
}

/// What happens when a guest crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OnCrash {
    /// The command has failed.
    #[default]
    GiveUp,
    /// It starts again, after pauses that double from the first to the longest.
    Again {
        /// How often at most.
        times: u16,
        /// The first pause, in seconds.
        first_pause_seconds: u32,
        /// The longest pause, in seconds.
        longest_pause_seconds: u32,
    },
}

/// Where a result goes. Wherever that is, the node keeps it until it was taken there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Destination {
    /// It stays on the node until someone fetches it.
    #[default]
    Node,
    /// It is written to the node's folder for results, as `<tenant>/<id>.json`.
    File,
    /// It is sent by HTTP POST.
    Http {
        /// `http://` or `https://`.
        #[schemars(length(max = 2000))]
        url: String,
    },
    /// It is published with QoS 1 by the node's MQTT broker.
    Mqtt {
        /// The topic.
        #[schemars(length(max = 1000))]
        topic: String,
    },
}
