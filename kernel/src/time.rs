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

#[cfg(test)]
mod tests {
    extern crate std;

    use core::sync::atomic::{AtomicU64, Ordering};
    use std::sync::Arc;
    use std::task::{Wake, Waker};

    use embassy_time_driver::Driver as _;

    use super::{Clock, Driver, TICK_NS};

    /// The time of this module's tests, of which there is one at a time.
    static NOW_NS: AtomicU64 = AtomicU64::new(0);

    struct ByHand;

    impl Clock for ByHand {
        fn now_ns() -> u64 {
            NOW_NS.load(Ordering::Relaxed)
        }
    }

    #[derive(Default)]
    struct Counter(AtomicU64);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn timers_that_a_step_of_the_clock_has_passed_wake_once_and_are_over() {
        let driver = Driver::<ByHand>::new();
        let counters: [Arc<Counter>; 40] = core::array::from_fn(|_| Arc::default());
        for (number, counter) in counters.iter().enumerate() {
            driver.schedule_wake(1000 + number as u64, &Waker::from(Arc::clone(counter)));
        }
        assert_eq!(driver.next_wake_ns(), Some(1000 * TICK_NS));
        NOW_NS.store(3_600_000_000_000, Ordering::Relaxed);
        assert_eq!(driver.next_wake_ns(), None, "nothing is left, and nothing is due at once again");
        assert!(counters.iter().all(|counter| counter.0.load(Ordering::Relaxed) == 1));
        // The last moments that the clock can name.
        NOW_NS.store(u64::MAX - 1, Ordering::Relaxed);
        driver.schedule_wake(u64::MAX - 1, &Waker::from(Arc::clone(&counters[0])));
        assert_eq!(driver.next_wake_ns(), Some(u64::MAX), "later than any time, which is no overflow");
    }
}
