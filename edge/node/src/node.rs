//! The state of a board's commands, and what [`crate::reconcile`] makes of it.

mod keep;

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{Failure, Phase, Quota, State, Tenant, Timestamp, Verified};
use thiserror::Error;

use crate::entry::Prepared;
use crate::reconcile::{self, Action, Allowance, Effect, Observed};
use crate::toolstack::End;
use crate::turn::Settled;
use crate::{Entry, GuestId, Journal, JournalError, Key, Saved};

pub use keep::{Look, Pauses};

/// Lines of a guest's console that are kept when it has ended.
const LAST_LINES: usize = 20;
/// What starts are counted within.
const MINUTE: Duration = Duration::from_secs(60);

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

/// A board's commands that have not ended, and the journal of all.
#[derive(Debug)]
pub struct Node<J> {
    journal: J,
    entries: Vec<Entry>,
    /// The command that feeds others.
    feeder: Option<Key>,
    /// Guests that were started within the last minute, and whose.
    starts: VecDeque<(Tenant, Timestamp)>,
    /// Entries that have ended since they were asked for.
    ended: Vec<Entry>,
    /// Counts what was written.
    changes: u64,
    pauses: Pauses,
    looks: keep::Looks,
    /// Counts checkpoints that were written.
    saves: u64,
    /// What is to be said.
    notes: Vec<String>,
}

