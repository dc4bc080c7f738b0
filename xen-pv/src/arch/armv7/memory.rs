//! Translation tables after the entry has made the first: the rest of memory, and pages outside it.
//!
//! Memory is mapped 1:1, in sections of 1 MiB, all of it at boot: an entry a megabyte. Everything, shared pages too, is
//! normal memory, write-back, write-allocate, inner shareable: Xen and backends map the same pages with these
//! attributes, and only so do the CPUs' caches agree.
//!
//! Source: ARM Architecture Reference Manual, ARMv7-A (DDI 0406C), B3.5.1 short descriptors.

use core::arch::asm;
use core::cell::Cell;
use core::ops::Range;
use core::ptr::NonNull;

use xen_sys::arch::GUEST_RAM_BASE;

use xen_sys::types::PAGE_SIZE;

use crate::single_cpu::SingleCpu;

#[cfg(feature = "vchan")]
pub(crate) mod window;

/// What an entry of the first level maps.
pub(crate) const MEGABYTE: usize = 1 << 20;
/// The first level: an entry for each megabyte of 4 GiB.
pub(crate) const LEVEL_1_BYTES: usize = 4096 * 4;
/// A table of the second level: an entry for each page of a megabyte.
pub(crate) const LEVEL_2_BYTES: usize = 256 * 4;

/// A first-level entry that leads to a table; domain 0.
pub(crate) const TABLE: u32 = 1;
/// A first-level entry that maps a megabyte: attribute 7 (bits B, C and the lowest of TEX), shareable, read, write,
/// never execute.
pub(crate) const SECTION: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 10 | 1 << 12 | 1 << 16;

/// A second-level entry: a small page, attribute 7 (bits B, C and the lowest of TEX), shareable, privileged access.
const PAGE: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 10;
const NEVER_EXECUTE: u32 = 1 << 0;
const NEVER_WRITE: u32 = 1 << 9;

/// Second-level entries of this protection.
pub(crate) const READ_WRITE: u32 = PAGE | NEVER_EXECUTE;
pub(crate) const READ_ONLY: u32 = PAGE | NEVER_EXECUTE | NEVER_WRITE;
pub(crate) const EXECUTABLE: u32 = PAGE | NEVER_WRITE;

unsafe extern "C" {
    /// Level 1, then the tables of level 2.
    static mut __translation_tables: [u32; 8 * 1024];
}

/// Where the next table of level 2 is made: behind those for the image and the stack.
static NEXT_TABLE: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(LEVEL_1_BYTES + 2 * LEVEL_2_BYTES));

/// Where grant frames may be put.
static GRANT_WINDOW: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// Maps the guest's memory, as far as it can be reached, and returns its end.
pub(crate) fn map(memory: Range<u64>) -> usize {
    /// The last megabyte stays unused, so that no address or length overflows.
    const REACH: u64 = (1 << 32) - MEGABYTE as u64;
    let end = memory.end.min(REACH) as usize & !(PAGE_SIZE - 1);
    assert!(memory.start == GUEST_RAM_BASE as u64 && end > GUEST_RAM_BASE, "memory at {memory:x?}");
    for address in (GUEST_RAM_BASE + MEGABYTE..end).step_by(MEGABYTE) {
        set(0, address / MEGABYTE, address as u32 | SECTION);
    }
    publish();
    end
}

/// Maps one page that lies outside the guest's memory.
pub(crate) fn map_page(address: usize) {
    let entry = read(0, address / MEGABYTE);
    assert!(entry == 0 || entry & 3 == TABLE, "a page within memory that is mapped otherwise");
    let mut table = entry as usize & !(LEVEL_2_BYTES - 1);
    if table == 0 {
        let offset = NEXT_TABLE.get().get();
        NEXT_TABLE.get().set(offset + LEVEL_2_BYTES);
        for index in 0..LEVEL_2_BYTES / 4 {
            set(offset, index, 0);
        }
        table = GUEST_RAM_BASE + offset;
        // The table's entries are in memory before a walk can find the table.
        publish();
        set(0, address / MEGABYTE, table as u32 | TABLE);
    }
    set(table - GUEST_RAM_BASE, address % MEGABYTE / PAGE_SIZE, (address & !(PAGE_SIZE - 1)) as u32 | READ_WRITE);
    publish();
}

/// Keeps where grant frames may be put.
pub(crate) fn set_grant_window(address: usize) {
    GRANT_WINDOW.get().set(address);
}

/// Where grant frames may be put.
pub(crate) fn grant_window() -> usize {
    GRANT_WINDOW.get().get()
}

/// The address of an entry of the table that begins `offset` bytes behind the first.
fn entry(offset: usize, index: usize) -> *mut u32 {
    let tables = &raw mut __translation_tables;
    let position = offset / 4 + index;
    assert!(position < 8 * 1024, "no room for another translation table");
    // SAFETY: the position is within the tables.
    unsafe { tables.cast::<u32>().add(position) }
}

fn read(offset: usize, index: usize) -> u32 {
    // SAFETY: the entry is mapped, and only this CPU writes it.
    unsafe { entry(offset, index).read_volatile() }
}

fn set(offset: usize, index: usize, value: u32) {
    // SAFETY: the callers give addresses a mapping that had none, or the same again.
    unsafe { entry(offset, index).write_volatile(value) };
}

/// Makes entries that were just set take effect. They were empty before, and what is empty is never kept in a TLB.
fn publish() {
    // SAFETY: barriers only. dsb ishst: the entries have reached the caches that walks look into. isb: instructions
    // from here on are translated with them.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
}

/// Makes further memory usable: none, all of it is mapped at boot.
pub(crate) fn map_more() -> Option<usize> {
    None
}

/// How many bytes of tables the next call of [`map_more`] lacks: none.
pub(crate) fn tables_wanted() -> usize {
    0
}

/// Sets pages aside for tables; [`tables_wanted`] never asks for any.
pub(crate) fn add_tables(_address: NonNull<u8>, _size_bytes: usize) {}
