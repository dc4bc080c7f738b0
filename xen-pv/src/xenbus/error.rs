//! Why a device cannot be used.

use core::fmt;

use crate::xenstore::ErrorKind;
use crate::{grant_table, hypervisor};

/// A device cannot be used.
///
/// The nodes that it names lie in the device's directory or its backend's, but for the directory of all devices of its
/// kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The store refused a request for this node.
    Store(ErrorKind, &'static str),
    /// The value of this node is not what belongs there.
    BadValue(&'static str),
    /// The backend cannot do what this node would announce.
    Lacking(&'static str),
    /// The grant table has no room.
    Grant(grant_table::Error),
    /// The hypervisor gave no event channel.
    Event(hypervisor::Error),
    /// No memory is left for buffers.
    NoMemory,
    /// The backend has kept too many pages of former connections.
    Quarantine,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, of) = match self {
            Self::Store(kind, leaf) => (kind.name(), *leaf),
            Self::BadValue(leaf) => ("bad value", *leaf),
            Self::Lacking(leaf) => ("the backend lacks it", *leaf),
            Self::Grant(_) => ("the grant table is full", ""),
            Self::Event(error) => (error.name(), "event channel"),
            Self::NoMemory => ("no memory for buffers", ""),
            Self::Quarantine => ("the backend keeps the pages of former connections", ""),
        };
        for part in [of, if of.is_empty() { "" } else { ": " }, what] {
            formatter.write_str(part)?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {}

impl From<grant_table::Error> for Error {
    fn from(error: grant_table::Error) -> Self {
        Self::Grant(error)
    }
}

impl From<hypervisor::Error> for Error {
    fn from(error: hypervisor::Error) -> Self {
        Self::Event(error)
    }
}
