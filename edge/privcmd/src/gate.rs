//! The gate to Xen: hypercalls with arguments in memory that stays where it is, and pages of other domains.
//!
//! Arguments lie in a buffer that /dev/xen/hypercall lends: Linux neither moves nor unmaps it while Xen looks at it.
//! All addresses that Xen gets are made here, and lie in that buffer; so what Xen writes, it writes there.

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::ptr::null_mut;

use rustix::ioctl::{self, Direction, Ioctl, IoctlOutput, Opcode, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use xen_sys::event_channel::{AllocUnbound, EVTCHNOP_ALLOC_UNBOUND};
use xen_sys::memory::{Reservation, XENMEM_POPULATE_PHYSMAP};
use xen_sys::mmuext::MmuextOp;
use xen_sys::types::{Domid, PAGE_SIZE};
use xen_sys::{context, domctl, hvm, number, sysctl};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The buffer: a page for an operation's argument, and behind it what the argument has the address of.
const BUFFER_BYTES: usize = 8 * PAGE_SIZE;
/// Where that begins.
const ATTACHED_AT: usize = PAGE_SIZE;
/// The most bytes of it.
pub(crate) const ATTACHED_MAX: usize = BUFFER_BYTES - ATTACHED_AT;
/// What there is at least where Xen reads a CPU's registers: those of the CPU that has more.
pub(crate) const CONTEXT_BYTES: usize = size_of::<context::X86>();
/// From one domain of a list to the next.
pub(crate) const DOMAIN_INFO_STRIDE: usize = match std::env::consts::ARCH.as_bytes() {
    b"arm" | b"aarch64" => domctl::DOMAIN_INFO_STRIDE_ARM,
    _ => domctl::DOMAIN_INFO_STRIDE_X86,
};

/// Where an operation's argument goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hypercall {
    /// An operation on a domain.
    Domctl(u32),
    /// One on the machine.
    Sysctl(u32),
    /// One of the hypercalls that take an operation's number and its argument.
    Operation(usize, usize),
    /// One on a domain's page tables.
    Mmuext,
}

/// The argument of an operation.
///
/// # Safety
/// The structure is the one that Xen takes for this operation. Of its fields, Xen takes that at `ADDRESS_AT` for an
/// address, and no other; there it uses `attached_bytes` at most, whatever the structure says.
pub(crate) unsafe trait Argument: FromBytes + IntoBytes + Immutable {
    /// Which operation.
    const HYPERCALL: Hypercall;
    /// Its name in errors.
    const NAME: &'static str;
    /// Where an address stands in it.
    const ADDRESS_AT: Option<usize> = None;
    /// How many bytes Xen reads or writes there.
    fn attached_bytes(&self) -> usize {
        0
    }
}

/// Lets a domain run: an operation without an argument.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct Unpause;

/// Takes a domain apart, likewise.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
pub(crate) struct Destroy;

macro_rules! numbers_only {
    ($($argument:ty: $name:literal, $hypercall:expr;)*) => {$(
        // SAFETY: it is this operation's argument, as a test of xen-sys compares with Xen's header; all fields are numbers.
        unsafe impl Argument for $argument {
            const HYPERCALL: Hypercall = $hypercall;
            const NAME: &'static str = $name;
        }
    )*};
}

