//! From the architecture's entry to the task's main function.

use core::ops::Range;

use xen_sys::types::Port;

use crate::shared_page::SharedPage;
use crate::{memory, platform};

/// A ring that the domain builder has set up: a page that the guest shares with a domain, and its event channel.
pub(crate) struct SharedRing {
    /// The page.
    pub(crate) page: SharedPage<'static>,
    /// This end's port.
    pub(crate) port: Port,
}

/// What the architecture's entry found.
pub(crate) struct BootInfo {
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
}

unsafe extern "Rust" {
    /// The task, bound to this platform by [`crate::main!`].
    safe fn __spore_main() -> !;
}

unsafe extern "C" {
    static __image_start: [u8; 0];
    static __image_end: [u8; 0];
}

/// Called once by the architecture's entry, with page tables in place and the console open.
pub(crate) fn start(info: BootInfo) -> ! {
    let image_bytes = (&raw const __image_end).addr() - (&raw const __image_start).addr();
    // SAFETY: this is the only call, and the entry vouches for the range.
    unsafe { memory::initialise(info.free, image_bytes, info.memory) };
    platform::boot(info.entered_ns, info.command_line, info.xenstore);
    __spore_main()
}
