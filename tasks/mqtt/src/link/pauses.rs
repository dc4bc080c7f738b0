//! How long to wait before the next attempt to connect: twice as long each time.

use embassy_time::Duration;

use crate::Fault;
use crate::reason::Reason;

/// The first pause between two attempts to connect, and the longest.
const FIRST_MS: u32 = 250;
const LONGEST_MS: u32 = 30_000;

/// A connection that lasted this long was a good one: the pauses begin again with the first.
const GOOD: Duration = Duration::from_secs(10);

/// The next pause.
#[derive(Debug)]
pub(super) struct Pauses {
    next_ms: u32,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self { next_ms: FIRST_MS }
    }

    /// The pause in milliseconds after this fault; `lasted` is how long there was a connection, if there was one.
    pub(super) fn after(&mut self, fault: Fault, lasted: Option<Duration>) -> u32 {
        if lasted.is_some_and(|lasted| lasted >= GOOD) {
            self.next_ms = FIRST_MS;
        }
        if fault == Fault::Ended(Reason::TAKEN_OVER) {
            // Two that take a session from each other at once would do nothing else.
            self.next_ms = LONGEST_MS;
        }
        let pause_ms = self.next_ms;
        self.next_ms = (pause_ms * 2).min(LONGEST_MS);
        pause_ms
    }
}

#[cfg(test)]
mod tests {
    use embassy_time::Duration;

    use super::{FIRST_MS, GOOD, LONGEST_MS, Pauses};
    use crate::Fault;
    use crate::reason::Reason;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::new();
        let found: [u32; 9] = core::array::from_fn(|_| pauses.after(Fault::Closed, None));
        assert_eq!(found, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn after_a_good_connection_they_begin_anew_and_after_a_short_one_they_do_not() {
        let mut pauses = Pauses::new();
        pauses.after(Fault::Closed, None);
        assert_eq!(pauses.after(Fault::Closed, Some(GOOD - Duration::from_ticks(1))), 2 * FIRST_MS);
        assert_eq!(pauses.after(Fault::Closed, Some(GOOD)), FIRST_MS);
    }

    #[test]
    fn who_was_taken_over_waits_longest() {
        assert_eq!(Pauses::new().after(Fault::Ended(Reason::TAKEN_OVER), Some(GOOD)), LONGEST_MS);
        assert_eq!(Pauses::new().after(Fault::Ended(Reason::VERSION), None), FIRST_MS);
    }
}
