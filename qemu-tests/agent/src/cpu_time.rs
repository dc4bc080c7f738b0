//! How long domains have used the CPU, as Xen counts it: in nanoseconds, where `xl` prints tenths of a second.
//!
//! Implements `XEN_DOMCTL_getdomaininfo` of Xen 4.17 (xen/include/public/domctl.h), reached through Linux's devices for
//! the toolstack: /dev/xen/hypercall lends a page that stays where it is, /dev/xen/privcmd makes the hypercall.

use crate::protocol::CpuTimes;
use rustix::ioctl::{self, Updater, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::time::Instant;

/// `__HYPERVISOR_domctl`.
const DOMCTL: u64 = 36;
/// `XEN_DOMCTL_INTERFACE_VERSION` of Xen 4.17. Another Xen answers EACCES.
const INTERFACE_VERSION: u32 = 0x15;
/// `XEN_DOMCTL_getdomaininfo`.
const GET_DOMAIN_INFO: u32 = 5;
/// Size of `struct xen_domctl`.
const DOMCTL_BYTES: usize = 144;
/// Where `cpu_time` lies in it: behind the header of 16 bytes, domain, flags and six numbers of 64 bits.
const CPU_TIME_AT: usize = 72;
/// One page.
const PAGE_BYTES: usize = 4096;

/// `struct privcmd_hypercall`: the hypercall's number and its arguments.
type Hypercall = [u64; 6];
/// `IOCTL_PRIVCMD_HYPERCALL`, which says that it transfers nothing.
const HYPERCALL: ioctl::Opcode =
    opcode::from_components(ioctl::Direction::None, b'P', 0, std::mem::size_of::<Hypercall>());

/// The CPU times of some domains since each was made, and dom0's clock at that moment.
///
/// # Errors
/// There is no such domain, or Xen is of another version.
pub fn of(domains: &[u16]) -> io::Result<CpuTimes> {
    let gate = OpenOptions::new().read(true).write(true).open("/dev/xen/privcmd")?;
    let page = Page::new()?;
    let now = Instant::now();
    let used_ns = domains.iter().map(|domain| page.cpu_time(&gate, *domain)).collect::<io::Result<_>>()?;
    let clock_ns = u64::try_from(now.duration_since(clock_start()).as_nanos()).map_err(io::Error::other)?;
    Ok(CpuTimes { clock_ns, used_ns })
}

/// When this was first asked.
fn clock_start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// A page for a hypercall's arguments; Linux neither moves nor unmaps it.
struct Page(*mut c_void);

impl Page {
    fn new() -> io::Result<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/xen/hypercall")?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: The kernel chooses the address, so no other memory is replaced.
        let page = unsafe { mmap(std::ptr::null_mut(), PAGE_BYTES, access, MapFlags::SHARED, &device, 0) }?;
        Ok(Self(page))
    }

    fn cpu_time(&self, gate: &File, domain: u16) -> io::Result<u64> {
        let arguments = self.0.cast::<[u8; DOMCTL_BYTES]>();
        // SAFETY: The page is ours, it is writable and longer than this, and no reference into it exists.
        unsafe { arguments.write(request(domain)) };
        let mut call: Hypercall = [DOMCTL, self.0.addr() as u64, 0, 0, 0, 0];
        // SAFETY: The opcode takes this structure. What Xen writes, it writes into the page: not more than a `struct
        // xen_domctl`.
        unsafe { ioctl::ioctl(gate, Updater::<HYPERCALL, Hypercall>::new(&mut call)) }?;
        // SAFETY: As above; any bytes are right for the type.
        Ok(answer(&unsafe { arguments.read() }))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: Made by mmap with this length, and nothing points into it any more.
        let _ = unsafe { munmap(self.0, PAGE_BYTES) };
    }
}

/// The operation's arguments: a `struct xen_domctl`.
fn request(domain: u16) -> [u8; DOMCTL_BYTES] {
    let mut request = [0; DOMCTL_BYTES];
    request[..4].copy_from_slice(&GET_DOMAIN_INFO.to_ne_bytes());
    request[4..8].copy_from_slice(&INTERFACE_VERSION.to_ne_bytes());
    request[8..10].copy_from_slice(&domain.to_ne_bytes());
    request
}

/// What Xen has left there.
fn answer(arguments: &[u8; DOMCTL_BYTES]) -> u64 {
    let mut time = [0; 8];
    time.copy_from_slice(&arguments[CPU_TIME_AT..CPU_TIME_AT + 8]);
    u64::from_ne_bytes(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opcode_is_the_headers() {
        // _IOC(_IOC_NONE, 'P', 0, sizeof(privcmd_hypercall_t)) on x86 and ARM.
        assert_eq!(HYPERCALL, 48 << 16 | 0x50 << 8);
    }

    #[test]
    fn the_domain_is_where_xen_looks_and_the_time_where_it_writes() {
        let mut arguments = request(0x0102);
        assert_eq!(arguments[..10], [5, 0, 0, 0, 0x15, 0, 0, 0, 2, 1]);
        arguments[72..80].copy_from_slice(&123_456_789_012_u64.to_ne_bytes());
        assert_eq!(answer(&arguments), 123_456_789_012);
    }
}
