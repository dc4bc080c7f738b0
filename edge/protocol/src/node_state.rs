//! What a board has and what goes on there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CheckpointState, CommandId, Digest, Document, Figures, NodeName, State, TaskName, Tenant, Timestamp, Version,
};

/// A board as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeState {
    /// The format's version.
    pub version: Version<1>,
    /// The board's name.
    pub node: NodeName,
    /// When this was true.
    pub at: Timestamp,
    /// Its CPU, as OCI writes it: `amd64`, `arm`, `arm64`.
    pub architecture: String,
    /// The hypervisor's version, such as `4.17`.
    pub xen: String,
    /// Memory that Xen has not given to anyone, in KiB.
    pub memory_free_kib: u64,
    /// The part of it that the node does not give to guests, in KiB.
    pub memory_reserve_kib: u64,
    /// Commands that wait.
    pub queued: u32,
    /// Guests of the node, dead ones that still hold memory among them.
    pub guests: Vec<GuestState>,
}

impl Document for NodeState {
    const NAME: &'static str = "node state";
    const MOST_BYTES: usize = 1024 * 1024;
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestState {
    /// Whose it is.
    pub tenant: Tenant,
    /// The command it runs for.
    pub command: CommandId,
    /// What it runs.
    pub task: TaskName,
    /// The artifact's index.
    pub task_digest: Digest,
    /// Xen's number for it.
    pub domid: u16,
    /// The guest's own memory, in KiB.
    pub memory_kib: u64,
    /// CPU time since its start, in milliseconds.
    pub cpu_milliseconds: u64,
    /// When it started.
    pub started: Timestamp,
    /// What it counted a while ago; none before it was asked, and when it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    /// What of its task's state outlasts the board's power; none before that was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointState>,
}

/// A command has come to a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The format's version.
    pub version: Version<1>,
    /// Counts the node's events without a gap, over restarts: who has seen one asks for those after it.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Whose command.
    pub tenant: Tenant,
    /// Which.
    pub command: CommandId,
    /// The state.
    pub state: State,
}

impl Document for Event {
    const NAME: &'static str = "event";
    const MOST_BYTES: usize = 64 * 1024;
}
