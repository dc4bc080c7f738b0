//! Addresses beyond all memory, for pages of other domains.
//!
//! Xen puts a mapped grant into a table that is there, over an entry that is not present: over one that is, the CPU may
//! go on with what it remembers.

use core::cell::Cell;
use core::ops::Range;

use super::{CHUNK_BYTES, ENTRIES, REACH_BYTES, SPACE, page};
use crate::memory::Page;
use crate::single_cpu::SingleCpu;

/// The next chunk.
static NEXT: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(REACH_BYTES / CHUNK_BYTES));

/// Another chunk of addresses at which nothing is mapped; `None` if there are no more, or no page is left for their table.
pub(crate) fn open() -> Option<Range<usize>> {
    let chunk = NEXT.get().get();
    if chunk >= ENTRIES {
        return None;
    }
    let table = Page::allocate()?;
    let space = SPACE.get().borrow();
    let address = table.address().addr().get();
    // It stays a page table for good.
    table.leak();
    // SAFETY: the table is an empty page of ours. The chunk is beyond all memory, and was not mapped before.
    unsafe { space.as_ref()?.install(page(address), chunk) }.ok()?;
    NEXT.get().set(chunk + 1);
    Some(chunk * CHUNK_BYTES..(chunk + 1) * CHUNK_BYTES)
}
