//! The grant table's frames.
//!
//! Source: `xen/include/public/memory.h`, `XENMAPSPACE_grant_table`; the device tree names the place for them.

use core::ptr::NonNull;

use xen_sys::grant_table::{ENTRIES_PER_FRAME, EntryV1};
use xen_sys::memory::XENMAPSPACE_GRANT_TABLE;
use xen_sys::types::{Gfn, PAGE_SIZE};

use super::memory::{grant_window, map_page};

/// So many frames of the grant table, mapped where no memory is, and their number of entries.
pub(crate) fn map_grant_frames(
    frames: usize,
    _allocate: impl FnOnce(usize) -> Option<NonNull<u8>>,
) -> Option<(NonNull<EntryV1>, u32)> {
    let window = grant_window();
    for index in 0..frames {
        let address = window + index * PAGE_SIZE;
        let here = Gfn((address / PAGE_SIZE) as u64);
        // SAFETY: the toolstack keeps this window free of memory, for the grant table.
        unsafe { super::place(XENMAPSPACE_GRANT_TABLE, index as u64, here) }.ok()?;
        map_page(address);
    }
    let entries = NonNull::new(core::ptr::with_exposed_provenance_mut(window))?;
    Some((entries, (frames * ENTRIES_PER_FRAME) as u32))
}
