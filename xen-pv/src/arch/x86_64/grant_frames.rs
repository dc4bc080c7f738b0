//! The grant table's frames.
//!
//! Source: `xen/include/public/grant_table.h`, `GNTTABOP_setup_table`.

use core::cell::Cell;
use core::ptr::NonNull;

use xen_sys::arch::hypercall3;
use xen_sys::grant_table::{ENTRIES_PER_FRAME, EntryV1, GNTST_OKAY, GNTTABOP_SETUP_TABLE, SetupTable};
use xen_sys::number;
use xen_sys::types::{Domid, Mfn, PAGE_SIZE};

use super::super::GRANT_FRAMES;
use super::memory::{map_frame, unmap_page};
use crate::error::Error;
use crate::single_cpu::SingleCpu;

/// The pages over which the frames are mapped.
static ENTRIES: SingleCpu<Cell<Option<NonNull<u8>>>> = SingleCpu::new(Cell::new(None));

/// The grant table, mapped over pages of ours, which `allocate` gives, and its number of entries.
pub(crate) fn map_grant_frames(allocate: impl FnOnce(usize) -> Option<NonNull<u8>>) -> Option<(NonNull<EntryV1>, u32)> {
    let entries = allocate(GRANT_FRAMES * PAGE_SIZE)?;
    map(entries)?;
    ENTRIES.get().set(Some(entries));
    Some((entries.cast(), (GRANT_FRAMES * ENTRIES_PER_FRAME) as u32))
}

/// Takes the frames, which are Xen's, out of the address space: a table of the toolstack's would not know them.
pub(super) fn unmap() {
    if let Some(entries) = ENTRIES.get().get() {
        for index in 0..GRANT_FRAMES {
            unmap_page(entries.addr().get() + index * PAGE_SIZE);
        }
    }
}

/// Maps the frames of the table that the domain has now, where those of the other were.
pub(super) fn map_again() {
    if let Some(entries) = ENTRIES.get().get() {
        assert!(map(entries).is_some(), "the hypervisor gives no grant table any more");
    }
}

fn map(entries: NonNull<u8>) -> Option<()> {
    let mut frames = [0u64; GRANT_FRAMES];
    let mut table = SetupTable {
        dom: Domid::SELF,
        nr_frames: GRANT_FRAMES as u32,
        status: 0,
        pad: [0; 3],
        frame_list: frames.as_mut_ptr().expose_provenance() as u64,
    };
    let argument = (&raw mut table).expose_provenance();
    // SAFETY: the operation asks for this structure, one of it, which Xen reads and writes in place.
    let result = unsafe { hypercall3(number::GRANT_TABLE_OP, GNTTABOP_SETUP_TABLE, argument, 1) };
    Error::check(result).ok()?;
    if table.status != GNTST_OKAY {
        return None;
    }
    for (index, frame) in frames.iter().enumerate() {
        // SAFETY: the pages were allocated for this alone, and the frames are those of the grant table.
        unsafe { map_frame(entries.addr().get() + index * PAGE_SIZE, Mfn(*frame)) }.ok()?;
    }
    Some(())
}
