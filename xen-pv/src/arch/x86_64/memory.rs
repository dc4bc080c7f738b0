//! Page tables: text is read-only, nothing is both writable and executable, page 0 and the stack's guard are unmapped.
//!
//! The guest's memory is mapped linearly, virtual address = physical address, in chunks of 2 MiB, one page table each.
//! The chunks that Xen's domain builder has mapped are mapped anew with the right protection when the guest starts;
//! further ones only when memory is asked for, so that a boot costs the same in a large guest as in a small one.
//!
//! Page tables are checked by Xen: a page that serves as one may nowhere be mapped writable. Source:
//! `xen/include/public/arch-x86/xen.h`, `xen/include/public/xen.h` (`HYPERVISOR_mmu_update`).

use core::cell::RefCell;
use core::ops::Range;
use core::ptr::NonNull;

use xen_sys::arch::{MMU_NORMAL_PT_UPDATE, MmuUpdate, Translation, mmu_update, update_va_mapping};
use xen_sys::start_info::StartInfo;
use xen_sys::types::{Mfn, PAGE_SIZE, Pfn};

use crate::error::Error;
use crate::single_cpu::SingleCpu;

#[cfg(feature = "vchan")]
pub(crate) mod window;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const NO_EXECUTE: u64 = 1 << 63;

/// A PV guest's kernel runs in ring 3, so its pages are user pages to the processor.
const EXECUTABLE: u64 = PRESENT | USER | ACCESSED;
const READ_ONLY: u64 = EXECUTABLE | NO_EXECUTE;
const READ_WRITE: u64 = READ_ONLY | WRITABLE | DIRTY;
const TABLE: u64 = PRESENT | WRITABLE | USER | ACCESSED;

/// The bits of an entry that hold the machine frame's address.
const FRAME: u64 = 0x000f_ffff_ffff_f000;

const ENTRIES: usize = 512;

/// What one page table maps.
const CHUNK_BYTES: usize = ENTRIES * PAGE_SIZE;

/// Chunks at the end of what can be reached that are for pages of other domains.
const WINDOWS: usize = 4;

/// What the one second-level table maps that the domain builder makes, but for those; memory beyond stays unused.
pub(crate) const REACH_BYTES: usize = (ENTRIES - WINDOWS) * CHUNK_BYTES;

unsafe extern "C" {
    static __text_end: [u8; 0];
    static __rodata_end: [u8; 0];
    static __stack_guard: [u8; 0];
    static __image_start: [u8; 0];
}

/// The guest's address space.
struct AddressSpace {
    /// Machine address of Xen's shared info page.
    shared_info: u64,
    /// Machine frames by page frame.
    p2m: FrameList,
    /// The table of level 4, for who describes the guest to the toolstack.
    root: Pfn,
    /// The table of level 2.
    directory: Pfn,
    /// Pages that are set aside for page tables of chunks not mapped yet.
    tables: Range<Pfn>,
    /// All chunks below this address are mapped.
    mapped_end: usize,
    /// Pages which hold page tables in use, or what is only read.
    read_only: [Range<Pfn>; 4],
}

/// The list of the guest's machine frames. The toolstack writes it: at first, and when the guest was suspended, anew.
struct FrameList {
    start: *const u64,
    pages: usize,
}

impl FrameList {
    /// The machine frame of a page of the guest's.
    fn get(&self, pfn: Pfn) -> Option<u64> {
        // SAFETY: the list has this many entries, which are mapped for ever. It changes only while the guest does not
        // run.
        (pfn.0 < self.pages).then(|| unsafe { self.start.add(pfn.0).read_volatile() })
    }

    /// The machine address of a page that the guest has.
    fn address(&self, pfn: Pfn) -> u64 {
        let Some(frame) = self.get(pfn) else { panic!("a page beyond the guest's memory") };
        frame << 12
    }
}

