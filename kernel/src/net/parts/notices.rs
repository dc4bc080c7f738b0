//! What the network says on the console. Others can cause each of these lines: who unplugs the cable, or gives
//! addresses.

use core::fmt::Arguments;

use smoltcp::time::Instant;

use crate::console::Limit;

/// Lines at once, and how long it takes until there may be one more.
const LINES: (u32, core::time::Duration) = (32, core::time::Duration::from_secs(10));

/// See the module.
pub(crate) struct Notices(Limit);

impl Default for Notices {
    fn default() -> Self {
        Self(Limit::new(LINES.0, LINES.1))
    }
}

impl Notices {
    /// Prints a line, unless there were too many lately; the next one says how many there were.
    pub(crate) fn say(&self, now: Instant, line: Arguments<'_>) {
        match self.take(now) {
            Some(0) => crate::println!("network: {line}"),
            Some(held_back) => crate::println!("network: {line} ({held_back} lines were held back before)"),
            None => {}
        }
    }

    /// How many lines were held back before one that may be said now.
    fn take(&self, now: Instant) -> Option<u32> {
        self.0.take(now.total_micros() as u64 * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_there_is_a_line_every_ten_seconds() {
        let (notices, start) = (Notices::default(), Instant::from_secs(100));
        assert!((0..32).all(|_| notices.take(start) == Some(0)));
        assert!((0..5).all(|_| notices.take(start).is_none()));
        assert_eq!(notices.take(Instant::from_millis(109_999)), None);
        assert_eq!(notices.take(Instant::from_secs(110)), Some(6));
        assert_eq!(notices.take(Instant::from_secs(110)), None);
    }
}
