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

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(deadlines: &mut Deadlines, number: u32) -> bool {
        deadlines.poll(number, &Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_time_limit_runs_from_the_first_turn_on_and_passes_once() {
        let mut deadlines = Deadlines::default();
        let [short, long] = [1, 2].map(|seconds| deadlines.open(Duration::from_secs(seconds)));
        assert_eq!(deadlines.next(), None);
        deadlines.expire(Instant::from_secs(10));
        assert_eq!(deadlines.next(), Some(Instant::from_secs(11)));
        assert!(!passed(&mut deadlines, short));
        deadlines.expire(Instant::from_secs(11));
        assert!(passed(&mut deadlines, short) && !passed(&mut deadlines, long));
        assert_eq!(deadlines.next(), Some(Instant::from_secs(12)));
    }

    #[test]
    fn a_time_limit_that_has_ended_leaves_nothing() {
        let mut deadlines = Deadlines::default();
        for _ in 0..1000 {
            let numbers = [1, 2, 3].map(|seconds| deadlines.open(Duration::from_secs(seconds)));
            deadlines.expire(Instant::from_secs(10));
            numbers.into_iter().for_each(|number| deadlines.close(number));
        }
        assert_eq!((deadlines.entries.len(), deadlines.next()), (0, None));
    }
}
