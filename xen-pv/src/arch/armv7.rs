//! ARMv7, with hardware-translated memory: entry, shared pages, random words.
//!
//! The image is a zImage; read `armv7/entry.rs` first for the state in which Rust begins. Source:
//! `xen/include/public/arch-arm.h`; Linux' `Documentation/arch/arm/booting.rst` for the state at entry.

use core::cell::Cell;
use core::ptr::NonNull;

use xen_sys::hvm::{
    HVMOP_GET_PARAM, PARAM_CONSOLE_EVTCHN, PARAM_CONSOLE_PFN, PARAM_STORE_EVTCHN, PARAM_STORE_PFN, Param,
};
use xen_sys::memory::{AddToPhysmap, XENMAPSPACE_SHARED_INFO, XENMEM_ADD_TO_PHYSMAP};
use xen_sys::number;
use xen_sys::shared_info::SharedInfo;
use xen_sys::types::{Domid, Gfn, Port};

use crate::boot::{BootInfo, SharedRing};
use crate::device_tree::Facts;
use crate::hypervisor::Error;
use crate::memory::PAGE_SIZE;
use crate::real;
use crate::shared_page::SharedPage;
use crate::single_cpu::SingleCpu;

mod clock;
mod copy;
mod entry;
#[cfg(feature = "netfront")]
mod grant_frames;
pub(crate) mod memory;
mod traps;

pub(crate) use clock::{now_ns, system_time_ns, woke};
pub(crate) use copy::copy;
#[cfg(feature = "netfront")]
pub(crate) use grant_frames::map_grant_frames;

unsafe extern "C" {
    /// The page that the linker script sets aside for Xen's shared info.
    static mut __shared_info: [u8; PAGE_SIZE];
}

/// Random words from the device tree, until they are asked for.
static SEED: SingleCpu<Cell<Option<[u64; 4]>>> = SingleCpu::new(Cell::new(None));

/// Where Xen's shared info page is mapped.
pub(crate) fn shared_info() -> NonNull<SharedInfo> {
    // SAFETY: the address of a static is not null.
    unsafe { NonNull::new_unchecked(&raw mut __shared_info).cast() }
}

/// The first Rust code, with memory mapped and caches on. Runs once. The device tree is at `blob`.
extern "C" fn start(blob: NonNull<u8>, entered_ticks: u64) -> ! {
    clock::set_rate(None);
    // From here on, what goes wrong can be said.
    crate::console::open(ring(PARAM_CONSOLE_PFN, PARAM_CONSOLE_EVTCHN));
    let here = Gfn((shared_info().addr().get() / PAGE_SIZE) as u64);
    let placed = place(XENMAPSPACE_SHARED_INFO, 0, here);
    assert!(placed == Ok(()), "shared info page: {placed:?}");

    // SAFETY: xl leaves the device tree there, in memory that the entry has mapped and nothing has used.
    let (facts, free_start) = unsafe { memory::take_device_tree(blob) };
    let Facts { memory, command_line, grant_window, timer_hz, seed } = facts;
    clock::set_rate(timer_hz);
    clock::start(entered_ticks);
    SEED.get().set(seed);
    let memory_end = memory::map(memory);
    memory::set_grant_window(grant_window);
    crate::boot::start(BootInfo {
        entered_ns: clock::at(entered_ticks),
        command_line,
        memory: xen_sys::arch::GUEST_RAM_BASE..memory_end,
        free: free_start..memory_end,
        xenstore: ring(PARAM_STORE_PFN, PARAM_STORE_EVTCHN),
    })
}

/// A shared ring that the domain builder has set up, outside the guest's memory.
fn ring(pfn: u32, port: u32) -> SharedRing {
    /// Page frames below 4 GiB.
    const REACH: u64 = 1 << 20;
    let pfn = parameter(pfn);
    assert!((1..REACH).contains(&pfn), "a shared ring in page frame {pfn:#x}");
    let address = pfn as usize * PAGE_SIZE;
    memory::map_page(address);
    // SAFETY: the page frame is not 0.
    let address = unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(address)) };
    // SAFETY: the toolstack says that the page is there; it is mapped, for ever, and used for nothing else.
    SharedRing { page: unsafe { SharedPage::new(address) }, port: Port(parameter(port) as u32) }
}

/// A parameter that the toolstack has left, or 0.
fn parameter(index: u32) -> u64 {
    let mut argument = Param { domid: Domid::SELF, pad: 0, index, value: 0 };
    let result = real::operation(number::HVM_OP, HVMOP_GET_PARAM, &mut argument);
    if result.is_ok() { argument.value } else { 0 }
}

/// Has a page of Xen's appear in the guest's physical memory.
fn place(space: u32, idx: u64, gpfn: Gfn) -> Result<(), Error> {
    let mut argument = AddToPhysmap { domid: Domid::SELF, size: 0, space, idx, gpfn };
    real::operation(number::MEMORY_OP, XENMEM_ADD_TO_PHYSMAP, &mut argument).map(|_| ())
}

/// The number by which the page at `address` is granted: its place in the guest's physical memory.
pub(crate) fn gfn(address: NonNull<u8>) -> Gfn {
    Gfn((address.addr().get() / PAGE_SIZE) as u64)
}

/// Random words that Xen's toolstack has drawn for this guest; an ARMv7 CPU has no generator. They are given out once.
pub(crate) fn entropy() -> Option<[u64; 4]> {
    SEED.get().take()
}

/// A guest cannot be suspended: Xen's toolstack does not save domains on ARM.
#[cfg(feature = "xenstore")]
pub(crate) const SUSPENDS: bool = false;

/// Never called, see [`SUSPENDS`].
#[cfg(feature = "xenstore")]
pub(crate) fn suspend() -> Option<crate::resume::Ports> {
    None
}

/// Halts for ever, after the domain has been ended.
pub(crate) fn stop() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
