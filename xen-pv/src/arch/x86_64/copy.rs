//! Copying memory that somebody else may write meanwhile.

use core::arch::asm;

/// Copies bytes that somebody else may write meanwhile: each is read once.
///
/// # Safety
/// `bytes` bytes must be readable at `source` and writable at `destination`, and must not overlap.
#[inline(never)]
pub(crate) unsafe fn copy(destination: *mut u8, source: *const u8, bytes: usize) {
    // SAFETY: the caller promises that the memory may be accessed. The compiler cannot look inside, and so neither repeats
    // nor leaves out a read.
    unsafe {
        asm!(
            "sub rcx, 32",
            "jb 3f",
            "2: mov {a}, [rsi]",
            "mov {b}, [rsi + 8]",
            "mov {c}, [rsi + 16]",
            "mov {d}, [rsi + 24]",
            "add rsi, 32",
            "mov [rdi], {a}",
            "mov [rdi + 8], {b}",
            "mov [rdi + 16], {c}",
            "mov [rdi + 24], {d}",
            "add rdi, 32",
            "sub rcx, 32",
            "jae 2b",
            "3: add ecx, 32",
            "rep movsb",
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            inout("rcx") bytes => _,
            inout("rsi") source => _,
            inout("rdi") destination => _,
            options(nostack)
        );
    }
}
