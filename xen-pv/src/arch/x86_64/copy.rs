//! Copying and comparing memory.
//!
//! The compiler calls `memcmp` and `memmove`. The routines that it brings for them compare and copy words, and are ten
//! times as long as these: 0.5 % of an image. Both are for short texts and lists only; what moves packets is `memcpy`,
//! which stays the compiler's. Its own ones are weak.

use core::arch::{asm, global_asm};

global_asm!(
    r#"
    .pushsection .text.memcmp, "ax", @progbits
    .globl memcmp
    .type memcmp, @function
    memcmp:
        mov rcx, rdx
        xor eax, eax
        # Without bytes to compare, the flags say "equal", as the instruction before has left them.
        repe cmpsb
        je 2f
        movzx eax, byte ptr [rdi - 1]
        movzx ecx, byte ptr [rsi - 1]
        sub eax, ecx
    2:  ret
    .size memcmp, . - memcmp
    .popsection

    .pushsection .text.memmove, "ax", @progbits
    .globl memmove
    .type memmove, @function
    memmove:
        mov rcx, rdx
        mov rax, rdi
        sub rdi, rsi
        # Forwards, unless the destination begins inside the source.
        cmp rdi, rcx
        mov rdi, rax
        jae 2f
        std
        lea rdi, [rdi + rcx - 1]
        lea rsi, [rsi + rcx - 1]
    2:  rep movsb
        cld
        ret
    .size memmove, . - memmove
    .popsection
    "#
);

/// Copies bytes that somebody else may read or write meanwhile: each is read once and written once.
///
/// # Safety
/// `bytes` bytes must be readable at `source` and writable at `destination`, and must not overlap.
#[inline(never)]
pub(crate) unsafe fn copy(destination: *mut u8, source: *const u8, bytes: usize) {
    // SAFETY: the caller promises that the memory may be accessed. The compiler cannot look inside, and so neither
    // repeats nor leaves out a read.
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
