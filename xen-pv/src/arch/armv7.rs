//! ARMv7, with hardware-translated memory: the shared info page, places for Xen's pages, frame numbers.
//!
//! Source: `xen/include/public/arch-arm.h`.

use core::ptr::NonNull;

use xen_sys::arch::hypercall2;
use xen_sys::memory::{AddToPhysmap, XENMEM_ADD_TO_PHYSMAP};
use xen_sys::number;
use xen_sys::shared_info::SharedInfo;
use xen_sys::types::{Domid, Gfn, PAGE_SIZE};

use crate::error::Error;

pub(crate) mod clock;
mod copy;
mod grant_frames;
pub(crate) mod memory;

pub(crate) use clock::{now_ns, since_wall_clock_ns, system_time_ns, woke};
pub(crate) use copy::copy;
pub(crate) use grant_frames::map_grant_frames;

unsafe extern "C" {
    /// The page that the linker script sets aside for Xen's shared info.
    static mut __shared_info: [u8; PAGE_SIZE];
}

/// Where Xen's shared info page is mapped.
pub(crate) fn shared_info() -> NonNull<SharedInfo> {
    // SAFETY: the address of a static is not null.
    unsafe { NonNull::new_unchecked(&raw mut __shared_info).cast() }
}

/// Has a page of Xen's appear in the guest's physical memory.
///
/// # Safety
/// Nothing may use the page that was at that place until now, if there was one.
pub(crate) unsafe fn place(space: u32, idx: u64, gpfn: Gfn) -> Result<(), Error> {
    let mut argument = AddToPhysmap { domid: Domid::SELF, size: 0, space, idx, gpfn };
    let argument = (&raw mut argument).expose_provenance();
    // SAFETY: the operation asks for this structure; the caller vouches for the place.
    let result = unsafe { hypercall2(number::MEMORY_OP, XENMEM_ADD_TO_PHYSMAP, argument) };
    Error::check(result).map(|_| ())
}

/// The number by which the page at `address` is granted: its place in the guest's physical memory.
pub(crate) fn gfn(address: NonNull<u8>) -> Gfn {
    Gfn((address.addr().get() / PAGE_SIZE) as u64)
}

/// Random words of the CPU: none, an ARMv7 CPU has no generator. Xen's toolstack draws some for the guest instead.
pub(crate) fn entropy() -> Option<[u64; 4]> {
    None
}

/// A guest cannot be suspended: Xen's toolstack does not save domains on ARM.
pub(crate) const SUSPENDS: bool = false;

/// Never called, see [`SUSPENDS`].
pub(crate) fn suspend() -> Option<super::Ports> {
    None
}

/// Halts for ever, after the domain has been ended.
pub(crate) fn stop() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
