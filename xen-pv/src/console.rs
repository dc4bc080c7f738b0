//! The PV console: a ring of bytes in each direction.
//!
//! Source: `xen/include/public/io/console.h`. The other end is `xenconsoled` in dom0, which may write anything into the
//! page: indices are checked before they are used.

use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};

use xen_sys::io::console::ConsoleInterface;
use xen_sys::types::Port;

use crate::boot::SharedRing;
use crate::hypervisor::Hypervisor;
use crate::real::{self, Xen};
use crate::single_cpu::SingleCpu;

const OUTPUT_BYTES: u32 = size_of::<[u8; 2048]>() as u32;

static CONSOLE: SingleCpu<Cell<Option<Ring>>> = SingleCpu::new(Cell::new(None));

#[derive(Clone, Copy)]
struct Ring {
    page: NonNull<ConsoleInterface>,
    port: Port,
}

struct PvConsole;

impl kernel::console::Console for PvConsole {
    fn write(&self, bytes: &[u8]) {
        if let Some(ring) = CONSOLE.get().get() {
            ring.write(bytes);
        }
    }
}

/// Opens the console.
pub(crate) fn open(ring: SharedRing) {
    CONSOLE.get().set(Some(Ring { page: ring.page.cast(), port: ring.port }));
    kernel::console::attach(&PvConsole);
}

/// Waits until all that was written has been taken.
pub(crate) fn flush() {
    if let Some(ring) = CONSOLE.get().get() {
        ring.wait_until(|free| free == OUTPUT_BYTES);
    }
}

impl Ring {
    fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.wait_until(|free| free > 0);
            let page = self.page.as_ptr();
            // SAFETY: the page is the console's, mapped for the guest's whole life; only this end writes `out_prod`.
            let produced = unsafe { (&raw const (*page).out_prod).read_volatile() };
            let taken = bytes.len().min(self.free() as usize);
            for (index, byte) in (produced..).zip(&bytes[..taken]) {
                // SAFETY: the offset is below the ring's size.
                unsafe { (&raw mut (*page).output).cast::<u8>().add((index % OUTPUT_BYTES) as usize).write_volatile(*byte) };
            }
            // The bytes are visible before the index that says so.
            fence(Ordering::Release);
            // SAFETY: as above.
            unsafe { (&raw mut (*page).out_prod).write_volatile(produced.wrapping_add(taken as u32)) };
            // The console is there for the guest's whole life; an event that cannot be sent would only delay the text.
            let _ = Xen.notify(self.port);
            bytes = &bytes[taken..];
        }
    }

    /// Room in the output ring. An index that makes no sense counts as a full ring.
    fn free(&self) -> u32 {
        let page = self.page.as_ptr();
        // SAFETY: the page is the console's, mapped for the guest's whole life.
        let (consumed, produced) =
            unsafe { ((&raw const (*page).out_cons).read_volatile(), (&raw const (*page).out_prod).read_volatile()) };
        // The console has read the bytes before it says so: no byte written from here on can overwrite an unread one.
        fence(Ordering::Acquire);
        OUTPUT_BYTES.saturating_sub(produced.wrapping_sub(consumed))
    }

    /// Sleeps until the room in the ring satisfies `enough`.
    fn wait_until(&self, enough: impl Fn(u32) -> bool) {
        loop {
            // Cleared before the look, so that an event which comes after it ends the sleep.
            Xen.take_pending(self.port);
            if enough(self.free()) {
                return;
            }
            real::poll(&[self.port], None);
        }
    }
}
