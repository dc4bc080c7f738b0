//! Summaries on their way to the cloud: a bounded queue from which one leaves only when the broker has acknowledged it.
//!
//! Each summary gets the next sequence number when it enters. One that is sent again keeps its number, so that the
//! receiver can tell a repeat; one that had to be dropped leaves a gap, so that the receiver can tell that too.

use alloc::vec::Vec;

use crate::window::Window;

/// A closed window with its number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// 0 for the first of a run.
    pub sequence: u32,
    /// What it says.
    pub window: Window,
}

impl Summary {
    /// Its number as a message: unique among those under way.
    pub fn id(&self) -> u16 {
        (self.sequence % u32::from(u16::MAX)) as u16 + 1
    }
}

/// A summary, and whether it has been sent over the present connection.
#[derive(Debug)]
struct Entry {
    summary: Summary,
    under_way: bool,
}

/// The queue.
#[derive(Debug)]
pub struct Outbox {
    /// Oldest first. A plain vector: what moves when one is removed is small, and so is the code.
    entries: Vec<Entry>,
    limit: usize,
    next_sequence: u32,
    dropped: u64,
}

impl Outbox {
    /// An empty queue of at most `limit` summaries.
    pub fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), limit, next_sequence: 0, dropped: 0 }
    }

    /// Appends a window's summary. When the queue is full, the oldest summary that is not under way is dropped for it:
    /// what is under way may have arrived already, and new numbers are worth more than old ones.
    pub fn push(&mut self, window: Window) {
        if self.entries.len() >= self.limit {
            self.dropped += 1;
            match self.entries.iter().position(|entry| !entry.under_way) {
                Some(oldest) => drop(self.entries.remove(oldest)),
                // All are under way: the new one is the only one that can go.
                None => {
                    self.next_sequence = self.next_sequence.wrapping_add(1);
                    return;
                }
            }
        }
        let summary = Summary { sequence: self.next_sequence, window };
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.entries.push(Entry { summary, under_way: false });
    }

    /// The oldest summary that is not under way.
    pub fn next(&self) -> Option<Summary> {
        self.entries.iter().find(|entry| !entry.under_way).map(|entry| entry.summary)
    }

    /// Notes that a summary is under way.
    pub fn mark_sent(&mut self, sequence: u32) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.summary.sequence == sequence) {
            entry.under_way = true;
        }
    }

    /// Notes that the connection is gone, and with it the answers to what was under way: that will be sent again.
    pub fn lost(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.under_way = false);
    }

    /// Lets the summary go that was under way with this number; whether there was one.
    pub fn answered(&mut self, id: u16) -> bool {
        let place = self.entries.iter().position(|entry| entry.under_way && entry.summary.id() == id);
        place.map(|place| self.entries.remove(place)).is_some()
    }

    /// Drops a summary that cannot be sent.
    pub fn give_up(&mut self, sequence: u32) {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.summary.sequence != sequence);
        self.dropped += (before - self.entries.len()) as u64;
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
