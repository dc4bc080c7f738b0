//! x86_64, paravirtualised: from Xen's entry to Rust, with what the start info says.
//!
//! Source: `xen/include/public/arch-x86/xen.h`, `xen/include/public/elfnote.h`.

use core::arch::global_asm;
use core::ptr::NonNull;

use kernel::println;
use xen_sys::elf_note;
use xen_sys::start_info::StartInfo;
use xen_sys::types::{Mfn, Port};

use crate::arch::{self, memory};
use crate::boot::{self, Boot};
use crate::console;
use crate::memory::PAGE_SIZE;
use crate::shared_page::SharedPage;
use crate::shared_ring::SharedRing;

mod stack_check;
mod traps;

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

/// The first Rust code. Runs once, on the image's stack, with Xen's initial page tables.
extern "C" fn start(start_info_page: NonNull<StartInfo>) -> ! {
    // SAFETY: Xen has put the start info there, for the guest alone; whoever is suspended has it changed again, but no
    // reference lasts as long.
    let start_info = unsafe { start_info_page.as_ref() };
    // SAFETY: the start info is Xen's, and this is the first and only call, before anything uses the shared info page.
    unsafe { memory::map_shared_info(start_info.shared_info) };
    let entered_ns = arch::now_ns();
    traps::install();
    // From here on, what goes wrong can be said.
    console::open(ring(start_info.console.mfn, start_info.console.evtchn));
    // SAFETY: the start info is Xen's, nothing is allocated yet, and this is the only call.
    let free = unsafe { memory::take_over(start_info) };
    arch::suspend::prepare(start_info_page);
    let given_bytes = start_info.nr_pages as usize * PAGE_SIZE;
    let total_bytes = given_bytes.min(memory::REACH_BYTES);
    if total_bytes < given_bytes {
        println!("warning: memory above {} MiB is not used", total_bytes >> 20);
    }
    // SAFETY: as above; this part is never changed.
    let command_line = unsafe { (&raw const (*start_info_page.as_ptr()).cmd_line).as_ref_unchecked() };
    let command_line = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
    boot::start(Boot {
        entered_ns,
        command_line,
        memory: 0..total_bytes,
        free,
        xenstore: ring(start_info.store_mfn, start_info.store_evtchn),
        // The CPU has a generator of its own: `arch::entropy`.
        seed: None,
    })
}

/// A shared ring that the domain builder has set up: its page is one of the guest's, and mapped.
fn ring(mfn: u64, port: u32) -> SharedRing {
    let address = core::ptr::with_exposed_provenance_mut(arch::pfn(Mfn(mfn)).0 * PAGE_SIZE);
    let Some(address) = NonNull::new(address) else { panic!("a shared ring in page 0") };
    // SAFETY: Xen's start info names the page, which is mapped for the guest's whole life and not part of free memory.
    SharedRing { page: unsafe { SharedPage::new(address) }, port: Port(port) }
}
