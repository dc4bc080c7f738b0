//! The times at which something is due, and the running time limits of socket calls.

use alloc::vec::Vec;
use core::task::{Context, Waker};

use smoltcp::time::{Duration, Instant};

/// The sooner of two times that there may be.
pub(crate) fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        _ => one.or(other),
    }
}

/// All running time limits.
#[derive(Default)]
pub(crate) struct Deadlines {
    entries: Vec<Entry>,
    last: u32,
}

struct Entry {
    number: u32,
    after: Duration,
    at: Option<Instant>,
    passed: bool,
    waker: Option<Waker>,
}

impl Deadlines {
    pub(crate) fn open(&mut self, after: Duration) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.entries.push(Entry { number: self.last, after, at: None, passed: false, waker: None });
        self.last
    }

    pub(crate) fn close(&mut self, number: u32) {
        if let Some(index) = self.entries.iter().position(|entry| entry.number == number) {
            self.entries.swap_remove(index);
        }
    }

    pub(crate) fn poll(&mut self, number: u32, context: &Context<'_>) -> bool {
        let entry = self.entries.iter_mut().find(|entry| entry.number == number);
        entry.is_some_and(|entry| {
            entry.waker = Some(context.waker().clone());
            entry.passed
        })
    }

    /// Starts new clocks and wakes those whose time has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
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
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.iter().filter(|entry| !entry.passed).fold(None, |first, entry| sooner(first, entry.at))
    }
}
