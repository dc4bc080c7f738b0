//! Suspend and resume: the domain ends here, and goes on in another one, with other machine frames.
//!
//! The toolstack saves all of the guest's memory. What it cannot translate must be gone before: mappings of pages that
//! are Xen's, not the guest's. It puts the new machine frames into page tables, the p2m list, registers and the start
//! info; Xen's pages are new. For the p2m list it looks into the shared info page, from the beginning of its work on.
//!
//! Source: `xg_sr_save_x86_pv.c` and `xg_sr_restore_x86_pv.c` of Xen's libxenguest; `xen/include/public/sched.h`,
//! `SHUTDOWN_suspend`.

use core::cell::Cell;
use core::ptr::NonNull;

use xen_sys::arch::hypercall3;
use xen_sys::number;
use xen_sys::sched::{SCHEDOP_SHUTDOWN, Shutdown, ShutdownReason};
use xen_sys::start_info::StartInfo;
use xen_sys::types::{Mfn, PAGE_SIZE, Pfn, Port};

use super::grant_frames;
use super::{memory, pvclock};
use crate::arch::Ports;
use crate::single_cpu::SingleCpu;

/// A guest can be suspended.
pub(crate) const SUSPENDS: bool = true;

/// What the toolstack needs of the guest.
#[derive(Clone, Copy)]
struct Description {
    start_info: NonNull<StartInfo>,
    console: Pfn,
    xenstore: Pfn,
}

static DESCRIPTION: SingleCpu<Cell<Option<Description>>> = SingleCpu::new(Cell::new(None));

/// Keeps what a suspension needs, and lets the toolstack find the p2m list.
pub(crate) fn prepare(start_info: NonNull<StartInfo>) {
    // SAFETY: it is the start info, and nothing changes it while the reference lasts.
    let info = unsafe { start_info.as_ref() };
    let (console, xenstore) = (super::pfn(Mfn(info.console.mfn)), super::pfn(Mfn(info.store_mfn)));
    DESCRIPTION.get().set(Some(Description { start_info, console, xenstore }));
    memory::describe();
}

/// Ends the domain, and returns in the one that goes on: with its ports, or nothing when it is still the same.
///
/// Whoever calls it holds nothing that the toolstack could not know of: no message to or from xenstore is under way.
pub(crate) fn suspend() -> Option<Ports> {
    let Description { start_info, console, xenstore } = DESCRIPTION.get().get()?;
    let info = start_info.as_ptr();
    // Read-only otherwise, as everything that is only read.
    memory::set_writable(start_info.addr().get(), true);
    // SAFETY: the start info is a page of the guest's own, mapped writable just now. The one reference into it that is
    // left is to its command line, which nothing changes.
    unsafe {
        (&raw mut (*info).store_mfn).write_volatile(xenstore.0 as u64);
        (&raw mut (*info).console.mfn).write_volatile(console.0 as u64);
    }
    grant_frames::unmap();
    memory::unmap_shared_info();
    let mut argument = Shutdown { reason: ShutdownReason::Suspend };
    let frame = memory::mfn(Pfn(start_info.addr().get() / PAGE_SIZE)).0 as usize;
    let argument = (&raw mut argument).expose_provenance();
    // SAFETY: the operation asks for this structure and, in the third place, the start info's machine frame.
    let cancelled = unsafe { hypercall3(number::SCHED_OP, SCHEDOP_SHUTDOWN, argument, frame) } != 0;

    // SAFETY: the toolstack has put the address of the shared info page there, which nothing uses yet.
    unsafe { memory::resume((&raw const (*info).shared_info).read_volatile()) };
    pvclock::resume();
    grant_frames::map_again();
    // SAFETY: as above.
    let ports = unsafe {
        Ports {
            console: Port((&raw const (*info).console.evtchn).read_volatile()),
            xenstore: Port((&raw const (*info).store_evtchn).read_volatile()),
        }
    };
    memory::set_writable(start_info.addr().get(), false);
    (!cancelled).then_some(ports)
}
