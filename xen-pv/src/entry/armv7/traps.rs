//! Exceptions: every one is reported on the console in plain text and ends the domain. None is ever resumed.
//!
//! The handlers leave the registers in a frame of static memory, one for all, and go on in supervisor mode with the
//! whole stack to themselves: so that a stack overflow can be reported like anything else.
//!
//! Source: ARM Architecture Reference Manual, ARMv7-A (DDI 0406C), B1.8, B3.13.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::fmt;
use core::ops::Range;

use xen_sys::arch::GUEST_RAM_BASE;

use crate::crash;
use crate::single_cpu::SingleCpu;

const UNDEFINED: u32 = 1;
const PREFETCH_ABORT: u32 = 3;
const DATA_ABORT: u32 = 4;

/// The bits of a fault status register that say why, and what Xen puts there: "debug event".
const FAULT_STATUS: u32 = 0x40f;
const MADE_BY_XEN: u32 = 0x002;

/// Where a stack overflow strikes: below the stack's 64 KiB nothing is mapped, so that no function's frame, however
/// large, reaches over it.
const BELOW_STACK: Range<usize> = GUEST_RAM_BASE - (64 << 20)..GUEST_RAM_BASE - (64 << 10);

// The vectors are one instruction each. Those of undefined instructions and aborts find the frame in their mode's own
// stack pointer, where the entry has put it; the others, which never strike, take the aborts'.
global_asm!(
    r#"
    .pushsection .text.traps, "ax", %progbits
    .arm
    .balign 32
    exception_vectors:
        b 1f
        b 2f
        b 1f
        b 3f
        b 4f
        b 1f
        b 1f
        b 1f
    .macro TRAP kind
        stmia sp, {{r0-r12}}
        mov r1, #\kind
        b 5f
    .endm
    1:  cps #0x17
        TRAP 0
    2:  TRAP {undefined}
    3:  TRAP {prefetch_abort}
    4:  TRAP {data_abort}
    5:  mrs r2, spsr
        str lr, [sp, #52]
        str r1, [sp, #56]
        str r2, [sp, #60]
        mov r0, sp
        cps #0x13
        str sp, [r0, #64]
        str lr, [r0, #68]
        ldr sp, ={stack_top}
        bl {report}
        udf #0
        .ltorg
    .popsection
    "#,
    undefined = const UNDEFINED,
    prefetch_abort = const PREFETCH_ABORT,
    data_abort = const DATA_ABORT,
    stack_top = const GUEST_RAM_BASE,
    report = sym report,
);

/// The CPU's state when the exception struck.
#[repr(C)]
struct Frame {
    registers: [u32; 13],
    /// The exception's link register: an address a few bytes behind the instruction.
    link: u32,
    kind: u32,
    cpsr: u32,
    sp: u32,
    lr: u32,
}

#[unsafe(export_name = "exception_frame")]
static FRAME: SingleCpu<UnsafeCell<Frame>> =
    SingleCpu::new(UnsafeCell::new(Frame { registers: [0; 13], link: 0, kind: 0, cpsr: 0, sp: 0, lr: 0 }));

/// What an abort's status register says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    NotMapped,
    Protected,
    Alignment,
    Other,
}

extern "C" fn report(frame: &Frame) -> ! {
    let (status, address) = frame.fault_registers();
    let pc = frame.pc() as usize;
    if frame.kind == UNDEFINED && frame.stopped_at_udf() {
        crash::panicked(pc, frame);
    }
    if frame.kind == DATA_ABORT && BELOW_STACK.contains(&(address as usize)) {
        crash::stack_overflow(pc, frame.sp as usize);
    }
    let name = match (frame.kind, fault(status)) {
        (UNDEFINED, _) => "undefined instruction",
        (DATA_ABORT | PREFETCH_ABORT, Fault::NotMapped | Fault::Protected) => "page fault",
        (DATA_ABORT | PREFETCH_ABORT, Fault::Alignment) => "alignment fault",
        (DATA_ABORT | PREFETCH_ABORT, Fault::Other) => "abort",
        _ => "unexpected exception",
    };
    crash::trap(name, (frame.kind >= PREFETCH_ABORT).then_some(address as usize), frame)
}

fn fault(status: u32) -> Fault {
    match status & FAULT_STATUS {
        0x005 | 0x007 => Fault::NotMapped,
        0x00d | 0x00f => Fault::Protected,
        0x001 => Fault::Alignment,
        _ => Fault::Other,
    }
}

impl Frame {
    fn thumb(&self) -> bool {
        self.cpsr & 1 << 5 != 0
    }

    /// The instruction that struck.
    fn pc(&self) -> u32 {
        let (status, _) = self.fault_registers();
        self.link.wrapping_sub(match (self.kind, self.thumb()) {
            // One that Xen has made of an address which it does not know (`inject_abt32_exception`).
            (DATA_ABORT, thumb) if status & FAULT_STATUS == MADE_BY_XEN => 4 * u32::from(thumb),
            (DATA_ABORT, _) => 8,
            (UNDEFINED, true) => 2,
            _ => 4,
        })
    }

    /// Status and address of the last abort of this kind.
    fn fault_registers(&self) -> (u32, u32) {
        let (status, address): (u32, u32);
        // SAFETY: reads DFSR and DFAR, or IFSR and IFAR.
        unsafe {
            if self.kind == DATA_ABORT {
                asm!("mrc p15, 0, {}, c5, c0, 0", "mrc p15, 0, {}, c6, c0, 0", out(reg) status, out(reg) address,
                    options(nomem, nostack, preserves_flags));
            } else {
                asm!("mrc p15, 0, {}, c5, c0, 1", "mrc p15, 0, {}, c6, c0, 2", out(reg) status, out(reg) address,
                    options(nomem, nostack, preserves_flags));
            }
        }
        (status, address)
    }

    /// Whether it was the instruction into which the compiler turns a panic.
    fn stopped_at_udf(&self) -> bool {
        const UDF_THUMB: u16 = 0xdefe;
        let address = core::ptr::with_exposed_provenance::<u16>(self.pc() as usize);
        // SAFETY: the CPU has just fetched the instruction from there, so it is mapped, and it is aligned.
        self.thumb() && unsafe { address.read() } == UDF_THUMB
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, _) = self.fault_registers();
        if self.kind >= PREFETCH_ABORT {
            let access = match self.kind {
                PREFETCH_ABORT => "execute",
                _ if status & 1 << 11 != 0 => "write",
                _ => "read",
            };
            let page = match fault(status) {
                Fault::NotMapped => "page not mapped",
                Fault::Protected => "page protected",
                Fault::Alignment | Fault::Other => "for another reason",
            };
            writeln!(f, "  {access}, {page}, status {status:#x}")?;
        }
        writeln!(f, "  pc {:#x} sp {:#x} lr {:#x} cpsr {:#x}", self.pc(), self.sp, self.lr, self.cpsr)?;
        for (number, value) in self.registers.iter().enumerate() {
            write!(f, "  r{number} {value:#x}")?;
        }
        Ok(())
    }
}
