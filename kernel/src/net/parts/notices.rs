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
        let now_ns = now.total_micros() as u64 * 1000;
        match self.0.take(now_ns) {
            Some(0) => crate::println!("network: {line}"),
            Some(held_back) => crate::println!("network: {line} ({held_back} lines were held back before)"),
            None => {}
        }
    }
}
