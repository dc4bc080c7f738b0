//! Time as embassy-time sees it: a clock of the platform and a queue of timers.
//!
//! The platform declares one [`Driver`] with `embassy_time_driver::time_driver_impl!`, has it [look](Driver::look) at
//! the clock after each sleep and calls [`Driver::next_wake_ns`] before the next. On the developer's machine
//! embassy-time brings its own driver.

use core::cell::RefCell;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_queue_utils::Queue;

/// Nanoseconds in a tick of embassy-time.
const TICK_NS: u64 = 1_000_000_000 / embassy_time_driver::TICK_HZ;

/// The time at the last look at the clock, in ticks; zero before there was one.
static RECENT: AtomicU64 = AtomicU64::new(0);

/// The time at which the executor last looked at the clock: not before its last sleep. For those who ask at every turn
/// and to whom it does not matter how long the other tasks' turns took.
#[cfg(feature = "net")]
pub(crate) fn recent() -> embassy_time::Instant {
    match RECENT.load(Ordering::Relaxed) {
        // Somebody else's executor.
        0 => embassy_time::Instant::now(),
        ticks => embassy_time::Instant::from_ticks(ticks),
    }
}

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

    /// Reads the clock, for [`next_wake_ns`](Self::next_wake_ns) and `recent`.
    pub fn look(&self) {
        RECENT.store(C::now_ns() / TICK_NS, Ordering::Relaxed);
    }

    /// Wakes every timer that was due at the last [`look`](Self::look) and says when the next one is, in the clock's
    /// nanoseconds: maybe a time that has passed since.
    pub fn next_wake_ns(&self) -> Option<u64> {
        let now = RECENT.load(Ordering::Relaxed);
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
        driver.look();
        assert_eq!(driver.next_wake_ns(), Some(1000 * TICK_NS));
        NOW_NS.store(3_600_000_000_000, Ordering::Relaxed);
        assert_eq!(driver.now(), 3_600_000_000_000 / TICK_NS);
        assert_eq!(driver.next_wake_ns(), Some(1000 * TICK_NS), "nobody has looked at the clock");
        driver.look();
        assert_eq!(driver.next_wake_ns(), None, "nothing is left, and nothing is due at once again");
        assert!(counters.iter().all(|counter| counter.0.load(Ordering::Relaxed) == 1));
        // The last moments that the clock can name.
        NOW_NS.store(u64::MAX - 1, Ordering::Relaxed);
        driver.look();
        driver.schedule_wake(u64::MAX - 1, &Waker::from(Arc::clone(&counters[0])));
        assert_eq!(driver.next_wake_ns(), Some(u64::MAX), "later than any time, which is no overflow");
    }
}
