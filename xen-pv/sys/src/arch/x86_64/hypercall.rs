//! The hypercall instruction: number in rax, arguments in rdi, rsi, rdx and r10, result in rax. All else is preserved
//! but rcx and r11, which the instruction overwrites, and the arguments.
//!
//! Source: `xen/include/public/arch-x86/xen-x86_64.h`.

use core::arch::asm;

/// Calls the hypervisor with two arguments; the result is negative for an error (a negated errno of Xen).
///
/// # Safety
/// The arguments must be what the hypercall `number` asks for; what they point to must be valid for its access.
#[inline]
pub unsafe fn hypercall2(number: usize, first: usize, second: usize) -> isize {
    let result;
    // SAFETY: a guest's kernel-mode `syscall` enters Xen, which preserves all registers but rax, rcx, r11 and those of
    // the arguments: its debug builds overwrite the latter (`hypercall_args_table` in Xen's `x86/pv/hypercall.c`). The
    // caller vouches for the arguments. Memory is not marked untouched, as Xen may write through the arguments.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, inlateout("rdi") first => _,
            inlateout("rsi") second => _, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Calls the hypervisor with three arguments.
///
/// # Safety
/// As for [`hypercall2`].
#[inline]
pub unsafe fn hypercall3(number: usize, first: usize, second: usize, third: usize) -> isize {
    let result;
    // SAFETY: as in `hypercall2`.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, inlateout("rdi") first => _,
            inlateout("rsi") second => _, inlateout("rdx") third => _, lateout("rcx") _, lateout("r11") _,
            options(nostack));
    }
    result
}

/// Calls the hypervisor with four arguments.
///
/// # Safety
/// As for [`hypercall2`].
#[inline]
pub unsafe fn hypercall4(number: usize, first: usize, second: usize, third: usize, fourth: usize) -> isize {
    let result;
    // SAFETY: as in `hypercall2`; the fourth argument goes into r10, since `syscall` overwrites rcx.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, inlateout("rdi") first => _,
            inlateout("rsi") second => _, inlateout("rdx") third => _, inlateout("r10") fourth => _, lateout("rcx") _,
            lateout("r11") _, options(nostack));
    }
    result
}