numbers_only! {
    AllocUnbound: "evtchn alloc_unbound", Hypercall::Operation(number::EVENT_CHANNEL_OP, EVTCHNOP_ALLOC_UNBOUND);
    Destroy: "domctl destroydomain", Hypercall::Domctl(domctl::DESTROYDOMAIN);
    MmuextOp: "mmuext", Hypercall::Mmuext;
    Unpause: "domctl unpausedomain", Hypercall::Domctl(domctl::UNPAUSEDOMAIN);
    domctl::AddressSize: "domctl set_address_size", Hypercall::Domctl(domctl::SET_ADDRESS_SIZE);
    domctl::CacheFlush: "domctl cacheflush", Hypercall::Domctl(domctl::CACHEFLUSH);
    domctl::CreateArm: "domctl createdomain", Hypercall::Domctl(domctl::CREATEDOMAIN);
    domctl::CreateX86: "domctl createdomain", Hypercall::Domctl(domctl::CREATEDOMAIN);
    domctl::DomainInfo: "domctl getdomaininfo", Hypercall::Domctl(domctl::GETDOMAININFO);
    domctl::MaxMem: "domctl max_mem", Hypercall::Domctl(domctl::MAX_MEM);
    domctl::MaxVcpus: "domctl max_vcpus", Hypercall::Domctl(domctl::MAX_VCPUS);
    domctl::PagingMempool: "domctl set_paging_mempool_size", Hypercall::Domctl(domctl::SET_PAGING_MEMPOOL_SIZE);
    domctl::SchedulerOp: "domctl scheduler_op", Hypercall::Domctl(domctl::SCHEDULER_OP);
    hvm::Param: "hvm set_param", Hypercall::Operation(number::HVM_OP, hvm::HVMOP_SET_PARAM);
    sysctl::PhysInfo: "sysctl physinfo", Hypercall::Sysctl(sysctl::PHYSINFO);
    sysctl::SchedId: "sysctl sched_id", Hypercall::Sysctl(sysctl::SCHED_ID);
}

// SAFETY: as above; Xen reads the registers that one CPU begins with, which are not more on any CPU.
unsafe impl Argument for domctl::VcpuContext {
    const HYPERCALL: Hypercall = Hypercall::Domctl(domctl::SETVCPUCONTEXT);
    const NAME: &'static str = "domctl setvcpucontext";
    const ADDRESS_AT: Option<usize> = Some(offset_of!(domctl::VcpuContext, ctxt));
    fn attached_bytes(&self) -> usize {
        CONTEXT_BYTES
    }
}

// SAFETY: as above; Xen reads and writes a frame's number for each run.
unsafe impl Argument for Reservation {
    const HYPERCALL: Hypercall = Hypercall::Operation(number::MEMORY_OP, XENMEM_POPULATE_PHYSMAP);
    const NAME: &'static str = "memory populate_physmap";
    const ADDRESS_AT: Option<usize> = Some(offset_of!(Reservation, extent_start));
    fn attached_bytes(&self) -> usize {
        usize::try_from(self.nr_extents).unwrap_or(usize::MAX).saturating_mul(size_of::<u64>())
    }
}

// SAFETY: as above; Xen writes as many domains at most as it is told.
unsafe impl Argument for sysctl::DomainInfoList {
    const HYPERCALL: Hypercall = Hypercall::Sysctl(sysctl::GETDOMAININFOLIST);
    const NAME: &'static str = "sysctl getdomaininfolist";
    const ADDRESS_AT: Option<usize> = Some(offset_of!(sysctl::DomainInfoList, buffer));
    fn attached_bytes(&self) -> usize {
        (self.max_domains as usize).saturating_mul(DOMAIN_INFO_STRIDE)
    }
}

/// `struct privcmd_hypercall`.
#[repr(C)]
struct PrivcmdHypercall {
    number: u64,
    arguments: [u64; 5],
}

/// `struct privcmd_mmapbatch_v2`.
#[repr(C)]
struct MapBatch {
    count: u32,
    domain: Domid,
    address: u64,
    frames: *const u64,
    errors: *mut i32,
}

/// `struct privcmd_mmap_resource`.
#[repr(C)]
struct MapResource {
    domain: Domid,
    kind: u32,
    id: u32,
    first: u32,
    count: u64,
    address: u64,
}

/// One of privcmd's requests: they say that they transfer nothing, and return a number.
struct Request<'a, T, const NUMBER: u8>(&'a mut T);

// SAFETY: each use names the request whose structure `T` is, as privcmd.h has it; Linux reads it and writes only where it
// points to.
unsafe impl<T, const NUMBER: u8> Ioctl for Request<'_, T, NUMBER> {
    type Output = u64;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::from_components(Direction::None, b'P', NUMBER, size_of::<T>())
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self.0).cast()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<u64> {
        Ok(u64::try_from(output).unwrap_or(0))
    }
}

