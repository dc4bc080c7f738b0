//! x86_64, paravirtualised: entry, shared info, clock.
//!
//! Source: `xen/include/public/arch-x86/xen.h`, `xen/include/public/elfnote.h`.

use core::arch::{asm, global_asm};
use core::ptr::NonNull;

use xen_sys::arch::{MACHINE_TO_PHYS, StartInfo};
use xen_sys::elf_note;
use xen_sys::shared_info::SharedInfo;
use xen_sys::types::{Gfn, Mfn, Pfn, Port};

use crate::boot::{BootInfo, SharedRing};
use crate::memory::PAGE_SIZE;
use crate::shared_page::SharedPage;

mod copy;
#[cfg(feature = "netfront")]
mod grant_frames;
pub(crate) mod memory;
mod pvclock;
mod stack;
#[cfg(feature = "xenstore")]
mod suspend;
mod traps;

pub(crate) use copy::copy;
#[cfg(feature = "netfront")]
pub(crate) use grant_frames::map_grant_frames;
pub(crate) use pvclock::{now_ns, system_time_ns, woke};
#[cfg(feature = "xenstore")]
pub(crate) use suspend::{SUSPENDS, suspend};

// The image's first instructions and its notes. Xen enters with rsi = start info and a one-page stack, which is left
// for the image's own at once.
global_asm!(
    r#"
    .pushsection .text.entry, "ax", @progbits
    .globl _start
    _start:
        cld
        lea rsp, [__stack_top]
        mov rdi, rsi
        xor ebp, ebp
        call {start}
        ud2
    .popsection

    .macro XEN_NOTE type, text
    .pushsection .note.Xen, "a", @note
        .balign 4
        .long 4, 2f - 1f, \type
        .asciz "Xen"
    1:  .asciz "\text"
    2:  .balign 4
    .popsection
    .endm
    XEN_NOTE {guest_os}, "Spore"
    XEN_NOTE {xen_version}, "xen-3.0"
    XEN_NOTE {loader}, "generic"
    "#,
    start = sym start,
    guest_os = const elf_note::GUEST_OS,
    xen_version = const elf_note::XEN_VERSION,
    loader = const elf_note::LOADER,
);

unsafe extern "C" {
    /// The page that the linker script sets aside for Xen's shared info.
    static mut __shared_info: [u8; PAGE_SIZE];
}

/// Where Xen's shared info page is mapped.
pub(crate) fn shared_info() -> NonNull<SharedInfo> {
    // SAFETY: the address of a static is not null.
    unsafe { NonNull::new_unchecked(&raw mut __shared_info).cast() }
}

/// The first Rust code. Runs once, on the image's stack, with Xen's initial page tables.
extern "C" fn start(start_info_page: NonNull<StartInfo>) -> ! {
    // SAFETY: Xen has put the start info there, for the guest alone; whoever is suspended has it changed again, but no
    // reference lasts as long.
    let start_info = unsafe { start_info_page.as_ref() };
    // SAFETY: the start info is Xen's, and this is the first and only call, before anything uses the shared info page.
    unsafe { memory::map_shared_info(start_info.shared_info) };
    let entered_ns = now_ns();
    traps::install();
    // From here on, what goes wrong can be said.
    crate::console::open(ring(start_info.console.mfn, start_info.console.evtchn));
    // SAFETY: the start info is Xen's, nothing is allocated yet, and this is the only call.
    let free = unsafe { memory::take_over(start_info) };
    #[cfg(feature = "xenstore")]
    suspend::prepare(start_info_page);
    let given_bytes = start_info.nr_pages as usize * PAGE_SIZE;
    let total_bytes = given_bytes.min(memory::REACH_BYTES);
    if total_bytes < given_bytes {
        kernel::println!("warning: memory above {} MiB is not used", total_bytes >> 20);
    }
    // SAFETY: as above; this part is never changed.
    let command_line = unsafe { (&raw const (*start_info_page.as_ptr()).cmd_line).as_ref_unchecked() };
    let command_line = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
    crate::boot::start(BootInfo {
        entered_ns,
        command_line,
        memory: 0..total_bytes,
        free,
        xenstore: ring(start_info.store_mfn, start_info.store_evtchn),
    })
}

/// A shared ring that the domain builder has set up: its page is one of the guest's, and mapped.
fn ring(mfn: u64, port: u32) -> SharedRing {
    let address = core::ptr::with_exposed_provenance_mut(pfn(Mfn(mfn)).0 * PAGE_SIZE);
    let Some(address) = NonNull::new(address) else { panic!("a shared ring in page 0") };
    // SAFETY: Xen's start info names the page, which is mapped for the guest's whole life and not part of free memory.
    SharedRing { page: unsafe { SharedPage::new(address) }, port: Port(port) }
}

/// The guest's page whose machine frame is `mfn`.
fn pfn(mfn: Mfn) -> Pfn {
    let table = core::ptr::with_exposed_provenance::<u64>(MACHINE_TO_PHYS);
    // SAFETY: Xen maps the machine-to-physical table, readable, in every guest's address space; the frame is Xen's word.
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
