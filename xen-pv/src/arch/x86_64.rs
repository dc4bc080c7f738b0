//! x86_64, paravirtualised: the shared info page, frame numbers, random words.
//!
//! Source: `xen/include/public/arch-x86/xen.h`.

use core::arch::asm;
use core::ptr::NonNull;

use xen_sys::arch::MACHINE_TO_PHYS;
use xen_sys::shared_info::SharedInfo;
use xen_sys::types::{Gfn, Mfn, PAGE_SIZE, Pfn};

mod copy;
mod grant_frames;
pub(crate) mod memory;
mod pvclock;
pub(crate) mod suspend;

pub(crate) use copy::copy;
pub(crate) use grant_frames::map_grant_frames;
pub(crate) use pvclock::{now_ns, since_wall_clock_ns, system_time_ns, woke};
pub(crate) use suspend::{SUSPENDS, suspend};

unsafe extern "C" {
    /// The page that the linker script sets aside for Xen's shared info.
    static mut __shared_info: [u8; PAGE_SIZE];
}

/// Where Xen's shared info page is mapped.
pub(crate) fn shared_info() -> NonNull<SharedInfo> {
    // SAFETY: the address of a static is not null.
    unsafe { NonNull::new_unchecked(&raw mut __shared_info).cast() }
}

/// The guest's page whose machine frame is `mfn`.
pub(crate) fn pfn(mfn: Mfn) -> Pfn {
    let table = core::ptr::with_exposed_provenance::<u64>(MACHINE_TO_PHYS);
    // SAFETY: Xen maps the machine-to-physical table, readable, in every guest's address space; the frame is Xen's
    // word.
    Pfn(unsafe { table.add(mfn.0 as usize).read() } as usize)
}

/// The number by which the page at `address` is granted: its machine frame.
pub(crate) fn gfn(address: NonNull<u8>) -> Gfn {
    Gfn(memory::mfn(Pfn(address.addr().get() / PAGE_SIZE)).0)
}

/// Random words of the CPU's generator, where it has one. Source: Intel SDM, RDRAND.
pub(crate) fn entropy() -> Option<[u64; 4]> {
    const RDRAND: u32 = 1 << 30;
    // A guest's CPUID may be hidden or changed by Xen only through this form, the forced emulation prefix not being
    // needed where the CPU faults on CPUID; a bit that is not there then only loses this one source.
    if core::arch::x86_64::__cpuid(1).ecx & RDRAND == 0 {
        return None;
    }
    let mut words = [0; 4];
    for word in &mut words {
        // The generator may run dry for a moment; Intel recommends ten tries.
        if !(0..10).any(|_| rdrand(word)) {
            return None;
        }
    }
    Some(words)
}

fn rdrand(word: &mut u64) -> bool {
    let filled: u8;
    // SAFETY: the caller has seen the CPU's flag for the instruction, which touches no memory.
    unsafe { asm!("rdrand {}", "setc {}", out(reg) *word, out(reg_byte) filled, options(nomem, nostack)) };
    filled != 0
}

/// Halts for ever, after the domain has been ended.
pub(crate) fn stop() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
