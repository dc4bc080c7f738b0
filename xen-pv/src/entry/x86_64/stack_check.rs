//! The stack check: names a stack overflow, which the guard page alone cannot.
//!
//! On a fault Xen pushes the trap's frame on the guest's current stack. When that stack has run into its guard page,
//! Xen cannot push, and ends the domain before any handler runs (`create_bounce_frame` in Xen's `x86_64/entry.S`): the
//! right reason, but not a word on the console. So every function begins with five bytes that the compiler sets aside
//! (`-Zpatchable-function-entry`) and that `cargo xtask` turns into a call of [`stack_check`]. The guard page stays: it
//! ends the domain should one frame be larger than the reserve.

use core::arch::global_asm;

use crate::crash;

/// What must be left below the stack pointer when a function is entered: the largest frame of one function, and a
/// hypercall's or trap's needs. Frames above a page are probed page by page and cannot step over the guard.
const RESERVE_BYTES: usize = 8192;

// Called first thing in a function: the return address is within that function, arguments are in their registers, and
// all of these must survive; the flags need not. The report never returns, so it has the whole stack to itself.
global_asm!(
    r#"
    .pushsection .text.stack_check, "ax", @progbits
    .globl __stack_check
    __stack_check:
        cmp rsp, offset __stack_bottom + {reserve}
        jb 2f
        ret
    2:  mov rdi, [rsp]
        mov rsi, rsp
        lea rsp, [__stack_top]
        call {report}
        ud2
    .popsection
    "#,
    reserve = const RESERVE_BYTES,
    report = sym report,
);

extern "C" fn report(entered: usize, stack_pointer: usize) -> ! {
    crash::stack_overflow(entered, stack_pointer)
}
