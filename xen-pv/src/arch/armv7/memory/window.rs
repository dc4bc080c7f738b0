//! Addresses outside the memory, for pages of other domains: behind the toolstack's own pages, far below the stack.
//!
//! They are mapped for good; what Xen has them lead to comes and goes.

use core::cell::Cell;
use core::ops::Range;

use xen_sys::types::PAGE_SIZE;

use super::{MEGABYTE, map_page};
use crate::single_cpu::SingleCpu;

const ALL: Range<usize> = 0x3a00_0000..0x3a80_0000;

/// Where the next begin.
static NEXT: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(ALL.start));

/// Another megabyte of addresses that lead nowhere yet; `None` if there are no more.
pub(crate) fn open() -> Option<Range<usize>> {
    let start = NEXT.get().get();
    if start >= ALL.end {
        return None;
    }
    let window = start..start + MEGABYTE;
    NEXT.get().set(window.end);
    window.clone().step_by(PAGE_SIZE).for_each(map_page);
    Some(window)
}
