//! What a node's interface answers, beside the documents that have a module of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CommandId, Digest, Document, NodeName, Quota, State, TaskName, Tenant, Timestamp, Usage};

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// What is at fault, with the numbers.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Document for Problem {
    const NAME: &'static str = "problem";
    const MOST_BYTES: usize = 64 * 1024;
}

/// Who answers: what a tenant must know before it can prove who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The node's name, which an access names.
    pub node: NodeName,
    /// The version of its program.
    pub version: String,
}

impl Document for About {
    const NAME: &'static str = "answer to who this is";
    const MOST_BYTES: usize = 4096;
}

/// A command as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandStatus {
    /// Whose it is.
    pub tenant: Tenant,
    /// Which.
    pub command: CommandId,
    /// How far it is.
    pub state: State,
    /// Why it waits, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The task's name, once it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskName>,
    /// The artifact's index.
    pub task_digest: Digest,
    /// Its guest's memory, once the task was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// The higher one goes first.
    pub priority: u8,
    /// How often a guest was started for it.
    pub attempts: u32,
    /// When the node had it on disk.
    pub accepted: Timestamp,
    /// When its last guest started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

impl Document for CommandStatus {
    const NAME: &'static str = "command's status";
    const MOST_BYTES: usize = 64 * 1024;
}

/// Commands: those that have not ended in the order in which they came, then ended ones, the last one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandList {
    /// The commands.
    pub commands: Vec<CommandStatus>,
}

impl Document for CommandList {
    const NAME: &'static str = "list of commands";
    const MOST_BYTES: usize = 64 * 1024 * 1024;
}

/// A task that the node keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskStatus {
    /// The artifact's index.
    pub digest: Digest,
    /// Whose it is.
    pub tenant: Tenant,
    /// Its name.
    pub task: TaskName,
    /// Its version.
    pub version: String,
    /// The id of the key that had signed it.
    pub signed_by: String,
    /// The memory that its guest needs at least.
    pub memory_mib: u32,
    /// The length of the image for this node's CPU.
    pub image_bytes: u64,
}

/// Tasks, the one that was used last at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskList {
    /// The tasks.
    pub tasks: Vec<TaskStatus>,
}

impl Document for TaskList {
    const NAME: &'static str = "list of tasks";
    const MOST_BYTES: usize = 16 * 1024 * 1024;
}

/// A tenant and what it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantStatus {
    /// Its name.
    pub tenant: Tenant,
    /// The ids of its keys.
    pub keys: Vec<String>,
    /// What it may use.
    pub quota: Quota,
    /// What it uses.
    pub usage: Usage,
}

/// Tenants by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantList {
    /// The tenants.
    pub tenants: Vec<TenantStatus>,
}

impl Document for TenantList {
    const NAME: &'static str = "list of tenants";
    const MOST_BYTES: usize = 16 * 1024 * 1024;
}

impl Document for TenantStatus {
    const NAME: &'static str = "tenant's status";
    const MOST_BYTES: usize = 64 * 1024;
}
