//! What is said between the cloud, a board's node, and people: types, no input or output.
//!
//! A tenant signs a [`Command`] ([`SignedCommand`]); a node verifies it and takes the task through its [`State`]s,
//! tells of each in an [`Event`], and ends with a [`Report`]. [`NodeState`] says what a board has. Read [`command`]
//! first, then [`state`].
//!
//! All of it is JSON, and strict: an unknown field, a field that is there twice, and a version of the format that is
//! not known are refused, each by its name. What is signed are bytes, not JSON ([`envelope`]): the text that the
//! tenant wrote is kept as it is, inside an envelope, so no two programs need to agree on a canonical form.
//! [`document::encode`] still writes equal values as equal bytes, so that a digest of what this crate wrote is a name
//! for it.

#![forbid(unsafe_code)]

mod access;
pub mod api;
pub mod command;
pub mod document;
pub mod envelope;
mod figures;
mod key;
mod name;
mod node_state;
mod parameters;
mod report;
pub mod schema;
mod signed_command;
pub mod state;
mod tenant;
mod time;
mod version;

pub use access::{ACCESS_TYPE, Access, AccessRefusal, LONGEST_ACCESS, Purpose};
pub use command::Command;
pub use document::{Document, DocumentError};
pub use envelope::{Envelope, EnvelopeError};
pub use figures::{CheckpointState, Figures, FiguresError};
pub use key::{KeyError, PublicKey, SecretKey};
pub use name::{CommandId, Digest, NameError, NodeName, ParameterName, Repository, SensorPattern, TaskName, Tenant};
pub use node_state::{Event, GuestState, NodeState};
pub use parameters::Parameters;
pub use report::{Outcome, Report};
pub use signed_command::{CommandRefusal, SignedCommand, Verified};
pub use state::{Failure, Phase, State};
pub use tenant::{Cpu, Quota, TenantError, TenantRecord, Usage};
pub use time::Timestamp;
pub use version::Version;
