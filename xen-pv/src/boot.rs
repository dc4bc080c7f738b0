//! From the architecture's entry to the task's main function.

use core::ops::Range;

use crate::memory;
use crate::shared_ring::SharedRing;

/// What the architecture's entry found. It goes from hand to hand: entry, main function, platform.
pub struct Boot {
    /// When the guest began to run, on the clock of `arch::now_ns`.
    pub(crate) entered_ns: u64,
    /// `extra` of the xl config.
    pub(crate) command_line: &'static [u8],
    /// The guest's memory: addresses.
    pub(crate) memory: Range<usize>,
    /// What of it is mapped and free.
    pub(crate) free: Range<usize>,
    /// Xenstore's ring.
    pub(crate) xenstore: SharedRing,
    /// Random words that the toolstack has drawn for this guest, where it does.
    pub(crate) seed: Option<[u64; 4]>,
}

unsafe extern "Rust" {
    /// The task, bound to this platform by [`crate::main!`].
    safe fn __spore_main(boot: Boot) -> !;
}

unsafe extern "C" {
    static __image_start: [u8; 0];
    static __image_end: [u8; 0];
}

/// Called once by the architecture's entry, with page tables in place and the console open.
pub(crate) fn start(boot: Boot) -> ! {
    let image_bytes = (&raw const __image_end).addr() - (&raw const __image_start).addr();
    // SAFETY: this is the only call, and the entry vouches for the range.
    unsafe { memory::initialise(boot.free.clone(), image_bytes, boot.memory.clone()) };
    __spore_main(boot)
}
