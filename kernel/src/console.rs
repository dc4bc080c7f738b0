//! Plain text on the console.
//!
//! What a person needs when no decoder is at hand (the boot line, results, errors, a crash) is plain text; everything
//! else is logged with defmt, whose frames share the console: a frame is the byte [`FRAME_START`], which never occurs
//! in UTF-8, then rzCOBS data, then a zero byte, which never occurs in rzCOBS.

use core::cell::Cell;
use core::fmt::{self, Write};
use core::time::Duration;

use spin::Once;

/// The byte that starts a defmt frame on a console that carries text as well.
pub const FRAME_START: u8 = 0xfe;

/// Where the console's bytes go: the PV console ring, a process's standard output, a test's buffer.
pub trait Console: Sync {
    /// Takes all bytes. One that may be slow, or that nobody may read, keeps them or loses some: text holds nobody up.
    fn write(&self, bytes: &[u8]);
}

static CONSOLE: Once<&'static dyn Console> = Once::new();

/// Makes `console` the one that [`crate::println!`] writes to. Only the first call counts.
pub fn attach(console: &'static dyn Console) {
    CONSOLE.call_once(|| console);
}

/// Writes bytes to the console; without one, nothing happens.
pub fn write(bytes: &[u8]) {
    if let Some(console) = CONSOLE.get() {
        console.write(bytes);
    }
}

/// The console as a [`Write`] target.
pub struct Text;

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}

/// Writes one line; [`crate::println!`] calls it.
pub fn print_line(line: fmt::Arguments<'_>) {
    // `Text` never fails, and a failing `Display` of a caller's type leaves its line short, no more.
    let _ = Text.write_fmt(line);
    write(b"\n");
}

/// How often something may be said that others can cause: some lines at once, then one each period.
///
/// What the network, a backend or a toolstack can have repeated goes through one of these, or the console would be
/// theirs.
#[derive(Debug)]
pub struct Limit {
    burst: u32,
    period_ns: u64,
    /// Lines that may be said now.
    left: Cell<u32>,
    /// Since when the period runs after which there is one more.
    since_ns: Cell<u64>,
    held_back: Cell<u32>,
}

impl Limit {
    /// At most `burst` lines at once, and one more after each `period`.
    #[must_use]
    pub const fn new(burst: u32, period: Duration) -> Self {
        let (left, period_ns) = (Cell::new(burst), period.as_nanos() as u64);
        Self { burst, period_ns, left, since_ns: Cell::new(0), held_back: Cell::new(0) }
    }

    /// Whether a line may be said at `now_ns`; if so, how many were not since the last one that was.
    pub fn take(&self, now_ns: u64) -> Option<u32> {
        let periods = now_ns.saturating_sub(self.since_ns.get()) / self.period_ns;
        let left = u64::from(self.left.get()).saturating_add(periods).min(self.burst.into()) as u32;
        // A full one begins to count when the first line is taken of it.
        let since_ns = if left == self.burst { now_ns } else { self.since_ns.get() + periods * self.period_ns };
        self.since_ns.set(since_ns);
        match left.checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Some(self.held_back.take())
            }
            None => {
                self.left.set(0);
                self.held_back.set(self.held_back.get().saturating_add(1));
                None
            }
        }
    }
}

/// Prints a line of plain text on the console.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::console::print_line(::core::format_args!($($argument)*)) };
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::Limit;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn after_a_burst_there_is_one_line_a_period_and_what_was_held_back_is_counted() {
        let limit = Limit::new(3, Duration::from_secs(60));
        assert_eq!([0; 5].map(|_| limit.take(SECOND_NS)), [Some(0), Some(0), Some(0), None, None]);
        assert_eq!([60, 61, 62].map(|s| limit.take(s * SECOND_NS)), [None, Some(3), None]);
        assert_eq!([120, 121, 121].map(|s| limit.take(s * SECOND_NS)), [None, Some(2), None]);
    }

    #[test]
    fn rest_brings_no_more_than_a_burst() {
        let limit = Limit::new(2, Duration::from_secs(60));
        assert_eq!([0; 3].map(|_| limit.take(1_000_000 * SECOND_NS)), [Some(0), Some(0), None]);
        assert_eq!([0; 3].map(|_| limit.take(2_000_000 * SECOND_NS)), [Some(1), Some(0), None]);
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_lines() {
        let limit = Limit::new(1, Duration::from_secs(60));
        assert_eq!([100, 0, 50].map(|s| limit.take(s * SECOND_NS)), [Some(0), None, None]);
    }
}
