//! From xl's entry to Rust: translation tables, caches, floating point, exception vectors, stack, static data.
//!
//! At entry the CPU is in supervisor mode and ARM state, interrupts masked, MMU, caches and floating point off, the
//! device tree's address in r2. Every access goes to memory uncached then, and an unaligned one faults, so that this
//! part is in assembly, and no longer than the tables need.
//!
//! | address | what | protection |
//! |---|---|---|
//! | 0x3fff0000 | the stack's 64 KiB (an alias of pages behind the image); below it nothing for 100 MiB | read, write |
//! | 0x40000000 | translation tables | read, write |
//! | 0x40008000 | text, up to the end of its last page | read, execute |
//! | | constants | read |
//! | | data, .bss, the device tree, runs of pages, up to the end of memory | read, write |
//!
//! Source: ARM Architecture Reference Manual, ARMv7-A (DDI 0406C), B3.5 short descriptors, B4.1 system control
//! registers.

use core::arch::global_asm;

use xen_sys::arch::GUEST_RAM_BASE;

use crate::arch::memory::{self, LEVEL_1_BYTES, LEVEL_2_BYTES, MEGABYTE};

/// SCTLR: what the entry turns on. MMU, data cache, branch prediction, instruction cache, "writable is never
/// executable", and memory attributes by PRRR and NMRR: the only way to say "inner shareable", which Xen asks for
/// (`arch-arm.h`).
const SCTLR_ON: u32 = 1 << 0 | 1 << 2 | 1 << 11 | 1 << 12 | 1 << 19 | 1 << 28;
/// SCTLR: what it turns off. Alignment faults; high vectors, access flags, exceptions in Thumb state.
const SCTLR_OFF: u32 = 1 << 1 | 1 << 13 | 1 << 29 | 1 << 30;
/// PRRR: pages of attribute 7, all of ours, are normal memory; shareable means inner shareable.
const PRRR: u32 = 0b10 << 14 | 1 << 19 | 1 << 31;
/// NMRR: attribute 7 is write-back, write-allocate, in inner and outer caches.
const NMRR: u32 = 0b01 << 14 | 0b01 << 30;
/// TTBR0: walks look into the caches, write-back, write-allocate, inner shareable.
const TABLE_WALK: u32 = 1 << 6 | 1 << 5 | 1 << 3 | 1 << 1;

