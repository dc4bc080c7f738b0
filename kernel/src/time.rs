//! Time as embassy-time sees it: a clock of the platform and a queue of timers.
//!
//! The platform declares one [`Driver`] with `embassy_time_driver::time_driver_impl!` and calls
//! [`Driver::next_wake_ns`] before it sleeps. On the developer's machine embassy-time brings its own driver.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_queue_utils::Queue;

/// Nanoseconds in a tick of embassy-time.
const TICK_NS: u64 = 1_000_000_000 / embassy_time_driver::TICK_HZ;

/// Timers over a clock that counts nanoseconds from an arbitrary start and never goes backwards.
pub struct Driver {
    now_ns: fn() -> u64,
    queue: Mutex<RefCell<Queue>>,
}

impl Driver {
    /// A driver without timers, over the clock `now_ns`.
    pub const fn new(now_ns: fn() -> u64) -> Self {
        Self { now_ns, queue: Mutex::new(RefCell::new(Queue::new())) }
    }

    /// Wakes every timer that is due and says when the next one will be, in the clock's nanoseconds.
    pub fn next_wake_ns(&self) -> Option<u64> {
        let now = embassy_time_driver::Driver::now(self);
        let next = critical_section::with(|cs| self.queue.borrow(cs).borrow_mut().next_expiration(now));
        (next != u64::MAX).then(|| next.saturating_mul(TICK_NS))
    }
}

impl embassy_time_driver::Driver for Driver {
    fn now(&self) -> u64 {
        (self.now_ns)() / TICK_NS
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // Whether the queue's head changed does not matter: the idle loop asks for it each time before it sleeps.
        critical_section::with(|cs| self.queue.borrow(cs).borrow_mut().schedule_wake(at, waker));
    }
}
