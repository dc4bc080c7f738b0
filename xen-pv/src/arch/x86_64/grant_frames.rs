//! The grant table's frames.
//!
//! Source: `xen/include/public/grant_table.h`, `GNTTABOP_setup_table`.

use alloc::vec;
use core::cell::Cell;
use core::ptr::NonNull;

use xen_sys::arch::hypercall3;
use xen_sys::grant_table::{ENTRIES_PER_FRAME, EntryV1, GNTST_OKAY, GNTTABOP_SETUP_TABLE, SetupTable};
use xen_sys::number;
use xen_sys::types::{Domid, Mfn, PAGE_SIZE};

use super::memory::{map_frame, unmap_page};
use crate::error::Error;
use crate::single_cpu::SingleCpu;

/// Pages over which frames are mapped, and how many they are.
type Pages = (NonNull<u8>, usize);

/// Those of the grant table.
static ENTRIES: SingleCpu<Cell<Option<Pages>>> = SingleCpu::new(Cell::new(None));

/// So many frames of the grant table, mapped over pages of ours, which `allocate` gives, and their number of entries.
pub(crate) fn map_grant_frames(
    frames: usize,
    allocate: impl FnOnce(usize) -> Option<NonNull<u8>>,
) -> Option<(NonNull<EntryV1>, u32)> {
    let entries = allocate(frames * PAGE_SIZE)?;
    map(entries, frames)?;
    ENTRIES.get().set(Some((entries, frames)));
    Some((entries.cast(), (frames * ENTRIES_PER_FRAME) as u32))
}

/// Takes the frames, which are Xen's, out of the address space: a table of the toolstack's would not know them.
pub(super) fn unmap() {
    if let Some((entries, frames)) = ENTRIES.get().get() {
        for index in 0..frames {
            unmap_page(entries.addr().get() + index * PAGE_SIZE);
        }
    }
}

/// Maps the frames of the table that the domain has now, where those of the other were.
pub(super) fn map_again() {
    if let Some((entries, frames)) = ENTRIES.get().get() {
        assert!(map(entries, frames).is_some(), "the hypervisor gives no grant table any more");
    }
}

fn map(entries: NonNull<u8>, count: usize) -> Option<()> {
    let mut frames = vec![0u64; count];
    let mut table = SetupTable {
        dom: Domid::SELF,
        nr_frames: count as u32,
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