global_asm!(
    r#"
    .pushsection .text.entry, "ax", %progbits
    .arm
    .arch_extension virt
    .fpu neon
    .globl _start
    _start:
        b 1f
        .space 32
        @ The header by which xl knows a zImage: magic, start (0: anywhere, which in fact is where xl puts it), end.
        .word 0x016f2818, 0, __zimage_end - _start
    1:
        cpsid aif
        mrrc p15, 1, r9, r10, c14           @ the time: CNTVCT
        mov r11, r2

        @ All translation tables begin empty. r4: level 1; r5: level 2 for the image; r6: level 2 for the stack.
        ldr r4, =__translation_tables
        add r5, r4, #{level_1}
        add r6, r5, #{level_2}
        add r7, r6, #{level_2}
        mov r1, #0
        mov r0, r4
    2:  str r1, [r0], #4
        cmp r0, r7
        blo 2b

        @ The image's first megabyte, page by page.
        ldr r0, ={ram}
        ldr r1, =__image_start
        ldr r2, =__text_end
        ldr r3, =__rodata_end
        add r8, r0, #{megabyte}
    3:  ldr r12, ={read_write}
        cmp r0, r1
        blo 4f
        cmp r0, r2
        ldrlo r12, ={execute}
        blo 4f
        cmp r0, r3
        ldrlo r12, ={read_only}
    4:  orr r12, r12, r0
        str r12, [r5], #4
        add r0, r0, #4096
        cmp r0, r8
        blo 3b

        @ The stack: the last 16 pages of the megabyte below.
        ldr r0, =__stack_pages + {read_write}
        add r5, r6, #240 * 4
    5:  str r0, [r5], #4
        add r0, r0, #4096
        cmp r5, r7
        blo 5b

        @ Level 1: those two, and sections up to the one with the device tree, which is the last or not far from it.
        add r0, r4, #{ram} >> 18
        orr r1, r6, #{table}
        str r1, [r0, #-4]
        sub r1, r1, #{level_2}
        str r1, [r0], #4
        ldr r1, ={section} + {ram} + {megabyte}
        lsr r2, r11, #20
    6:  cmp r2, r1, lsr #20
        strhs r1, [r0], #4
        addhs r1, r1, #{megabyte}
        bhs 6b

        @ The tables were written past the caches: lines of them that a cache may hold are old.
        @ dsb: the writes are in memory before a line can be forgotten, and perhaps fetched again.
        dsb
        mov r0, r4
    8:  mcr p15, 0, r0, c7, c6, 1           @ DCIMVAC
        add r0, r0, #32
        cmp r0, r7
        blo 8b
        mov r0, #0
        mcr p15, 0, r0, c7, c5, 0           @ ICIALLU
        mcr p15, 0, r0, c7, c5, 6           @ BPIALL
        mcr p15, 0, r0, c8, c7, 0           @ TLBIALL
        mcr p15, 0, r0, c2, c0, 2           @ TTBCR: short descriptors, one table for all addresses
        orr r0, r4, #{walk}
        mcr p15, 0, r0, c2, c0, 0           @ TTBR0
        mov r0, #1
        mcr p15, 0, r0, c3, c0, 0           @ DACR: entries of domain 0 are checked
        ldr r0, ={prrr}
        mcr p15, 0, r0, c10, c2, 0          @ PRRR
        ldr r0, ={nmrr}
        mcr p15, 0, r0, c10, c2, 1          @ NMRR
        ldr r0, =exception_vectors
        mcr p15, 0, r0, c12, c0, 0          @ VBAR
        @ dsb: the tables are in memory, and all that was invalidated is gone, before the first walk.
        @ isb: the instructions below are fetched with these registers in force.
        dsb
        isb
        mrc p15, 0, r0, c1, c0, 0           @ SCTLR
        ldr r1, ={sctlr_on}
        orr r0, r0, r1
        ldr r1, ={sctlr_off}
        bic r0, r0, r1
        mcr p15, 0, r0, c1, c0, 0
        isb

        @ Floating point and vectors: full access, then on.
        mrc p15, 0, r0, c1, c0, 2           @ CPACR
        orr r0, r0, #0xf00000
        mcr p15, 0, r0, c1, c0, 2
        isb
        mov r0, #0x40000000
        vmsr fpexc, r0

        @ What each exception mode takes for its stack is where it leaves the registers.
        ldr r0, =exception_frame
        cps #0x17
        mov sp, r0
        cps #0x1b
        mov sp, r0
        cps #0x13
        ldr sp, ={ram}

        @ Static data to its own pages, the last word first because the two places may overlap; zeros behind it.
        ldr r0, =__data_end
        ldr r1, =__zimage_end
        ldr r2, =__data_start
    9:  cmp r0, r2
        ldrhi r3, [r1, #-4]!
        strhi r3, [r0, #-4]!
        bhi 9b
        ldr r0, =__bss_start
        ldr r2, =__bss_end
        mov r3, #0
    10: cmp r0, r2
        strlo r3, [r0], #4
        blo 10b

        mov r0, r11
        mov r2, r9
        mov r3, r10
        bl {start}
        udf #0
        .ltorg
    .popsection
    "#,
    ram = const GUEST_RAM_BASE,
    megabyte = const MEGABYTE,
    level_1 = const LEVEL_1_BYTES,
    level_2 = const LEVEL_2_BYTES,
    read_write = const memory::READ_WRITE,
    execute = const memory::EXECUTABLE,
    read_only = const memory::READ_ONLY,
    section = const memory::SECTION,
    table = const memory::TABLE,
    prrr = const PRRR,
    nmrr = const NMRR,
    walk = const TABLE_WALK,
    sctlr_on = const SCTLR_ON,
    sctlr_off = const SCTLR_OFF,
    start = sym super::start,
);
