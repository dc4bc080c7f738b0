//! The hypercall instruction: number in r12, arguments in r0 to r4, result in r0, all else preserved.
//!
//! Source: `xen/include/public/arch-arm.h`, "Hypercall Calling Convention".

use core::arch::asm;

/// Calls the hypervisor with two arguments; the result is negative for an error (a negated errno of Xen).
///
/// # Safety
/// The arguments must be what the hypercall `number` asks for; what they point to must be valid for its access.
#[inline]
pub unsafe fn hypercall2(number: usize, first: usize, second: usize) -> isize {
    // SAFETY: the caller vouches for the arguments; the third is not looked at by a call that takes two.
    unsafe { hypercall3(number, first, second, 0) }
}

/// Calls the hypervisor with three arguments.
///
/// # Safety
/// As for [`hypercall2`].
#[inline]
pub unsafe fn hypercall3(number: usize, first: usize, second: usize, third: usize) -> isize {
    let result;
    // SAFETY: `hvc #0xEA1` enters Xen, which preserves all registers but the result; some builds of it overwrite those
    // of the arguments, so they count as lost. The caller vouches for the arguments. Memory is not marked untouched, as
    // Xen may write through them.
    unsafe {
        asm!(".arch_extension virt", "hvc #0xEA1", inlateout("r0") first => result, inlateout("r1") second => _,
            inlateout("r2") third => _, inlateout("r12") number => _, options(nostack));
    }
    result
}
