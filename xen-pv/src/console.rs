//! The PV console: a ring of bytes in each direction.
//!
//! Source: `xen/include/public/io/console.h`. The other end is `xenconsoled` in dom0, which may write anything into the
//! page: an index that makes no sense is never used as one.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::mem::offset_of;
use core::sync::atomic::{Ordering, fence};
use core::task::{Poll, Waker};

use xen_sys::io::console::ConsoleInterface;
use xen_sys::types::Port;

use crate::arch;
use crate::hypervisor::Hypervisor;
use crate::shared_page::SharedPage;
use crate::shared_ring::SharedRing;
use crate::single_cpu::SingleCpu;
use crate::xen::{self, Xen};

const INPUT_BYTES: u32 = 1024;
const OUTPUT_BYTES: u32 = 2048;

static CONSOLE: SingleCpu<Cell<Option<Ring>>> = SingleCpu::new(Cell::new(None));

/// Who waits for input.
static READER: SingleCpu<RefCell<Option<Waker>>> = SingleCpu::new(RefCell::new(None));

/// Nobody has read the console for [`PATIENCE_NS`]; what does not fit is lost.
static DEAF: SingleCpu<Cell<bool>> = SingleCpu::new(Cell::new(false));

/// How long a writer waits for a console that nobody seems to read: text must not keep the guest from working or ending.
const PATIENCE_NS: u64 = 5_000_000_000;

/// An event came while the writer waited for room; it may have been for the reader.
static MISSED: SingleCpu<Cell<bool>> = SingleCpu::new(Cell::new(false));

#[derive(Clone, Copy)]
struct Ring {
    page: SharedPage<'static>,
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
    CONSOLE.get().set(Some(Ring { page: ring.page, port: ring.port }));
    kernel::console::attach(&PvConsole);
}

/// Goes on with another port, in a domain that was resumed.
#[cfg(feature = "xenstore")]
pub(crate) fn rebind(port: Port) {
    if let Some(ring) = CONSOLE.get().get() {
        CONSOLE.get().set(Some(Ring { port, ..ring }));
    }
}

/// Waits until all that was written has been taken, or nobody takes it.
pub(crate) fn flush() {
    if let Some(ring) = CONSOLE.get().get() {
        // That nobody takes it cannot be said anywhere.
        let _ = ring.wait_for_room(OUTPUT_BYTES);
    }
}

/// The port to sleep on.
pub(crate) fn port() -> Option<Port> {
    CONSOLE.get().get().map(|ring| ring.port)
}

/// Wakes the reader if an event came.
pub(crate) fn dispatch() {
    let Some(ring) = CONSOLE.get().get() else { return };
    if (MISSED.get().take() | Xen.take_pending(ring.port))
        && let Some(waker) = READER.get().take()
    {
        waker.wake();
    }
}

/// Waits for input and returns how many bytes of it were put at the start of `destination`, at least one.
pub(crate) async fn read(destination: &mut [u8]) -> usize {
    poll_fn(|context| {
        let length = CONSOLE.get().get().map_or(0, |ring| ring.read(destination));
        if length > 0 {
            return Poll::Ready(length);
        }
        READER.get().replace(Some(context.waker().clone()));
        Poll::Pending
    })
    .await
}

impl Ring {
    fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(room) = self.wait_for_room(1) else { return };
            let produced = self.page.read::<u32>(offset_of!(ConsoleInterface, out_prod));
            let start = produced % OUTPUT_BYTES;
            // Up to the end of what is free, and up to the ring's end.
            let length = bytes.len().min(room as usize).min((OUTPUT_BYTES - start) as usize);
            let (now, later) = bytes.split_at(length);
            self.page.write_bytes(offset_of!(ConsoleInterface, output) + start as usize, now);
            // The bytes are visible before the index that says so.
            fence(Ordering::Release);
            self.page.write(offset_of!(ConsoleInterface, out_prod), produced.wrapping_add(length as u32));
            // An event that cannot be sent only delays the text.
            let _ = Xen.notify(self.port);
            bytes = later;
        }
    }

    fn read(&self, destination: &mut [u8]) -> usize {
        let consumed = self.page.read::<u32>(offset_of!(ConsoleInterface, in_cons));
        let produced = self.page.read::<u32>(offset_of!(ConsoleInterface, in_prod));
        // The index is read before the bytes that it covers.
        fence(Ordering::Acquire);
        let start = consumed % INPUT_BYTES;
        let available = Some(produced.wrapping_sub(consumed)).filter(|length| *length <= INPUT_BYTES).unwrap_or(0);
        let length = destination.len().min(available as usize).min((INPUT_BYTES - start) as usize);
        if length > 0 {
            self.page.read_bytes(offset_of!(ConsoleInterface, input) + start as usize, &mut destination[..length]);
            // The bytes are read before the console may overwrite them.
            fence(Ordering::Release);
            self.page.write(offset_of!(ConsoleInterface, in_cons), consumed.wrapping_add(length as u32));
            let _ = Xen.notify(self.port);
        }
        length
    }

    /// Room in the output ring, in bytes. An index that makes no sense counts as a full ring.
    fn room(&self) -> u32 {
        let consumed = self.page.read::<u32>(offset_of!(ConsoleInterface, out_cons));
        let produced = self.page.read::<u32>(offset_of!(ConsoleInterface, out_prod));
        // The console has read the bytes before it says so: none written from here on can overwrite an unread one.
        fence(Ordering::Acquire);
        OUTPUT_BYTES.saturating_sub(produced.wrapping_sub(consumed))
    }

    /// Sleeps until there is room for `least` bytes, and returns how much there is; `None` when nobody reads the console.
    /// After that no time is lost to it until there is room again.
    fn wait_for_room(&self, least: u32) -> Option<u32> {
        let until_ns = if DEAF.get().get() { 0 } else { arch::now_ns() + PATIENCE_NS };
        loop {
            let room = self.room();
            if room >= least {
                DEAF.get().set(false);
                return Some(room);
            }
            // Cleared before the second look, so that an event which comes after that look ends the sleep.
            if Xen.take_pending(self.port) {
                MISSED.get().set(true);
            } else if arch::now_ns() >= until_ns {
                DEAF.get().set(true);
                return None;
            } else {
                xen::poll(&[self.port], Some(until_ns));
            }
        }
    }
}
