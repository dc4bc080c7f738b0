//! The console of this guest: its ring, its event channel, and what waits for either.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use xen_sys::types::Port;

use super::backlog::Backlog;
use super::ring::{OUTPUT_BYTES, Ring};
use crate::arch;
use crate::hypervisor::Hypervisor;
use crate::shared_ring::SharedRing;
use crate::single_cpu::SingleCpu;
use crate::xen::{self, Xen};

/// What is kept for a console that does not take it.
const BACKLOG_BYTES: usize = 16 * 1024;

/// How long the end of the domain waits for a console that nobody seems to read.
const PATIENCE_NS: u64 = 5_000_000_000;

static CONSOLE: SingleCpu<Cell<Option<Channel>>> = SingleCpu::new(Cell::new(None));

static BACKLOG: SingleCpu<RefCell<Backlog<BACKLOG_BYTES>>> = SingleCpu::new(RefCell::new(Backlog::new()));

/// Who waits for input.
static READER: SingleCpu<RefCell<Option<Waker>>> = SingleCpu::new(RefCell::new(None));

/// An event came while the domain's end waited for room; it may have been for the reader.
static MISSED: SingleCpu<Cell<bool>> = SingleCpu::new(Cell::new(false));

#[derive(Clone, Copy)]
struct Channel {
    ring: Ring,
    port: Port,
}

struct PvConsole;

impl kernel::console::Console for PvConsole {
    fn write(&self, bytes: &[u8]) {
        let Some(channel) = CONSOLE.get().get() else { return };
        let mut backlog = BACKLOG.get().borrow_mut();
        // In pieces, so that a long text finds the ring's room as well as the backlog's.
        for piece in bytes.chunks(OUTPUT_BYTES as usize) {
            backlog.push(piece);
            channel.drain(&mut backlog);
        }
    }
}

/// Opens the console.
pub(crate) fn open(ring: SharedRing) {
    CONSOLE.get().set(Some(Channel { ring: Ring::new(ring.page), port: ring.port }));
    kernel::console::attach(&PvConsole);
}

/// Goes on with another port, in a domain that was resumed.
pub(crate) fn rebind(port: Port) {
    if let Some(channel) = CONSOLE.get().get() {
        CONSOLE.get().set(Some(Channel { port, ..channel }));
    }
}

/// Waits until all that was written has been taken, or nobody takes it.
pub(crate) fn flush() {
    let Some(channel) = CONSOLE.get().get() else { return };
    let until_ns = arch::now_ns() + PATIENCE_NS;
    loop {
        let mut backlog = BACKLOG.get().borrow_mut();
        channel.drain(&mut backlog);
        if backlog.is_empty() && channel.ring.room() == OUTPUT_BYTES {
            return;
        }
        drop(backlog);
        // Cleared before the next look, so that an event which comes after that look ends the sleep.
        if Xen.take_pending(channel.port) {
            MISSED.get().set(true);
        } else if arch::now_ns() >= until_ns {
            // That nobody takes it cannot be said anywhere.
            return;
        } else {
            xen::poll(&[channel.port], Some(until_ns));
        }
    }
}

/// Bytes that were lost because nobody took them.
pub(crate) fn lost_bytes() -> u64 {
    BACKLOG.get().borrow().lost()
}

/// The port to sleep on.
pub(crate) fn port() -> Option<Port> {
    CONSOLE.get().get().map(|channel| channel.port)
}

/// If an event came, sends what waits and wakes the reader.
pub(crate) fn dispatch() {
    let Some(channel) = CONSOLE.get().get() else { return };
    if MISSED.get().take() | Xen.take_pending(channel.port) {
        channel.drain(&mut BACKLOG.get().borrow_mut());
        if let Some(waker) = READER.get().take() {
            waker.wake();
        }
    }
}

/// Waits for input and returns how many bytes of it were put at the start of `destination`, at least one.
pub(crate) async fn read(destination: &mut [u8]) -> usize {
    poll_fn(|context| {
        let length = CONSOLE.get().get().map_or(0, |channel| channel.read(destination));
        if length > 0 {
            return Poll::Ready(length);
        }
        READER.get().replace(Some(context.waker().clone()));
        Poll::Pending
    })
    .await
}

impl Channel {
    /// Puts into the ring what waits.
    fn drain(self, backlog: &mut Backlog<BACKLOG_BYTES>) {
        backlog.drain(|bytes| {
            if bytes.is_empty() {
                return self.ring.room() as usize;
            }
            let written = self.ring.write(bytes);
            self.tell(written);
            written
        });
    }

    fn read(self, destination: &mut [u8]) -> usize {
        let length = self.ring.read(destination);
        self.tell(length);
        length
    }

    /// Tells the console that so many bytes were moved.
    fn tell(self, bytes: usize) {
        if bytes > 0 {
            // An event that cannot be sent only delays the text.
            let _ = Xen.notify(self.port);
        }
    }
}
