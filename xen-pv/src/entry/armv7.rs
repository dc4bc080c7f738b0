//! ARMv7, with hardware-translated memory: what Xen's toolstack says, in parameters and a device tree.
//!
//! The image is a zImage; read `armv7/head.rs` first for the state in which Rust begins. Source:
//! `xen/include/public/arch-arm.h`; Linux' `Documentation/arch/arm/booting.rst` for the state at entry.

use core::ptr::NonNull;

use xen_sys::arch::GUEST_RAM_BASE;
use xen_sys::hvm::{
    HVMOP_GET_PARAM, PARAM_CONSOLE_EVTCHN, PARAM_CONSOLE_PFN, PARAM_STORE_EVTCHN, PARAM_STORE_PFN, Param,
};
use xen_sys::memory::XENMAPSPACE_SHARED_INFO;
use xen_sys::number;
use xen_sys::types::{Domid, Gfn, Port};

use crate::arch::{self, clock, memory};
use crate::boot::{self, Boot};
use crate::console;
use crate::device_tree::{self, Facts};
use crate::hypercall::{Operation, operation};
use crate::memory::PAGE_SIZE;
use crate::shared_page::SharedPage;
use crate::shared_ring::SharedRing;

mod head;
mod traps;

/// The largest device tree that is believed. xl's has some 4 KiB, most of it the command line.
const DEVICE_TREE_MAX_BYTES: usize = 64 * 1024;

unsafe extern "C" {
    static __image_end: [u8; 0];
}

/// The first Rust code, with memory mapped and caches on. Runs once. The device tree is at `blob`.
extern "C" fn start(blob: NonNull<u8>, entered_ticks: u64) -> ! {
    clock::set_rate(None);
    // From here on, what goes wrong can be said.
    console::open(ring(PARAM_CONSOLE_PFN, PARAM_CONSOLE_EVTCHN));
    let here = Gfn((arch::shared_info().addr().get() / PAGE_SIZE) as u64);
    // SAFETY: the page is set aside for this by the linker script, and nothing has used it.
    let placed = unsafe { arch::place(XENMAPSPACE_SHARED_INFO, 0, here) };
    assert!(placed == Ok(()), "shared info page: {placed:?}");

    // SAFETY: xl leaves the device tree there, in memory that the entry has mapped and nothing has used.
    let (facts, free_start) = unsafe { take_device_tree(blob) };
    let Facts { memory, command_line, grant_window, timer_hz, seed } = facts;
    clock::set_rate(timer_hz);
    clock::start(entered_ticks);
    let memory_end = memory::map(memory);
    memory::set_grant_window(grant_window);
    boot::start(Boot {
        entered_ns: clock::at(entered_ticks),
        command_line,
        memory: GUEST_RAM_BASE..memory_end,
        free: free_start..memory_end,
        xenstore: ring(PARAM_STORE_PFN, PARAM_STORE_EVTCHN),
        seed,
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

// SAFETY: `xen_hvm_param_t`; Xen writes the value.
unsafe impl Operation for Param {
    const HYPERCALL: usize = number::HVM_OP;
    const OPERATION: usize = HVMOP_GET_PARAM;
}

/// A parameter that the toolstack has left, or 0.
fn parameter(index: u32) -> u64 {
    let mut argument = Param { domid: Domid::SELF, pad: 0, index, value: 0 };
    let result = operation(&mut argument);
    if result.is_ok() { argument.value } else { 0 }
}

/// Reads the device tree, then wipes it, because it holds the seed of the random numbers and lies within memory that
/// will be used. The command line is copied behind the image. Returns the facts, and where free memory begins.
///
/// # Safety
/// A device tree must be at `blob`, in mapped memory; to be called once, before any memory behind the image is used.
unsafe fn take_device_tree(blob: NonNull<u8>) -> (Facts<'static>, usize) {
    // SAFETY: a device tree's header begins with its magic number and its size, big-endian; xl aligns it to a page.
    let size = u32::from_be(unsafe { blob.cast::<[u32; 2]>().read() }[1]) as usize;
    let size = size.min(DEVICE_TREE_MAX_BYTES);
    // SAFETY: the tree is there, and nobody writes it while it is read.
    let facts = match device_tree::read(unsafe { core::slice::from_raw_parts(blob.as_ptr(), size) }) {
        Ok(facts) => facts,
        Err(error) => panic!("device tree: {error:?}"),
    };
    let place = core::ptr::with_exposed_provenance_mut::<u8>((&raw const __image_end).addr());
    let length = facts.command_line.len();
    // SAFETY: nothing uses what lies behind the image yet, and `copy` allows the two to overlap.
    unsafe { core::ptr::copy(facts.command_line.as_ptr(), place, length) };
    // SAFETY: it was just written, and nobody writes it again.
    let command_line = unsafe { core::slice::from_raw_parts(place, length) };
    let facts = Facts { command_line, ..facts };
    // SAFETY: nothing refers to the tree any more.
    unsafe { blob.write_bytes(0, size) };
    (facts, (place.addr() + length).next_multiple_of(PAGE_SIZE))
}
