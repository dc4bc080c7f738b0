//! What comes back from a command.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CommandId, Digest, Document, Failure, NodeName, TaskName, Tenant, Timestamp, Version};

/// A command's end, with all that is needed to judge its result without the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The format's version.
    pub version: Version<1>,
    /// Where it ran.
    pub node: NodeName,
    /// Whose command it was.
    pub tenant: Tenant,
    /// Which.
    pub command: CommandId,
    /// The signed command's payload: this very content was run.
    pub command_digest: Digest,
    /// What ran; none when it could not be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskName>,
    /// The artifact's index.
    pub task_digest: Digest,
    /// The image that was booted, for this node's CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Digest>,
    /// The data that it was given; none when it fetched its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_digest: Option<Digest>,
    /// How often a guest was started for it.
    pub attempts: u32,
    /// When the node had it on disk.
    pub accepted: Timestamp,
    /// When its last guest started; none when none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// How.
    pub outcome: Outcome,
}

impl Document for Report {
    const NAME: &'static str = "report";
    // A result in base64 of about 3 MiB, and everything around it.
    const MOST_BYTES: usize = 4 * 1024 * 1024;
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// With a result.
    Finished {
        /// What the task wrote: postcard, as base64. The schema in the artifact says of what type.
        postcard: String,
        /// The same for people and for programs that have no schema: each field by its path, `sensors.0.mean`.
        fields: BTreeMap<String, String>,
    },
    /// Without one.
    Failed(Failure),
    /// Taken back.
    Cancelled,
    /// Too late to start.
    Expired,
}
