//! The poll loop's clock: the machine's, or one that a test moves by hand.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use embassy_time::{Instant, Timer};

use crate::time::recent;

/// A clock on which a poll loop runs.
// The futures need not be `Send`: a guest has one thread.
#[allow(async_fn_in_trait)]
pub trait TimeSource {
    /// The time now.
    fn now(&self) -> Instant;

    /// Resolves at this time or later.
    async fn wait_until(&self, time: Instant);
}

/// The machine's clock, at the executor's last look at it.
pub(super) struct MachineTime;

impl TimeSource for MachineTime {
    fn now(&self) -> Instant {
        recent()
    }

    async fn wait_until(&self, time: Instant) {
        Timer::at(time).await;
    }
}

/// A clock that only moves when it is told to: for tests, whose outcome then does not depend on how busy the machine
/// is.
pub struct ManualTime {
    now: Cell<Instant>,
    /// Who waits, known by a number, until when.
    waiting: RefCell<Vec<(u64, Instant, Waker)>>,
    last: Cell<u64>,
}

impl ManualTime {
    /// A clock that shows this time.
    pub fn new(now: Instant) -> Self {
        Self { now: Cell::new(now), waiting: RefCell::default(), last: Cell::new(0) }
    }

    /// Moves the clock to `time`, and wakes those who waited for it or an earlier one.
    pub fn set(&self, time: Instant) {
        self.now.set(time);
        for (_, at, waker) in self.waiting.borrow().iter() {
            if *at <= time {
                waker.wake_by_ref();
            }
        }
    }

    /// The first time for which somebody waits.
    pub fn next(&self) -> Option<Instant> {
        self.waiting.borrow().iter().map(|(_, at, _)| *at).min()
    }
}

impl TimeSource for ManualTime {
    fn now(&self) -> Instant {
        self.now.get()
    }

    async fn wait_until(&self, time: Instant) {
        let number = self.last.get() + 1;
        self.last.set(number);
        let forget = Forget { clock: self, number };
        poll_fn(|context| {
            forget.remove();
            if self.now() >= time {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push((number, time, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Ends the waiting of a future that is dropped.
struct Forget<'a> {
    clock: &'a ManualTime,
    number: u64,
}

impl Forget<'_> {
    fn remove(&self) {
        self.clock.waiting.borrow_mut().retain(|(number, ..)| *number != self.number);
    }
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}
