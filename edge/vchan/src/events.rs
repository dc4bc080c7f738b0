//! Event channels, by `/dev/xen/evtchn`.
//!
//! Source: `include/uapi/xen/evtchn.h` of Linux.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::time::Duration;

use channel::Events;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::ioctl::{self, Direction, Opcode, Setter, opcode};

use crate::Error;

const DEVICE: &str = "/dev/xen/evtchn";

const fn number<T>(number: u8) -> Opcode {
    opcode::from_components(Direction::None, b'E', number, size_of::<T>())
}

/// `IOCTL_EVTCHN_BIND_INTERDOMAIN`: the domain, and its port. The port is what is returned.
const BIND_INTERDOMAIN: Opcode = number::<[u32; 2]>(1);
/// `IOCTL_EVTCHN_BIND_UNBOUND_PORT`: the domain.
const BIND_UNBOUND: Opcode = number::<u32>(2);
/// `IOCTL_EVTCHN_NOTIFY`: the port.
const NOTIFY: Opcode = number::<u32>(4);

/// A port of this program's, which Linux closes with the file.
#[derive(Debug)]
pub(crate) struct Line {
    device: File,
    port: u32,
    domain: u16,
    store: RefCell<xenstore::Client>,
}

/// An ioctl whose result is a port.
struct Bind<const OPCODE: Opcode, T>(T);

// SAFETY: the opcodes that it is used with take a pointer to this structure, and only read it.
unsafe impl<const OPCODE: Opcode, T> ioctl::Ioctl for Bind<OPCODE, T> {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut core::ffi::c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(result: ioctl::IoctlOutput, _: *mut core::ffi::c_void) -> rustix::io::Result<u32> {
        Ok(result as u32)
    }
}

impl Line {
    /// A port that a domain may bind to.
    pub(crate) fn unbound(domain: u16) -> Result<Self, Error> {
        Self::open(domain, Bind::<BIND_UNBOUND, u32>(domain.into()))
    }

    /// A port that is bound to that of a domain.
    pub(crate) fn bound(domain: u16, theirs: u32) -> Result<Self, Error> {
        Self::open(domain, Bind::<BIND_INTERDOMAIN, [u32; 2]>([domain.into(), theirs]))
    }

    fn open(domain: u16, bind: impl ioctl::Ioctl<Output = u32>) -> Result<Self, Error> {
        let failed = |error| Error::device(DEVICE, error);
        let device = OpenOptions::new().read(true).write(true).open(DEVICE).map_err(failed)?;
        // SAFETY: a `Bind` takes its structure and nothing else.
        let port = unsafe { ioctl::ioctl(&device, bind) }.map_err(|error| failed(error.into()))?;
        Ok(Self { device, port, domain, store: RefCell::new(xenstore::Client::new()) })
    }

    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Waits for an event, but not longer than this.
    pub(crate) fn wait(&self, patience: Duration) -> io::Result<()> {
        let timeout = Timespec { tv_sec: patience.as_secs() as _, tv_nsec: patience.subsec_nanos() as _ };
        if poll(&mut [PollFd::new(&self.device, PollFlags::IN)], Some(&timeout))? > 0 {
            let mut port = [0; 4];
            (&self.device).read_exact(&mut port)?;
            // Lets the next event of this port through.
            (&self.device).write_all(&port)?;
        }
        Ok(())
    }
}

impl Events for Line {
    fn send(&self) {
        // SAFETY: the opcode takes a port and only reads it.
        let sent = unsafe { ioctl::ioctl(&self.device, Setter::<NOTIFY, u32>::new(self.port)) };
        // A port that is ours is open; that the other end is gone is no error to Linux.
        debug_assert!(sent.is_ok(), "{sent:?}");
    }

    /// Linux does not tell whether a port has lost its other end, but xenstore knows a domain as long as it lives.
    fn is_bound(&self) -> bool {
        let path = format!("/local/domain/{}", self.domain);
        // Who cannot be asked is taken to live.
        !matches!(self.store.borrow_mut().read(&path), Ok(None))
    }
}

#[cfg(test)]
mod tests {
    use super::{BIND_INTERDOMAIN, BIND_UNBOUND, NOTIFY};

    #[test]
    fn the_opcodes_are_those_of_the_header() {
        // _IOC(_IOC_NONE, 'E', number, size) on x86 and ARM.
        assert_eq!([BIND_INTERDOMAIN, BIND_UNBOUND, NOTIFY], [0x0008_4501, 0x0004_4502, 0x0004_4504]);
    }
}
