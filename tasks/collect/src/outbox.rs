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

/// A summary and how far it has come; `T` is the client's handle of a message that it has sent.
#[derive(Debug)]
struct Entry<T> {
    summary: Summary,
    sent: Option<T>,
}

/// What became of a sent message, as its client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No answer yet.
    Pending,
    /// The broker has it, or has refused it: it need not be sent again.
    Answered,
    /// The session in which it was sent is gone, and with it the answer.
    Lost,
}

/// The queue.
#[derive(Debug)]
pub struct Outbox<T> {
    /// Oldest first. A plain vector: what moves when one is removed is small, and so is the code.
    entries: Vec<Entry<T>>,
    limit: usize,
    next_sequence: u32,
    dropped: u64,
}

impl<T> Outbox<T> {
    /// An empty queue of at most `limit` summaries.
    pub fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), limit, next_sequence: 0, dropped: 0 }
    }

    /// Appends a window's summary. When the queue is full, the oldest summary that is not under way is dropped for it:
    /// what is under way may have arrived already, and new numbers are worth more than old ones.
    pub fn push(&mut self, window: Window) {
        if self.entries.len() >= self.limit {
            self.dropped += 1;
            match self.entries.iter().position(|entry| entry.sent.is_none()) {
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
        self.entries.push(Entry { summary, sent: None });
    }

    /// The oldest summary that is not under way.
    pub fn next(&self) -> Option<Summary> {
        self.entries.iter().find(|entry| entry.sent.is_none()).map(|entry| entry.summary)
    }

    /// Notes that a summary is under way. One that was dropped in the meantime stays dropped.
    pub fn mark_sent(&mut self, sequence: u32, handle: T) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.summary.sequence == sequence) {
            entry.sent = Some(handle);
        }
    }

    /// Drops a summary that cannot be sent.
    pub fn give_up(&mut self, sequence: u32) {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.summary.sequence != sequence);
        self.dropped += (before - self.entries.len()) as u64;
    }

    /// Asks `fate` about each message under way, lets the answered ones go and puts the lost ones back in line. Returns
    /// how many were answered.
    pub fn settle(&mut self, fate: &dyn Fn(&T) -> Fate) -> usize {
        let before = self.entries.len();
        self.entries.retain_mut(|entry| match entry.sent.as_ref().map_or(Fate::Pending, fate) {
            Fate::Pending => true,
            Fate::Answered => false,
            Fate::Lost => {
                entry.sent = None;
                true
            }
        });
        before - self.entries.len()
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
