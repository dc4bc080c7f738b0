//! Why a call was not done: a status of HTTP, what is at fault, and what to do.

use protocol::api::Problem;

use crate::{JournalError, Key, NodeError};

/// A call that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) problem: Problem,
}

impl Refused {
    pub(super) fn new(status: u16, problem: impl ToString, remedy: &str) -> Self {
        Self { status, problem: Problem { problem: problem.to_string(), remedy: remedy.to_owned() } }
    }

    /// There is no such command, or it is none of the caller's business: which of the two is not said.
    pub(super) fn unknown(key: &Key) -> Self {
        Self::new(404, format!("command {key} is not known here"), "see `spore ps --all` for those that are")
    }

    /// The caller has no right to this.
    pub(super) fn not_allowed(problem: impl ToString) -> Self {
        Self::new(403, problem, "ask the board's operator")
    }
}

impl From<JournalError> for Refused {
    fn from(error: JournalError) -> Self {
        Self::new(507, error, "nothing was done; make room on the disk that holds the node's state, then try again")
    }
}

impl From<NodeError> for Refused {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Journal(error) => error.into(),
            NodeError::OtherContent(_) => Self::new(409, error, "choose another id"),
            NodeError::Unknown(key) => Self::unknown(&key),
            NodeError::Ended(_) => Self::new(409, error, "take its result, or remove it with `spore rm`"),
            NodeError::Toolstack { .. } => Self::new(503, error, "see the node's log and `spore doctor`"),
        }
    }
}
