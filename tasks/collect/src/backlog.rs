//! Summaries on their way to the cloud: a bounded queue from which one leaves only when the broker has acknowledged it.
//!
//! Each summary gets the next sequence number when it enters. One that is sent again keeps its number, so that the
//! receiver can tell a repeat; one that had to be dropped leaves a gap, so that the receiver can tell that too.
//!
//! Where what the run saves is kept for the next one, a summary waits until it has been saved: so one that was sent is
//! known to every later run, and no window is summarised twice.
//!
//! One that the broker will not have now, but may another time, waits for a while: twice as long each time.

use alloc::vec::Vec;

use embassy_time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::window::Window;

/// How long a refused summary waits, the first time and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A closed window with its number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The place in the order of this queue, over which runs that go on have one.
    pub number: u32,
    /// The random number of the run that has closed the window.
    pub run: u32,
    /// 0 for the first of a run.
    pub sequence: u32,
    /// What it says.
    pub window: Window,
}

impl Summary {
    /// Its number as a message: unique among those under way.
    pub fn id(&self) -> u16 {
        (self.number % u32::from(u16::MAX)) as u16 + 1
    }
}

/// What a summary waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be saved.
    Unsaved,
    /// For its turn.
    Waiting,
    /// For its answer, over the present connection.
    UnderWay,
    /// For this time, because it was refused before.
    Refused(Instant),
}

#[derive(Debug)]
struct Entry {
    summary: Summary,
    state: State,
    /// How often it was refused.
    refusals: u8,
}

/// What can be sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// This summary, the oldest that may.
    Summary(Summary),
    /// Nothing before this time.
    Later(Instant),
    /// Nothing.
    Nothing,
}

/// The queue.
#[derive(Debug)]
pub struct Backlog {
    /// Oldest first. A plain vector: what moves when one is removed is small, and so is the code.
    entries: Vec<Entry>,
    limit: usize,
    run: u32,
    next_sequence: u32,
    next_number: u32,
    /// What is new waits until it has been saved.
    saves: bool,
    dropped: u64,
}

impl Backlog {
    /// An empty queue of at most `limit` summaries, in the run of this number.
    pub fn new(limit: usize, run: u32) -> Self {
        Self { entries: Vec::new(), limit, run, next_sequence: 0, next_number: 0, saves: false, dropped: 0 }
    }

    /// Has what comes from now on wait until it has been [`saved`](Self::saved).
    pub fn save_first(&mut self) {
        self.saves = true;
    }

    /// Notes that all there is has been saved; whether that is news for who sends.
    pub fn saved(&mut self) -> bool {
        let unsaved = self.entries.iter_mut().filter(|entry| entry.state == State::Unsaved);
        unsaved.map(|entry| entry.state = State::Waiting).count() > 0
    }

    /// Whether any waits to be saved.
    pub fn has_unsaved(&self) -> bool {
        self.entries.iter().any(|entry| entry.state == State::Unsaved)
    }

    /// The newest summaries, at most so many, in their order.
    pub fn newest(&self, most: usize) -> impl ExactSizeIterator<Item = Summary> {
        self.entries[self.entries.len().saturating_sub(most)..].iter().map(|entry| entry.summary)
    }

    /// Goes on with the summaries of an earlier run, which may have arrived already: they keep their run and sequence
    /// number. `dropped` were lost before, or are now.
    pub fn restore(&mut self, summaries: Vec<Summary>, dropped: u64) {
        for (number, summary) in (0..).zip(summaries) {
            self.entries.push(Entry { summary: Summary { number, ..summary }, state: State::Waiting, refusals: 0 });
        }
        self.next_number = self.entries.len() as u32;
        self.dropped = dropped;
    }

    /// Appends a window's summary; false when another one was dropped for it, or it itself. When the queue is full, the
    /// oldest summary that is not under way is dropped: what is under way may have arrived already, and new numbers are
    /// worth more than old ones.
    pub fn push(&mut self, window: Window) -> bool {
        let (number, sequence) = (self.next_number, self.next_sequence);
        let summary = Summary { number, run: self.run, sequence, window };
        self.next_number = number.wrapping_add(1);
        self.next_sequence = sequence.wrapping_add(1);
        let full = self.entries.len() >= self.limit;
        if full {
            self.dropped += 1;
            match self.entries.iter().position(|entry| entry.state != State::UnderWay) {
                Some(oldest) => drop(self.entries.remove(oldest)),
                // All are under way: the new one is the only one that can go.
                None => return false,
            }
        }
        let state = if self.saves { State::Unsaved } else { State::Waiting };
        self.entries.push(Entry { summary, state, refusals: 0 });
        !full
    }

    /// What can be sent now.
    pub fn next(&self, now: Instant) -> Next {
        let mut later: Option<Instant> = None;
        for entry in &self.entries {
            match entry.state {
                State::Unsaved | State::UnderWay => {}
                State::Refused(until) if until > now => later = Some(later.map_or(until, |later| later.min(until))),
                State::Waiting | State::Refused(_) => return Next::Summary(entry.summary),
            }
        }
        later.map_or(Next::Nothing, Next::Later)
    }

    /// Notes that a summary is under way.
    pub fn mark_sent(&mut self, number: u32) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.summary.number == number) {
            entry.state = State::UnderWay;
        }
    }

    /// Notes that the connection is gone, and with it the answers to what was under way: that will be sent again.
    pub fn lost(&mut self) {
        let under_way = self.entries.iter_mut().filter(|entry| entry.state == State::UnderWay);
        under_way.for_each(|entry| entry.state = State::Waiting);
    }

    /// Lets the summary go that was under way with this number; whether there was one.
    pub fn answered(&mut self, id: u16) -> bool {
        self.under_way(id).map(|place| self.entries.remove(place)).is_some()
    }

    /// Has the summary that was under way with this number wait for another time; whether there was one.
    pub fn refused(&mut self, id: u16, now: Instant) -> bool {
        let Some(place) = self.under_way(id) else { return false };
        let entry = &mut self.entries[place];
        let pause = FIRST_PAUSE * (1 << entry.refusals.min(6));
        entry.state = State::Refused(now + pause.min(LONGEST_PAUSE));
        entry.refusals = entry.refusals.saturating_add(1);
        true
    }

    fn under_way(&self, id: u16) -> Option<usize> {
        self.entries.iter().position(|entry| entry.state == State::UnderWay && entry.summary.id() == id)
    }

    /// Drops a summary that cannot be sent.
    pub fn give_up(&mut self, number: u32) {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.summary.number != number);
        self.dropped += (before - self.entries.len()) as u64;
    }

    /// Drops the summary that was under way with this number; whether there was one.
    pub fn give_up_answered(&mut self, id: u16) -> bool {
        let given_up = self.answered(id);
        self.dropped += u64::from(given_up);
        given_up
    }

    /// How many summaries are waiting or under way.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many were dropped: pushed out of a full queue, or given up.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests;
