//! What guests save and count while they run: when it is looked at, what of it is written, and to whom it is given.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{CheckpointState, Digest, Figures, Phase, State, Timestamp};

use super::Node;
use crate::reconcile::{Effect, Observed};
use crate::toolstack::{Ended, Inside, Life};
use crate::{Entry, GuestId, GuestSpec, Journal, JournalError, Saved, saved};

/// What is known of a running guest's inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When it was looked at, or was there first.
    at: Timestamp,
    /// What it counted when it was looked at the time before; none when it counts nothing that can be read.
    pub figures: Option<Figures>,
    /// The checkpoint that is on disk.
    pub checkpoint: Option<CheckpointState>,
    /// That its figures cannot be read was said.
    is_refused: bool,
}

/// How long guests are left alone. Each look wakes a guest that sleeps, and each write wears the board's flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// Between two looks into a guest.
    pub look: Duration,
    /// Between two writes of what a guest has saved.
    pub save: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { look: Duration::from_secs(60), save: Duration::from_secs(60) }
    }
}

/// Whether a pause that began then is over; one that began in the future began before the clock was set back.
fn is_over(began: Timestamp, pause: Duration, now: Timestamp) -> bool {
    now < began || now >= began.after(pause)
}

impl<J: Journal> Node<J> {
    /// Changes how long guests are left alone.
    pub fn set_pauses(&mut self, pauses: Pauses) {
        self.pauses = pauses;
    }

    /// What a running guest showed when it was looked into.
    #[must_use]
    pub fn look(&self, guest: GuestId) -> Option<&Look> {
        self.looks.get(&guest)
    }

    /// How many times a checkpoint was written, in this life of the node.
    #[must_use]
    pub fn saves(&self) -> u64 {
        self.saves
    }

    /// What is to be said since this was asked last.
    #[must_use]
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// The running guests that are to be looked into now.
    pub(super) fn due_looks(&mut self, observed: &Observed, now: Timestamp) -> Vec<Effect> {
        let running: Vec<GuestId> = {
            let running = self.entries.iter().filter(|entry| entry.state == State::Running).map(Entry::guest);
            let alive =
                |id: &GuestId| observed.guests.iter().any(|guest| guest.id == *id && guest.life == Life::Running);
            running.filter(alive).collect()
        };
        self.looks.retain(|id, _| running.contains(id));
        let mut due = Vec::new();
        for id in running {
            // One that was not there before has shown nothing yet.
            let first = Look { at: now, figures: None, checkpoint: None, is_refused: false };
            let look = self.looks.entry(id).or_insert(first);
            if is_over(look.at, self.pauses.look, now) {
                look.at = now;
                due.push(Effect::LookInto(id));
            }
        }
        due
    }

    /// Gives a guest that is about to be made what the one before it has saved.
    pub(super) fn hand_over(&mut self, spec: &mut GuestSpec) -> Result<(), JournalError> {
        let given = match self.journal.saved(&spec.key)?.map(|saved| saved.for_image(spec.image)) {
            None => None,
            Some(Ok(checkpoint)) => Some(checkpoint),
            Some(Err(why)) => {
                self.journal.save(&spec.key, None)?;
                self.notes.push(format!("command {} begins afresh, without its checkpoint: {why}", spec.key));
                None
            }
        };
        spec.nodes.extend(saved::nodes(given.as_ref()));
        Ok(())
    }

    /// Takes what a running guest shows.
    pub(super) fn looked(&mut self, id: GuestId, inside: &Inside, now: Timestamp) -> Result<(), JournalError> {
        let Some(entry) = self.of_guest(id, Phase::Running) else { return Ok(()) };
        let Some(image) = image(&entry) else { return Ok(()) };
        let Some(look) = self.looks.get_mut(&id) else { return Ok(()) };
        let figures = inside.counters.as_deref().map(Figures::parse).transpose();
        if let Err(why) = &figures
            && !std::mem::replace(&mut look.is_refused, true)
        {
            self.notes.push(format!("the guest of command {} counts what cannot be read: {why}", entry.key()));
        }
        look.figures = figures.ok().flatten();
        let Some(checkpoint) = &inside.checkpoint else { return Ok(()) };
        if look.checkpoint.is_some_and(|on_disk| !is_over(on_disk.at, self.pauses.save, now)) {
            return Ok(());
        }
        let new = Saved::new(image, checkpoint);
        if self.journal.saved(&entry.key())?.is_some_and(|kept| kept.is_of(&new)) {
            return Ok(());
        }
        look.checkpoint =
            Some(CheckpointState { number: checkpoint.number, bytes: checkpoint.bytes.len() as u64, at: now });
        self.saves += 1;
        self.journal.save(&entry.key(), Some(&new))
    }

    /// What is to be kept for the next guest of an entry whose guest has crashed.
    pub(super) fn saved_by_crashed(&self, entry: &Entry, left: &Ended) -> Result<Option<Saved>, JournalError> {
        let Some(image) = image(entry) else { return Ok(None) };
        Ok(Saved::after_crash(self.journal.saved(&entry.key())?, image, left.checkpoint.as_ref()))
    }
}

/// The image that an entry's guests boot.
fn image(entry: &Entry) -> Option<Digest> {
    entry.prepared.as_ref().map(|prepared| prepared.image)
}

/// What is known of the guests that run.
pub(super) type Looks = BTreeMap<GuestId, Look>;
