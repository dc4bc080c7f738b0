//! Time as embassy-time sees it: a clock of the platform and a queue of timers.
//!
//! The platform declares one [`Driver`] with `embassy_time_driver::time_driver_impl!` and calls
//! [`Driver::next_wake_ns`] before it sleeps. On the developer's machine embassy-time brings its own driver.

use core::cell::RefCell;
use core::marker::PhantomData;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_queue_utils::Queue;

/// Nanoseconds in a tick of embassy-time.
const TICK_NS: u64 = 1_000_000_000 / embassy_time_driver::TICK_HZ;

/// A clock that counts nanoseconds from an arbitrary start and never goes backwards.
pub trait Clock: 'static {
    /// The time now.
    fn now_ns() -> u64;
}

/// Timers over a clock.
pub struct Driver<C> {
    queue: Mutex<RefCell<Queue>>,
    clock: PhantomData<fn() -> C>,
}

impl<C: Clock> Default for Driver<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock> Driver<C> {
    /// A driver without timers.
    pub const fn new() -> Self {
        Self { queue: Mutex::new(RefCell::new(Queue::new())), clock: PhantomData }
    }

    /// Wakes every timer that is due and says when the next one will be, in the clock's nanoseconds.
    pub fn next_wake_ns(&self) -> Option<u64> {
        let now = C::now_ns() / TICK_NS;
        let next = critical_section::with(|cs| self.queue.borrow(cs).borrow_mut().next_expiration(now));
        (next != u64::MAX).then(|| next.saturating_mul(TICK_NS))
    }
}

impl<C: Clock> embassy_time_driver::Driver for Driver<C> {
    fn now(&self) -> u64 {
        C::now_ns() / TICK_NS
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // Whether the queue's head changed does not matter: the idle loop asks for it each time before it sleeps.
        critical_section::with(|cs| self.queue.borrow(cs).borrow_mut().schedule_wake(at, waker));
    }
}
