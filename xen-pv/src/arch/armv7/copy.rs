//! Copying and filling memory with the vector unit.
//!
//! The routines that the compiler brings copy a word a turn, and take twice as long where source and destination are
//! not aligned alike, which the data of a packet never is: a guest that moves a stream spends most of its time there.
//! These move 32 bytes a turn at any alignment, and are a fifth as long. The symbols are those of the run-time ABI for
//! the ARM architecture (IHI 0043, 4.3.4), which the compiler calls; its own ones are weak.

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .text.copy, "ax", %progbits
    .thumb
    .fpu neon

    @ void *memcpy(void *destination, const void *source, size_t bytes)
    .irp name, memcpy, spore_copy, __aeabi_memcpy, __aeabi_memcpy4, __aeabi_memcpy8
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endr
    mov     r12, r0
    subs    r2, #32
    blo     2f
1:  vld1.8  {{d0-d3}}, [r1]!
    subs    r2, #32
    vst1.8  {{d0-d3}}, [r12]!
    bhs     1b
2:  adds    r2, #24             @ what is left, less 8
    blt     4f
3:  vld1.8  {{d0}}, [r1]!
    subs    r2, #8
    vst1.8  {{d0}}, [r12]!
    bge     3b
4:  adds    r2, #8
    beq     6f
5:  ldrb    r3, [r1], #1
    subs    r2, #1
    strb    r3, [r12], #1
    bne     5b
6:  bx      lr

    @ void *memmove(void *destination, const void *source, size_t bytes)
    .irp name, memmove, __aeabi_memmove, __aeabi_memmove4, __aeabi_memmove8
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endr
    subs    r3, r0, r1          @ forwards, unless the destination begins inside the source
    cmp     r3, r2
    bhs     memcpy
    add     r1, r2
    add     r12, r0, r2
    subs    r2, #8
    blo     2f
1:  sub     r1, #8
    sub     r12, #8
    vld1.8  {{d0}}, [r1]
    subs    r2, #8
    vst1.8  {{d0}}, [r12]
    bhs     1b
2:  adds    r2, #8
    beq     4f
3:  ldrb    r3, [r1, #-1]!
    subs    r2, #1
    strb    r3, [r12, #-1]!
    bne     3b
4:  bx      lr

    @ void __aeabi_memclr(void *destination, size_t bytes)
    .irp name, __aeabi_memclr, __aeabi_memclr4, __aeabi_memclr8
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endr
    movs    r2, #0
    @ void __aeabi_memset(void *destination, size_t bytes, int value)
    .irp name, __aeabi_memset, __aeabi_memset4, __aeabi_memset8
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endr
    mov     r3, r1
    mov     r1, r2
    mov     r2, r3
    @ void *memset(void *destination, int value, size_t bytes)
    .global memset
    .type memset, %function
    .thumb_func
memset:
    mov     r12, r0
    vdup.8  q0, r1
    vdup.8  q1, r1
    subs    r2, #32
    blo     2f
1:  vst1.8  {{d0-d3}}, [r12]!
    subs    r2, #32
    bhs     1b
2:  adds    r2, #32
    beq     4f
3:  strb    r1, [r12], #1
    subs    r2, #1
    bne     3b
4:  bx      lr
    .popsection
    "#
);

unsafe extern "C" {
    /// The same as `memcpy`, by a name that the compiler knows nothing about.
    fn spore_copy(destination: *mut u8, source: *const u8, bytes: usize) -> *mut u8;
}

/// Copies bytes that somebody else may write meanwhile: each is read once.
///
/// # Safety
/// `bytes` bytes must be readable at `source` and writable at `destination`, and must not overlap.
#[inline]
pub(crate) unsafe fn copy(destination: *mut u8, source: *const u8, bytes: usize) {
    // SAFETY: the caller promises what the routine needs.
    unsafe { spore_copy(destination, source, bytes) };
}
