//! Does what [`crate::reconcile`] says.

use protocol::{State, Tenant, Timestamp, Verified};
use thiserror::Error;

use crate::admission::Quota;
use crate::reconcile::{self, Action, Observed};
use crate::{Entry, GuestId, Journal, JournalError, Key, Toolstack};

/// Why a node could not do something.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The journal failed: nothing was done that is not in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The toolstack failed; the next turn tries again.
    #[error("{what}: {reason}")]
    Toolstack {
        /// What was tried.
        what: String,
        /// What it said.
        reason: String,
    },
    /// Another command of the same name.
    #[error("command {0} is known with other content: choose another id")]
    OtherContent(Key),
    /// No such command.
    #[error("command {0} is not known here")]
    Unknown(Key),
    /// It has ended.
    #[error("command {0} has ended already")]
    Ended(Key),
}

/// A board's orchestrator.
#[derive(Debug)]
pub struct Node<J, T> {
    journal: J,
    toolstack: T,
    entries: Vec<Entry>,
    boot: String,
    reserve_kib: u64,
}

impl<J: Journal, T: Toolstack> Node<J, T> {
    /// A node with what its journal knows, during this boot of the board; `reserve_kib` of Xen's memory are not given
    /// to guests.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn new(journal: J, toolstack: T, boot: &str, reserve_kib: u64) -> Result<Self, NodeError> {
        let entries = journal.entries()?;
        Ok(Self { journal, toolstack, entries, boot: boot.to_owned(), reserve_kib })
    }

    /// What is known of all commands.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Takes an admitted command, whose guest is to have this much memory. Once more the same one is the same command.
    ///
    /// # Errors
    /// A command of this name with other content is known, or the journal fails.
    pub fn accept(&mut self, verified: &Verified, memory_mib: u32, now: Timestamp) -> Result<&Entry, NodeError> {
        let command = verified.command().clone();
        let key = Key { tenant: command.tenant.clone(), id: command.id.clone() };
        if let Some(position) = self.position(&key) {
            let known = &self.entries[position];
            return if known.command_digest == verified.digest() {
                Ok(known)
            } else {
                Err(NodeError::OtherContent(key))
            };
        }
        let entry = Entry {
            number: self.entries.iter().map(|entry| entry.number + 1).max().unwrap_or(0),
            command,
            command_digest: verified.digest(),
            memory_mib,
            state: State::Accepted,
            attempt: 0,
            crashes: 0,
            failed_starts: 0,
            boot: String::new(),
            accepted: now,
            started: None,
            ended: None,
            not_before: None,
            result: None,
        };
        self.record(entry)?;
        self.entries.last().ok_or(NodeError::Unknown(key))
    }

    /// Takes a command back. Its guest is destroyed by the next turn.
    ///
    /// # Errors
    /// It is unknown or has ended, or the journal fails.
    pub fn cancel(&mut self, key: &Key, now: Timestamp) -> Result<(), NodeError> {
        let position = self.position(key).ok_or_else(|| NodeError::Unknown(key.clone()))?;
        let entry = self.entries[position].clone();
        if entry.state.phase().is_end() {
            return Err(NodeError::Ended(key.clone()));
        }
        self.record(entry.into_end(State::Cancelled, now))
    }

    /// Looks at what is there and does the next thing for each command; whether there was anything to do.
    ///
    /// # Errors
    /// The first thing that failed; the rest was done. What failed is tried again by the next turn.
    pub fn turn(&mut self, quota: impl Fn(&Tenant) -> Quota, now: Timestamp) -> Result<bool, NodeError> {
        let observed = Observed {
            guests: self.toolstack.guests().map_err(failed("listing the guests"))?,
            free_kib: self
                .toolstack
                .memory_free_kib()
                .map_err(failed("asking for free memory"))?
                .saturating_sub(self.reserve_kib),
            boot: self.boot.clone(),
        };
        let actions = reconcile::step(&self.entries, &observed, quota, now);
        let busy = !actions.is_empty();
        let mut first_error = None;
        for action in actions {
            match self.act(action, now) {
                // Nothing may be done that is not on disk.
                Err(error @ NodeError::Journal(_)) => return Err(error),
                Err(error) => first_error = first_error.or(Some(error)),
                Ok(()) => {}
            }
        }
        first_error.map_or(Ok(busy), Err)
    }

    fn act(&mut self, action: Action, now: Timestamp) -> Result<(), NodeError> {
        match action {
            Action::Record(entry) => self.record(*entry),
            Action::Create(spec) => match self.toolstack.create(&spec) {
                Ok(()) => Ok(()),
                Err(error) => {
                    let entry = self.of_guest(spec.id);
                    entry.map_or(Ok(()), |entry| self.record(reconcile::not_started(entry, error.to_string(), now)))
                }
            },
            Action::Unpause(id) => self.toolstack.unpause(id).map_err(failed(format!("unpausing guest {id}"))),
            Action::Destroy(id) => self.toolstack.destroy(id).map_err(failed(format!("destroying guest {id}"))),
            Action::Conclude(id, end) => {
                let left = self.toolstack.ended(id).map_err(failed(format!("reading what guest {id} left")))?;
                let entry = self.of_guest(id);
                entry.map_or(Ok(()), |entry| self.record(reconcile::concluded(entry, end, left, now)))
            }
        }
    }

    /// Writes an entry to disk, then to memory.
    fn record(&mut self, entry: Entry) -> Result<(), NodeError> {
        self.journal.record(&entry)?;
        match self.position(&entry.key()) {
            Some(position) => self.entries[position] = entry,
            None => self.entries.push(entry),
        }
        Ok(())
    }

    fn position(&self, key: &Key) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key() == *key)
    }

    /// The entry whose current attempt this guest is.
    fn of_guest(&self, id: GuestId) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.guest() == id).cloned()
    }
}

/// For `map_err`: what was tried.
fn failed<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> NodeError {
    let what = what.into();
    move |reason| NodeError::Toolstack { what, reason: reason.to_string() }
}
