//! The grant table's frames.
//!
//! Source: `xen/include/public/grant_table.h`, `GNTTABOP_setup_table`.

use core::ptr::NonNull;

use xen_sys::arch::hypercall3;
use xen_sys::grant_table::{ENTRIES_PER_FRAME, EntryV1, GNTST_OKAY, GNTTABOP_SETUP_TABLE, SetupTable};
use xen_sys::number;
use xen_sys::types::{Domid, Mfn};

use super::memory::map_frame;
use crate::hypervisor::Error;
use crate::memory::{PAGE_SIZE, allocate_run};

/// Frames of the grant table: room for a network card's two times 256 buffers, its rings and the reserved entries.
const GRANT_FRAMES: usize = 2;

/// The grant table, mapped over pages of ours, and its number of entries.
pub(crate) fn map_grant_frames() -> Option<(NonNull<EntryV1>, u32)> {
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
    let entries = allocate_run(GRANT_FRAMES * PAGE_SIZE)?;
    for (index, frame) in frames.iter().enumerate() {
        // SAFETY: the pages were just allocated, and the frames are those of the grant table.
        unsafe { map_frame(entries.addr().get() + index * PAGE_SIZE, Mfn(*frame)) }.ok()?;
    }
    Some((entries.cast(), (GRANT_FRAMES * ENTRIES_PER_FRAME) as u32))
}
