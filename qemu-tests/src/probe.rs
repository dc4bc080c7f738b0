//! The smallest guest, made by hand: prints what it is told to and ends with the reason it is told to.
//!
//! The bed tests itself with it: when this guest works and another one does not, the fault is not the bed's.

mod armv7;
mod x86_64;

use crate::guest::ShutdownReason;
use crate::machine::Arch;

/// The most that fits into the console's ring at once.
const LONGEST_TEXT: usize = 2048;

/// What the program reads behind itself.
struct Fields<'a> {
    text: &'a [u8],
    reason: ShutdownReason,
}

impl Fields<'_> {
    /// The text's length, the reason, room for the console's port, the text.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.text.len() as u32, self.reason.code(), 0].map(u32::to_le_bytes).concat();
        bytes.extend_from_slice(self.text);
        bytes
    }
}

/// An image for guests of this machine that prints `text` (cut at 2048 bytes) and ends the domain with this reason.
#[must_use]
pub fn image(arch: Arch, text: &[u8], reason: ShutdownReason) -> Vec<u8> {
    let fields = Fields { text: &text[..text.len().min(LONGEST_TEXT)], reason };
    match arch {
        Arch::X86_64 => x86_64::image(&fields),
        Arch::Armv7 | Arch::Aarch64 => armv7::image(&fields),
    }
}