/// Set once, at boot.
static SPACE: SingleCpu<RefCell<Option<AddressSpace>>> = SingleCpu::new(RefCell::new(None));

/// Maps the machine page at `machine_address` over the page that the linker script sets aside for it.
///
/// # Safety
/// The address must be Xen's shared info page, and nothing may have used the page set aside.
pub(crate) unsafe fn map_shared_info(machine_address: u64) {
    // SAFETY: the caller vouches for it.
    let result = unsafe {
        update_va_mapping(super::shared_info().addr().get(), machine_address | READ_WRITE, Translation::Invalidate)
    };
    assert!(result == 0, "shared info page: {result}");
}

/// Replaces the domain builder's mapping by one with the right protection. Returns the mapped memory that is free.
///
/// # Safety
/// To be called once, with Xen's start info, before any memory outside the image is used.
pub(crate) unsafe fn take_over(start_info: &StartInfo) -> Range<usize> {
    let pages = (start_info.nr_pages as usize).min(REACH_BYTES / PAGE_SIZE);
    let p2m_address = start_info.mfn_list as usize;
    let p2m = FrameList { start: core::ptr::with_exposed_provenance(p2m_address), pages };

    let root = start_info.pt_base as usize;
    let root_page = page(root);
    let boot_tables = root_page..Pfn(root_page.0 + start_info.nr_pt_frames as usize);
    // The boot page tables are mapped, readable, and describe themselves: level 4, then 3, then 2, for address 0.
    let directory = next_table(next_table(root));
    let mapped_chunks = (0..ENTRIES).take_while(|&chunk| read_entry(directory, chunk) & PRESENT != 0).count();

    // Behind the tables lies the boot stack's one page, which is no longer in use, but small.
    let first_table = Pfn(boot_tables.end.0 + 1);
    let last_mapped = (mapped_chunks * ENTRIES).min(pages);
    // Tables for all memory, as far as half of what is mapped now can hold them; `add_tables` brings the rest.
    let reserved = pages.div_ceil(ENTRIES).clamp(mapped_chunks, mapped_chunks.max((last_mapped - first_table.0) / 2));
    let tables = first_table..Pfn(first_table.0 + reserved);
    let free = tables.end.0 * PAGE_SIZE..last_mapped * PAGE_SIZE;

    let p2m_pages = page(p2m_address)..Pfn(page(p2m_address).0 + (pages * 8).div_ceil(PAGE_SIZE));
    let start_info_page = page((&raw const *start_info).addr());
    let new_tables = first_table..Pfn(first_table.0 + mapped_chunks);
    let space = AddressSpace {
        shared_info: start_info.shared_info,
        p2m,
        root: root_page,
        directory: page(directory),
        tables: new_tables.end..tables.end,
        mapped_end: mapped_chunks * CHUNK_BYTES,
        read_only: [p2m_pages, start_info_page..Pfn(start_info_page.0 + 1), boot_tables, new_tables],
    };
    // All tables are filled before the first is used: it makes the others read-only.
    for chunk in 0..mapped_chunks {
        // SAFETY: the new tables are free pages, mapped writable.
        unsafe { space.fill(Pfn(first_table.0 + chunk), chunk) };
    }
    for chunk in 0..mapped_chunks {
        // SAFETY: each table maps its chunk to itself as before, but for protection: page 0 and the guard, which
        // nothing uses, go away; what becomes read-only is never written.
        let installed = unsafe { space.install(Pfn(first_table.0 + chunk), chunk) };
        assert!(installed == Ok(()), "page table {chunk}: {installed:?}");
    }
    SPACE.get().replace(Some(space));
    free
}

