//! Plain text on the console.
//!
//! What a person needs when no decoder is at hand (the boot line, results, errors, a crash) is plain text; everything
//! else is logged with defmt, whose frames share the console: a frame is the byte [`FRAME_START`], which never occurs in
//! UTF-8, then rzCOBS data, then a zero byte, which never occurs in rzCOBS.

use core::fmt::{self, Write};

use spin::Once;

/// The byte that starts a defmt frame on a console that carries text as well.
pub const FRAME_START: u8 = 0xfe;

/// Where the console's bytes go: the PV console ring, a process's standard output, a test's buffer.
pub trait Console: Sync {
    /// Writes all bytes, waiting for room where the console is slow.
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

/// Prints a line of plain text on the console.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::console::print_line(::core::format_args!($($argument)*)) };
}