impl<J: Journal> Node<J> {
    /// A node with what its journal knows.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn new(journal: J) -> Result<Self, NodeError> {
        let entries = journal.entries()?;
        // A node that is killed again and again gives nobody more starts than one that is not.
        let mut starts: Vec<_> =
            entries.iter().filter_map(|entry| Some((entry.command.tenant.clone(), entry.started?))).collect();
        starts.sort_by_key(|(_, at)| *at);
        Ok(Self {
            journal,
            entries,
            feeder: None,
            starts: starts.into(),
            ended: Vec::new(),
            changes: 0,
            pauses: Pauses::default(),
            looks: keep::Looks::new(),
            saves: 0,
            notes: Vec::new(),
        })
    }

    /// The same, with the command that feeds others.
    #[must_use]
    pub fn with_feeder(self, feeder: Option<Key>) -> Self {
        Self { feeder, ..self }
    }

    /// The command that feeds others.
    #[must_use]
    pub fn feeder(&self) -> Option<&Key> {
        self.feeder.as_ref()
    }

    /// The commands that have not ended.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// The journal, for what is in it beside entries that have not ended.
    #[must_use]
    pub fn journal_mut(&mut self) -> &mut J {
        &mut self.journal
    }

    /// Counts what this life of the node has written to the journal.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The entries that have ended since this was called last.
    #[must_use]
    pub fn take_ended(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.ended)
    }

    /// How many guests of a tenant were started within the last minute.
    #[must_use]
    pub fn starts(&self, tenant: &Tenant, now: Timestamp) -> u32 {
        let counts = |(of, at): &&(Tenant, Timestamp)| of == tenant && *at <= now && now < at.after(MINUTE);
        u32::try_from(self.starts.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }

    /// What is known of a command.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn find(&self, key: &Key) -> Result<Option<Entry>, JournalError> {
        match self.position(key) {
            Some(position) => Ok(Some(self.entries[position].clone())),
            None => self.journal.ended(key),
        }
    }

    /// The entry of this command, when it came before.
    ///
    /// # Errors
    /// A command of this name with other content is known, or the journal fails.
    pub fn known(&self, verified: &Verified) -> Result<Option<Entry>, NodeError> {
        let command = verified.command();
        let key = Key { tenant: command.tenant.clone(), id: command.id.clone() };
        match self.find(&key)? {
            Some(entry) if !entry.command.is_same(command) => Err(NodeError::OtherContent(key)),
            known => Ok(known),
        }
    }

    /// Takes a command. Once more the same one is the same command.
    ///
    /// # Errors
    /// A command of this name with other content is known, or the journal fails.
    pub fn accept(&mut self, verified: &Verified, now: Timestamp) -> Result<Entry, NodeError> {
        if let Some(known) = self.known(verified)? {
            return Ok(known);
        }
        let entry = Entry {
            number: self.journal.next_number()?,
            command: verified.command().clone(),
            command_digest: verified.digest(),
            prepared: None,
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
            console: Vec::new(),
            removed: false,
        };
        self.record(entry.clone(), now)?;
        Ok(entry)
    }

    /// Says that a command's task is here, or why it never will be. A command that has ended meanwhile stays ended.
    ///
    /// # Errors
    /// The journal fails.
    pub fn prepare(
        &mut self,
        key: &Key,
        prepared: Result<Prepared, Failure>,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let Some(position) = self.position(key) else { return Ok(()) };
        let mut entry = self.entries[position].clone();
        if entry.state != State::Accepted {
            return Ok(());
        }
        match prepared {
            Ok(prepared) => {
                entry.prepared = Some(prepared);
                self.record(entry.into_state(State::Queued), now)
            }
            Err(failure) => self.record(entry.into_end(State::Failed(failure), now), now),
        }
    }

    /// Takes a command back. Its guest is destroyed by the next turn.
    ///
    /// # Errors
    /// It is unknown or has ended, or the journal fails.
    pub fn cancel(&mut self, key: &Key, now: Timestamp) -> Result<(), NodeError> {
        let Some(position) = self.position(key) else {
            let ended = self.journal.ended(key)?.is_some();
            return Err(if ended { NodeError::Ended(key.clone()) } else { NodeError::Unknown(key.clone()) });
        };
        let entry = self.entries[position].clone();
        Ok(self.record(entry.into_end(State::Cancelled, now), now)?)
    }

    /// Writes what can be decided from what is there, and says what the toolstack is to do; whether anything was
    /// written.
    ///
    /// # Errors
    /// The journal fails; then the toolstack must do nothing.
    pub fn plan(
        &mut self,
        observed: &Observed,
        quota: impl Fn(&Tenant) -> Quota,
        now: Timestamp,
    ) -> Result<(Vec<Effect>, bool), JournalError> {
        let mut effects = Vec::new();
        let mut written = false;
        // A start that lies in the future was before the clock was set back.
        self.starts.retain(|(_, at)| *at <= now && now < at.after(MINUTE));
        let allowance = |tenant: &Tenant| Allowance { quota: quota(tenant), starts: self.starts(tenant, now) };
        for action in reconcile::step(&self.entries, self.feeder.as_ref(), observed, allowance, now) {
            match action {
                Action::Effect(Effect::Create(mut spec)) => {
                    self.hand_over(&mut spec)?;
                    effects.push(Effect::Create(spec));
                }
                Action::Effect(effect) => effects.push(effect),
                Action::Record(entry) => {
                    self.record(*entry, now)?;
                    written = true;
                }
            }
        }
        effects.extend(self.due_looks(observed, now));
        Ok((effects, written))
    }

    /// Writes what came of an effect. What became of the command meanwhile goes before. `lines` makes lines of what a
    /// command's guest has printed.
    ///
    /// # Errors
    /// The journal fails.
    pub fn settle(
        &mut self,
        settled: Settled,
        lines: impl FnOnce(&Entry, &[u8]) -> Vec<String>,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        match settled {
            Settled::NotStarted(id, why) => match self.of_guest(id, Phase::Starting) {
                Some(entry) => self.record(reconcile::not_started(entry, why, now), now),
                None => Ok(()),
            },
            Settled::Looked(id, inside) => self.looked(id, &inside, now),
            Settled::Ended(id, end, left) => match self.of_guest(id, Phase::Running) {
                Some(entry) => {
                    let saved = if end == End::Crash { self.saved_by_crashed(&entry, &left)? } else { None };
                    let mut console = lines(&entry, &left.console);
                    console.drain(..console.len().saturating_sub(LAST_LINES));
                    self.record_with(reconcile::concluded(entry, end, left, console, now), saved.as_ref(), now)
                }
                None => Ok(()),
            },
        }
    }

    fn record(&mut self, entry: Entry, now: Timestamp) -> Result<(), JournalError> {
        self.record_with(entry, None, now)
    }

    /// Writes an entry to disk, with what its task has saved, then to memory, in which ended ones do not stay.
    fn record_with(&mut self, entry: Entry, saved: Option<&Saved>, now: Timestamp) -> Result<(), JournalError> {
        // What has ended does not go on.
        let saved = saved.filter(|_| !entry.state.phase().is_end());
        self.journal.record(&entry, saved, now)?;
        self.changes += 1;
        if entry.state == State::Starting {
            self.starts.push_back((entry.command.tenant.clone(), now));
        }
        match (self.position(&entry.key()), entry.state.phase().is_end()) {
            (Some(position), false) => self.entries[position] = entry,
            (Some(position), true) => {
                self.entries.remove(position);
                self.ended.push(entry);
            }
            (None, _) => self.entries.push(entry),
        }
        Ok(())
    }

    fn position(&self, key: &Key) -> Option<usize> {
        self.entries.iter().position(|entry| entry.is(key))
    }

    /// The entry in this phase whose current attempt this guest is.
    fn of_guest(&self, id: GuestId, phase: Phase) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.state.phase() == phase && entry.guest() == id).cloned()
    }
}