/// Maps further memory, at least one chunk, behind that mapped before. Returns how many bytes, or `None` at the end of
/// memory.
pub(crate) fn map_more() -> Option<usize> {
    let mut space = SPACE.get().borrow_mut();
    let space = space.as_mut()?;
    let start = space.mapped_end;
    let end = space.p2m.pages * PAGE_SIZE;
    if start >= end {
        return None;
    }
    if space.tables.is_empty() {
        return None;
    }
    let table = space.tables.start;
    space.tables.start.0 += 1;
    let chunk = start / CHUNK_BYTES;
    // SAFETY: the table is a free page, mapped writable.
    unsafe { space.fill(table, chunk) };
    // SAFETY: the chunk was not mapped before.
    if unsafe { space.install(table, chunk) }.is_err() {
        // Xen refuses this memory; asking again would only cost another table.
        space.p2m.pages = start / PAGE_SIZE;
        return None;
    }
    space.mapped_end += CHUNK_BYTES;
    Some(space.mapped_end.min(end) - start)
}

/// How many bytes of page tables the next call of [`map_more`] lacks, 0 if none.
pub(crate) fn tables_wanted() -> usize {
    /// Few at a time cost little; many at a time leave long runs between them.
    const AT_ONCE: usize = 64;
    SPACE.get().borrow().as_ref().map_or(0, |space| {
        let unmapped = (space.p2m.pages * PAGE_SIZE).saturating_sub(space.mapped_end);
        if space.tables.is_empty() { unmapped.div_ceil(CHUNK_BYTES).min(AT_ONCE) * PAGE_SIZE } else { 0 }
    })
}

/// Sets pages aside for page tables: as many as [`tables_wanted`] said, from `address` on, for good.
pub(crate) fn add_tables(address: NonNull<u8>, size_bytes: usize) {
    if let Some(space) = SPACE.get().borrow_mut().as_mut() {
        let first = page(address.addr().get());
        space.tables = first..Pfn(first.0 + size_bytes / PAGE_SIZE);
    }
}

/// The machine frame of a page.
pub(crate) fn mfn(pfn: Pfn) -> Mfn {
    let space = SPACE.get().borrow();
    Mfn(space.as_ref().and_then(|space| space.p2m.get(pfn)).unwrap_or(0))
}

/// Maps a machine frame over a page of the guest's, whose own frame is then out of reach.
///
/// # Safety
/// The page is the caller's alone, and the frame one that Xen shares with the guest.
pub(super) unsafe fn map_frame(address: usize, mfn: Mfn) -> Result<(), Error> {
    // SAFETY: the caller vouches for it.
    let result = unsafe { update_va_mapping(address, mfn.0 << 12 | READ_WRITE, Translation::Invalidate) };
    Error::check(result).map(|_| ())
}

/// Changes whether a page of the guest's can be written.
pub(super) fn set_writable(address: usize, writable: bool) {
    let frame = mfn(page(address)).0 << 12;
    let entry = frame | if writable { READ_WRITE } else { READ_ONLY };
    // SAFETY: the address keeps its page. Who has it made read-only does not write there.
    let result = unsafe { update_va_mapping(address, entry, Translation::Invalidate) };
    assert!(result == 0, "protecting {address:#x}: {result}");
}

/// Takes a page of Xen's out of the address space.
pub(super) fn unmap_page(address: usize) {
    // SAFETY: the callers' page is not used until something is mapped there again.
    let result = unsafe { update_va_mapping(address, 0, Translation::Invalidate) };
    assert!(result == 0, "unmapping {address:#x}: {result}");
}

/// Tells the toolstack, in the shared info page, where the list of machine frames is.
pub(super) fn describe() {
    let space = SPACE.get().borrow();
    let Some(space) = space.as_ref() else { return };
    let shared = super::shared_info().as_ptr();
    // SAFETY: the fields lie within the shared info page, which is mapped; Xen leaves them to the guest and its
    // toolstack.
    unsafe {
        (&raw mut (*shared).arch.max_pfn).write_volatile(space.p2m.pages as u64);
        (&raw mut (*shared).arch.p2m_vaddr).write_volatile(space.p2m.start.addr() as u64);
        (&raw mut (*shared).arch.p2m_cr3).write_volatile(space.p2m.address(space.root));
    }
}

