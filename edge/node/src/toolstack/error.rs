//! Why something could not be done with a guest.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::GuestId;

/// Why something could not be done.
#[derive(Debug, Error)]
pub enum Error {
    /// A process could not be started or waited for.
    #[error("{command}: {source}")]
    Run {
        /// Which.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A process failed.
    #[error("{command} failed with status {status}: {said}")]
    Failed {
        /// Which.
        command: String,
        /// Its status; 128 and the signal when a signal ended it.
        status: i32,
        /// The end of what it said.
        said: String,
    },
    /// A process did not end.
    #[error("{command} did not end within {patience:?} and was killed (process {process}): {said}")]
    Hung {
        /// Which.
        command: String,
        /// Its number.
        process: u32,
        /// How long it was waited for.
        patience: Duration,
        /// The end of what it said.
        said: String,
    },
    /// A process printed what it should not.
    #[error("{command} printed {read:?}: {why}")]
    Garbage {
        /// Which.
        command: String,
        /// What it printed.
        read: String,
        /// What is wrong with it.
        why: String,
    },
    /// The lock that all nodes of a board share.
    #[error("the lock {}: {source}", .path.display())]
    Lock {
        /// Its file.
        path: PathBuf,
        /// Why it cannot be had.
        source: io::Error,
    },
    /// Xen refuses a hypercall.
    #[error(transparent)]
    Xen(#[from] privcmd::Error),
    /// xenstored refuses or does not answer.
    #[error(transparent)]
    Store(#[from] xenstore::Error),
    /// The guest's network card does not come to its bridge.
    #[error("the network card: {0}")]
    Card(String),
    /// The guest cannot be made like this.
    #[error("{0}")]
    Unsuitable(String),
    /// There is no such guest.
    #[error("there is no guest {0}")]
    NoGuest(GuestId),
}