/// `IOCTL_PRIVCMD_HYPERCALL`.
type MakeHypercall<'a> = Request<'a, PrivcmdHypercall, 0>;
/// `IOCTL_PRIVCMD_MMAPBATCH_V2`.
type MapFrames<'a> = Request<'a, MapBatch, 4>;
/// `IOCTL_PRIVCMD_MMAP_RESOURCE`.
type MapGrants<'a> = Request<'a, MapResource, 7>;

/// The gate.
#[derive(Debug)]
pub(crate) struct Gate {
    privcmd: File,
    buffer: Mapping,
}

impl Gate {
    pub(crate) fn open() -> io::Result<Self> {
        let device = |path| OpenOptions::new().read(true).write(true).open(path);
        let buffer = Mapping::new(&device("/dev/xen/hypercall")?, BUFFER_BYTES)?;
        Ok(Self { privcmd: device("/dev/xen/privcmd")?, buffer })
    }

    /// Makes a hypercall with this argument, and with what the argument has the address of; both are as Xen has left
    /// them afterwards. Its result, or for an operation on a domain the domain's number.
    pub(crate) fn ask<A: Argument>(&mut self, domain: Domid, argument: &mut A, attached: &mut [u8]) -> io::Result<u64> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        if argument.attached_bytes() > attached.len() {
            return Err(invalid());
        }
        let header = header(A::HYPERCALL, domain);
        let start = self.buffer.start.addr() as u64;
        let buffer = self.buffer.bytes_mut();
        // Xen reads the longest of its arguments, whichever it is.
        buffer[..ATTACHED_AT].fill(0);
        let (beginning, rest) = buffer.split_at_mut(header.len());
        beginning.copy_from_slice(&header);
        let place = rest.get_mut(..size_of::<A>()).ok_or_else(invalid)?;
        place.copy_from_slice(argument.as_bytes());
        if let Some(at) = A::ADDRESS_AT {
            place[at..at + 8].copy_from_slice(&(start + ATTACHED_AT as u64).to_ne_bytes());
        }
        buffer.get_mut(ATTACHED_AT..ATTACHED_AT + attached.len()).ok_or_else(invalid)?.copy_from_slice(attached);
        let (number, arguments) = match A::HYPERCALL {
            Hypercall::Domctl(_) => (number::DOMCTL, [start, 0, 0, 0, 0]),
            Hypercall::Sysctl(_) => (number::SYSCTL, [start, 0, 0, 0, 0]),
            Hypercall::Operation(number, operation) => (number, [operation as u64, start, 0, 0, 0]),
            // One of them; no count of those that are done is wanted.
            Hypercall::Mmuext => (number::MMUEXT_OP, [start, 1, 0, domain.0.into(), 0]),
        };
        let mut call = PrivcmdHypercall { number: number as u64, arguments };
        // SAFETY: it is that request's structure. Xen reads and writes the argument in the buffer's first page, and behind
        // it not more than there is, as `Argument` says; no reference into the buffer lasts until here.
        let result = unsafe { ioctl::ioctl(&self.privcmd, MakeHypercall::of(&mut call)) }?;
        let buffer = self.buffer.bytes_mut();
        argument.as_mut_bytes().copy_from_slice(&buffer[header.len()..header.len() + size_of::<A>()]);
        attached.copy_from_slice(&buffer[ATTACHED_AT..ATTACHED_AT + attached.len()]);
        let named = domctl::Header::read_from_prefix(buffer).map_or(domain, |(header, _)| header.domain);
        Ok(if matches!(A::HYPERCALL, Hypercall::Domctl(_)) { named.0.into() } else { result })
    }

    /// Writes into pages of a domain, from the first one's beginning on.
    pub(crate) fn write_frames(&self, domain: Domid, frames: &[u64], bytes: &[u8]) -> io::Result<()> {
        let count = u32::try_from(frames.len()).map_err(io::Error::other)?;
        if bytes.is_empty() || bytes.len() > frames.len() * PAGE_SIZE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut mapping = Mapping::new(&self.privcmd, frames.len() * PAGE_SIZE)?;
        let mut errors = vec![0; frames.len()];
        let address = mapping.start.addr() as u64;
        let mut batch = MapBatch { count, domain, address, frames: frames.as_ptr(), errors: errors.as_mut_ptr() };
        // SAFETY: it is that request's structure, whose two arrays have as many entries as it says and outlive the call;
        // the address is that of a mapping of this device, of so many pages, which are not used yet.
        unsafe { ioctl::ioctl(&self.privcmd, MapFrames::of(&mut batch)) }?;
        if let Some(error) = errors.iter().find(|error| **error != 0) {
            return Err(io::Error::from_raw_os_error(error.saturating_neg()));
        }
        mapping.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Writes the beginning of a domain's grant table.
    pub(crate) fn write_resource(&self, domain: Domid, kind: u32, id: u32, bytes: &[u8]) -> io::Result<()> {
        let mut mapping = Mapping::new(&self.privcmd, PAGE_SIZE)?;
        let address = mapping.start.addr() as u64;
        let mut resource = MapResource { domain, kind, id, first: 0, count: 1, address };
        // SAFETY: it is that request's structure; the address is that of a mapping of this device, of one page.
        unsafe { ioctl::ioctl(&self.privcmd, MapGrants::of(&mut resource)) }?;
        let place = mapping.bytes_mut().get_mut(..bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        place.copy_from_slice(bytes);
        Ok(())
    }
}

impl<'a, T, const NUMBER: u8> Request<'a, T, NUMBER> {
    fn of(argument: &'a mut T) -> Self {
        Self(argument)
    }
}

/// What stands before an operation's argument.
fn header(hypercall: Hypercall, domain: Domid) -> Vec<u8> {
    match hypercall {
        Hypercall::Domctl(cmd) => {
            let interface_version = domctl::INTERFACE_VERSION;
            domctl::Header { cmd, interface_version, domain, pad: [0; 3] }.as_bytes().to_vec()
        }
        Hypercall::Sysctl(cmd) => {
            sysctl::Header { cmd, interface_version: sysctl::INTERFACE_VERSION }.as_bytes().to_vec()
        }
        Hypercall::Operation(..) | Hypercall::Mmuext => Vec::new(),
    }
}

/// Memory of a device.
#[derive(Debug)]
struct Mapping {
    start: *mut c_void,
    bytes: usize,
}

// SAFETY: it is memory like any other, owned by this value alone.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(device: &File, bytes: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so no other memory is replaced.
        let start = unsafe { mmap(null_mut(), bytes, access, MapFlags::SHARED, device, 0) }?;
        Ok(Self { start, bytes })
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: it is mapped so far, and nobody else in this process has it. A domain whose pages they are does not run
        // yet; what Xen writes it writes within a hypercall, for which this value is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length, and nothing refers to it any more.
        let _ = unsafe { munmap(self.start, self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use rustix::ioctl::Ioctl;

    use super::{MakeHypercall, MapBatch, MapFrames, MapGrants, MapResource, PrivcmdHypercall};
    use xen_sys::types::Domid;

    /// As `_IOC(_IOC_NONE, 'P', n, sizeof(...))` of privcmd.h has them on a CPU with pointers of this size.
    #[test]
    fn requests_are_those_of_privcmds_header() {
        let mut hypercall = PrivcmdHypercall { number: 0, arguments: [0; 5] };
        assert_eq!(MakeHypercall::of(&mut hypercall).opcode(), 0x0030_5000);
        let (frames, errors) = (std::ptr::null(), std::ptr::null_mut());
        let mut batch = MapBatch { count: 0, domain: Domid(0), address: 0, frames, errors };
        let size = 16 + 2 * size_of::<usize>() as u32;
        assert_eq!(MapFrames::of(&mut batch).opcode(), size << 16 | 0x5004);
        let mut resource = MapResource { domain: Domid(0), kind: 0, id: 0, first: 0, count: 0, address: 0 };
        assert_eq!(MapGrants::of(&mut resource).opcode(), 0x0020_5007);
    }
}