/// Takes the shared info page out of the address space; until [`resume`], nothing may look at it.
pub(super) fn unmap_shared_info() {
    unmap_page(super::shared_info().addr().get());
}

/// Goes on in another domain: the toolstack has translated page tables and list of frames, Xen's pages are new.
///
/// # Safety
/// As for [`map_shared_info`].
pub(super) unsafe fn resume(shared_info: u64) {
    // SAFETY: the caller vouches for it.
    unsafe { map_shared_info(shared_info) };
    if let Some(space) = SPACE.get().borrow_mut().as_mut() {
        space.shared_info = shared_info;
    }
    describe();
}

/// The page that holds an address.
fn page(address: usize) -> Pfn {
    Pfn(address / PAGE_SIZE)
}

/// An entry of the boot page table at `table`.
fn read_entry(table: usize, index: usize) -> u64 {
    // SAFETY: the boot page tables are mapped and readable, and have this many entries.
    unsafe { core::ptr::with_exposed_provenance::<u64>(table).add(index % ENTRIES).read_volatile() }
}

/// The boot page table that the first entry of another one points to.
fn next_table(table: usize) -> usize {
    super::pfn(Mfn((read_entry(table, 0) & FRAME) >> 12)).0 * PAGE_SIZE
}

impl AddressSpace {
    /// Makes `table` a page table for a chunk.
    ///
    /// # Safety
    /// The table must be a free page, mapped writable.
    unsafe fn fill(&self, table: Pfn, chunk: usize) {
        let entries = core::ptr::with_exposed_provenance_mut::<u64>(table.0 * PAGE_SIZE);
        for index in 0..ENTRIES {
            // SAFETY: the table is a page of 512 entries that the caller gives to us.
            unsafe { entries.add(index).write(self.entry(Pfn(chunk * ENTRIES + index))) };
        }
    }

    /// Maps a chunk by `table`, which becomes read-only.
    ///
    /// # Safety
    /// The table must be filled for this chunk; pages that are mapped already must tolerate their new protection.
    unsafe fn install(&self, table: Pfn, chunk: usize) -> Result<(), Error> {
        let address = table.0 * PAGE_SIZE;
        let frame = self.p2m.address(table);
        // SAFETY: the table is only read from here on.
        Error::check(unsafe { update_va_mapping(address, frame | READ_ONLY, Translation::Invalidate) })?;
        let update = MmuUpdate {
            ptr: (self.p2m.address(self.directory) + chunk as u64 * 8) | MMU_NORMAL_PT_UPDATE,
            val: frame | TABLE,
        };
        // SAFETY: the caller vouches for the effect of the new table.
        Error::check(unsafe { mmu_update(&[update]) })?;
        // The chunk's old translations go with any update that flushes: the same one again.
        // SAFETY: as above.
        Error::check(unsafe { update_va_mapping(address, frame | READ_ONLY, Translation::FlushAll) })?;
        Ok(())
    }

    /// The page table entry for a page, with the protection that its contents need.
    fn entry(&self, pfn: Pfn) -> u64 {
        let Some(frame) = self.p2m.get(pfn).map(|mfn| mfn << 12) else { return 0 };
        let text = page((&raw const __image_start).addr())..page((&raw const __text_end).addr());
        let rodata = text.end..page((&raw const __rodata_end).addr());
        if pfn.0 == 0 || pfn == page((&raw const __stack_guard).addr()) {
            0
        } else if pfn == page(super::shared_info().addr().get()) {
            self.shared_info | READ_WRITE
        } else if text.contains(&pfn) {
            frame | EXECUTABLE
        } else if rodata.contains(&pfn) || self.read_only.iter().any(|range| range.contains(&pfn)) {
            frame | READ_ONLY
        } else {
            frame | READ_WRITE
        }
    }
}
