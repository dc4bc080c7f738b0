//! Traps: every exception is reported on the console in plain text and ends the domain. None is ever resumed.
//!
//! Xen pushes the trap's frame on the current stack: rcx, r11, an error code for some vectors, rip, cs, rflags, rsp,
//! ss. Source: `xen/include/public/arch-x86/xen-x86_64.h`.

use core::arch::global_asm;
use core::fmt;

use xen_sys::arch::{FLAT_KERNEL_CS, TrapInfo};

use crate::{arch, crash};

/// Number of exceptions.
const VECTORS: usize = 20;

/// Exceptions by vector, with the name that the processor manuals use.
const NAMES: [&str; VECTORS] = [
    "divide error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection fault",
    "page fault",
    "spurious interrupt",
    "x87 floating point error",
    "alignment check",
    "machine check",
    "SIMD floating point error",
];

const INVALID_OPCODE: u64 = 6;
const PAGE_FAULT: u64 = 14;

// One entry a vector: a call, whose return address tells the vector. `trap_plain` puts an error code of 0 where the
// processor pushes none. The registers that both use have been pushed by Xen.
global_asm!(
    r#"
    .pushsection .text.traps, "ax", @progbits
    .balign 8
    trap_entries:
    .irp kind, plain, plain, plain, plain, plain, plain, plain, plain, coded, plain
        .balign 8
        call trap_\kind
    .endr
    .irp kind, coded, coded, coded, coded, coded, plain, plain, coded, plain, plain
        .balign 8
        call trap_\kind
    .endr
    trap_plain:
        pop r11
        pop rcx
        xchg r11, [rsp]
        push [rsp]
        mov qword ptr [rsp + 8], 0
        jmp trap_common
    trap_coded:
        pop r11
        pop rcx
        xchg r11, [rsp]
    trap_common:
        push rax
        push rbx
        push rcx
        push rdx
        push rsi
        push rdi
        push rbp
        push r8
        push r9
        push r10
        push r11
        push r12
        push r13
        push r14
        push r15
        mov rdi, rsp
        and rsp, -16
        cld
        call {report}
        ud2
    .popsection
    "#,
    report = sym report,
);

/// Distance between two entries.
const ENTRY_BYTES: u64 = 8;

unsafe extern "C" {
    static __image_start: [u8; 0];
    static __text_end: [u8; 0];
    /// The first entry.
    #[link_name = "trap_entries"]
    static ENTRIES: [u8; 0];
}

/// The processor's state when the trap struck, as the entry leaves it on the stack.
#[repr(C)]
struct Frame {
    /// r15 down to rax.
    registers: [u64; 15],
    /// As the entry leaves it, an address within the entry; [`report`] makes it the vector.
    vector: u64,
    error_code: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Names of [`Frame::registers`], from the last to the first.
const REGISTERS: [&str; 15] =
    ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

/// Makes the handlers known to Xen.
pub(super) fn install() {
    let mut table = [TrapInfo { vector: 0, flags: 0, cs: FLAT_KERNEL_CS, address: 0 }; VECTORS + 1];
    let first = (&raw const ENTRIES).addr() as u64;
    for (vector, entry) in (0u8..).zip(&mut table[..VECTORS]) {
        entry.vector = vector;
        entry.address = first + u64::from(vector) * ENTRY_BYTES;
    }
    // SAFETY: the table's last address is 0, and the handlers run anywhere that there is stack.
    unsafe { xen_sys::arch::set_trap_table(&table) };
}

extern "C" fn report(frame: &mut Frame) -> ! {
    frame.vector = (frame.vector - (&raw const ENTRIES).addr() as u64) / ENTRY_BYTES;
    let shared = arch::shared_info().as_ptr();
    // SAFETY: the field lies within the shared info page, which is mapped for the guest's whole life.
    let cr2 = unsafe { (&raw const (*shared).vcpu_info[0].arch.cr2).read_volatile() };
    let address = (frame.vector == PAGE_FAULT).then_some(cr2);
    if frame.vector == INVALID_OPCODE && stopped_at_ud2(frame.rip) {
        crash::panicked(frame.rip as usize, frame);
    }
    let name = NAMES.get(frame.vector as usize).copied().unwrap_or_default();
    crash::trap(name, address.map(|address| address as usize), frame)
}

/// Whether the trap was the instruction into which the compiler turns a panic.
fn stopped_at_ud2(rip: u64) -> bool {
    const UD2: [u8; 2] = [0x0f, 0x0b];
    let text = (&raw const __image_start).addr()..(&raw const __text_end).addr() - UD2.len();
    let address = rip as usize;
    // SAFETY: both bytes lie in the image's text, which is always mapped.
    text.contains(&address) && unsafe { core::ptr::with_exposed_provenance::<[u8; 2]>(address).read() } == UD2
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.vector == PAGE_FAULT {
            let access = match self.error_code {
                code if code & 16 != 0 => "execute",
                code if code & 2 != 0 => "write",
                _ => "read",
            };
            let page = if self.error_code & 1 == 0 { "not mapped" } else { "protected" };
            writeln!(f, "  {access}, page {page}")?;
        }
        writeln!(
            f,
            "  rip {:#x} rsp {:#x} rflags {:#x} error code {:#x}",
            self.rip, self.rsp, self.rflags, self.error_code
        )?;
        for (name, value) in REGISTERS.iter().zip(self.registers.iter().rev()) {
            write!(f, "  {name} {value:#x}")?;
        }
        Ok(())
    }
}
