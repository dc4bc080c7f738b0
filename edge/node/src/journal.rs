//! What a node knows of its commands, wherever it is kept.

use protocol::Timestamp;
use thiserror::Error;

use crate::{Entry, Key, Saved};

/// Why the journal cannot be used.
#[derive(Debug, Error)]
#[error("the journal: {0}")]
pub struct JournalError(String);

impl JournalError {
    /// With this reason.
    #[must_use]
    pub fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// Where entries are kept.
pub trait Journal {
    /// The entries that have not ended, in the order in which they came.
    ///
    /// # Errors
    /// They cannot be read.
    fn entries(&self) -> Result<Vec<Entry>, JournalError>;

    /// An entry that has ended and is still known.
    ///
    /// # Errors
    /// It cannot be read.
    fn ended(&self, key: &Key) -> Result<Option<Entry>, JournalError>;

    /// The number that the next new entry has.
    ///
    /// # Errors
    /// It cannot be read.
    fn next_number(&self) -> Result<u64, JournalError>;

    /// Writes an entry in place of the one of the same command, and what its task has saved, where that is new: both or
    /// nothing. With the entry of a command that has ended goes what its task had saved. When this returns it is on
    /// disk.
    ///
    /// # Errors
    /// It could not be written; then the old one is still there.
    fn record(&mut self, entry: &Entry, saved: Option<&Saved>, now: Timestamp) -> Result<(), JournalError>;

    /// What a command's task has saved last.
    ///
    /// # Errors
    /// It cannot be read.
    fn saved(&self, key: &Key) -> Result<Option<Saved>, JournalError>;

    /// Writes what a command's task has saved in place of what it had saved before, or removes that.
    ///
    /// # Errors
    /// It could not be written; then what was there before still is.
    fn save(&mut self, key: &Key, saved: Option<&Saved>) -> Result<(), JournalError>;
}
