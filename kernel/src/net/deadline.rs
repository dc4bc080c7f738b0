//! Time limits of socket calls.
//!
//! Only the poll loop knows the time, so that tests can move it by hand: a call that must not wait for ever opens a
//! [`Deadline`], the loop's next turn starts its clock, and a later turn says that it has passed.

use alloc::vec::Vec;
use core::task::{Context, Waker};

use smoltcp::time::{Duration, Instant};

/// A running time limit. Whoever opened it must close it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline(u32);

/// All running time limits.
#[derive(Default)]
pub(super) struct Deadlines {
    entries: Vec<Entry>,
    last: u32,
}

struct Entry {
    deadline: Deadline,
    after: Duration,
    at: Option<Instant>,
    passed: bool,
    waker: Option<Waker>,
}

impl Deadlines {
    /// Starts a time limit.
    pub(super) fn open(&mut self, after: Duration) -> Deadline {
        self.last = self.last.wrapping_add(1);
        let deadline = Deadline(self.last);
        self.entries.push(Entry { deadline, after, at: None, passed: false, waker: None });
        deadline
    }

    /// Forgets a time limit.
    pub(super) fn close(&mut self, deadline: Deadline) {
        self.entries.retain(|entry| entry.deadline != deadline);
    }

    /// Whether the time limit has passed; if not, the task is woken when it does.
    pub(super) fn poll(&mut self, deadline: Deadline, context: &Context<'_>) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.deadline == deadline) else {
            return false;
        };
        entry.waker = Some(context.waker().clone());
        entry.passed
    }

    /// Starts new clocks and wakes those whose time has passed.
    pub(super) fn turn(&mut self, now: Instant) {
        for entry in &mut self.entries {
            if *entry.at.get_or_insert(now + entry.after) <= now && !entry.passed {
                entry.passed = true;
                if let Some(waker) = entry.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// When the next time limit passes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.iter().filter(|entry| !entry.passed).filter_map(|entry| entry.at).min()
    }
}
