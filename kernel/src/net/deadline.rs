//! Time limits of socket calls.
//!
//! Only the poll loop knows the time, so that tests can move it by hand: a call that must not wait for ever makes a
//! [`Timeout`], the loop's next turn starts its clock, and a later turn says that it has passed.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

use smoltcp::time::{Duration, Instant};

use super::Handle;

/// The sooner of two times that there may be.
pub(super) fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        _ => one.or(other),
    }
}

/// A running time limit; dropping it ends it.
pub(super) struct Timeout<'a> {
    handle: &'a Handle,
    number: u32,
}

impl<'a> Timeout<'a> {
    /// A limit of `after` from the poll loop's next turn on.
    pub(super) fn new(handle: &'a Handle, after: Duration) -> Self {
        let number = handle.with(|state| {
            state.wake_poll_loop();
            state.deadlines.open(after)
        });
        Self { handle, number }
    }

    /// Resolves when the limit has passed.
    pub(super) async fn passed(&self) {
        poll_fn(|context| match self.handle.with(|state| state.deadlines.poll(self.number, context)) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await
    }
}

impl Drop for Timeout<'_> {
    fn drop(&mut self) {
        self.handle.with(|state| state.deadlines.close(self.number));
    }
}

/// All running time limits.
#[derive(Default)]
pub(super) struct Deadlines {
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
    fn open(&mut self, after: Duration) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.entries.push(Entry { number: self.last, after, at: None, passed: false, waker: None });
        self.last
    }

    fn close(&mut self, number: u32) {
        if let Some(index) = self.entries.iter().position(|entry| entry.number == number) {
            self.entries.swap_remove(index);
        }
    }

    fn poll(&mut self, number: u32, context: &Context<'_>) -> bool {
        let entry = self.entries.iter_mut().find(|entry| entry.number == number);
        entry.is_some_and(|entry| {
            entry.waker = Some(context.waker().clone());
            entry.passed
        })
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
        self.entries.iter().filter(|entry| !entry.passed).fold(None, |first, entry| sooner(first, entry.at))
    }
}
