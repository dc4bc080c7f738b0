//! Runs of pages: what rings, grants and the heap are made of.
//!
//! `linked_list_allocator` keeps its list within the free pages, so that a run costs nothing beyond its own pages; runs
//! are few and long-lived, so that its search is short. Objects come from the heap instead, see `kernel::heap`.

use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::ptr::NonNull;

use kernel::Memory;
use kernel::heap::{Heap, PageRuns};

use super::PAGE_SIZE;
use crate::arch;
use crate::single_cpu::SingleCpu;

/// The guest's heap.
#[global_allocator]
// SAFETY: a guest has one virtual CPU and is never interrupted, so nothing uses the heap while it is being used.
static HEAP: Heap<HeapRuns> = unsafe { Heap::new(&HeapRuns) };

static FREE: SingleCpu<RefCell<linked_list_allocator::Heap>> =
    SingleCpu::new(RefCell::new(linked_list_allocator::Heap::empty()));

static SIZES: SingleCpu<Cell<Sizes>> =
    SingleCpu::new(Cell::new(Sizes { total_bytes: 0, image_bytes: 0, runs_bytes: 0, pages_bytes: 0 }));

/// What the memory is used for.
#[derive(Clone, Copy)]
struct Sizes {
    total_bytes: usize,
    image_bytes: usize,
    /// What runs are made of: all from the first free page up to the guest's last.
    runs_bytes: usize,
    /// In use other than by the heap, which may take all the rest.
    pages_bytes: usize,
}

/// Hands over the memory that is free after boot, of all that the guest has; `arch::memory::map_more` may later add
/// what lies behind it.
///
/// # Safety
/// To be called once. The range must be mapped, writable, of whole pages, and unused.
pub(crate) unsafe fn initialise(free: Range<usize>, image_bytes: usize, memory: Range<usize>) {
    let bottom = core::ptr::with_exposed_provenance_mut(free.start);
    // SAFETY: the caller vouches for the range.
    unsafe { FREE.get().borrow_mut().init(bottom, free.len()) };
    let runs_bytes = memory.end - free.start;
    SIZES.get().set(Sizes { total_bytes: memory.len(), image_bytes, runs_bytes, ..SIZES.get().get() });
    set_tables_aside();
}

/// A run of pages, not zeroed, or `None` when there is none as long.
pub(crate) fn allocate_run(size_bytes: usize) -> Option<NonNull<u8>> {
    let layout = layout(size_bytes)?;
    let run = find_run(layout, None)?;
    let sizes = SIZES.get().get();
    SIZES.get().set(Sizes { pages_bytes: sizes.pages_bytes + layout.size(), ..sizes });
    Some(run)
}

/// Gives a run back.
///
/// # Safety
/// The run must come from [`allocate_run`] with the same size, and not be used again.
pub(crate) unsafe fn free_run(run: NonNull<u8>, size_bytes: usize) {
    let Some(layout) = layout(size_bytes) else { return };
    // SAFETY: the caller vouches for the run.
    unsafe { FREE.get().borrow_mut().deallocate(run, layout) };
    let sizes = SIZES.get().get();
    SIZES.get().set(Sizes { pages_bytes: sizes.pages_bytes - layout.size(), ..sizes });
}

/// Size of the heap allocation that failed just now, if one did.
pub(crate) fn refused_bytes() -> Option<usize> {
    Some(HEAP.refused_bytes()).filter(|bytes| *bytes > 0)
}

/// How memory is used at this moment.
// Inlined, each use would cost fifty bytes.
#[inline(never)]
pub(crate) fn figures() -> Memory {
    let sizes = SIZES.get().get();
    Memory {
        total_bytes: sizes.total_bytes,
        image_bytes: sizes.image_bytes,
        heap_bytes: sizes.runs_bytes - sizes.pages_bytes,
        heap_used_bytes: HEAP.used_bytes(),
        heap_peak_bytes: HEAP.peak_bytes(),
    }
}

fn layout(size_bytes: usize) -> Option<Layout> {
    Layout::from_size_align(size_bytes.checked_next_multiple_of(PAGE_SIZE)?, PAGE_SIZE).ok()
}

/// A run that begins at `start`, or else anywhere.
fn find_run(layout: Layout, start: Option<NonNull<u8>>) -> Option<NonNull<u8>> {
    loop {
        // The borrow ends here, because mapping more may itself take a page.
        let found = take(&mut FREE.get().borrow_mut(), layout, start);
        if found.is_some() {
            return found;
        }
        let more = arch::memory::map_more()?;
        // SAFETY: the memory follows that handed over before, is mapped, writable and unused.
        unsafe { FREE.get().borrow_mut().extend(more) };
        set_tables_aside();
    }
}

/// Takes a run out of what is free.
///
/// The allocator offers the run with the lowest address, and cannot be asked for one at `start`. What it offers before
/// is set aside, as a list within those runs, and then given back.
fn take(free: &mut linked_list_allocator::Heap, layout: Layout, start: Option<NonNull<u8>>) -> Option<NonNull<u8>> {
    let mut aside: Option<NonNull<u8>> = None;
    let found = loop {
        let Ok(run) = free.allocate_first_fit(layout) else { break None };
        if start.is_none_or(|start| start == run) {
            break Some(run);
        }
        // SAFETY: the run was given to us just now; it is of pages, so it has room for the note and is aligned for it.
        unsafe { run.cast().write(aside) };
        aside = Some(run);
        if start < aside {
            break None;
        }
    };
    while let Some(run) = aside {
        // SAFETY: the run is one of those that were noted above.
        aside = unsafe { run.cast().read() };
        // SAFETY: it was taken with this layout, and nobody uses it.
        unsafe { free.deallocate(run, layout) };
    }
    found
}

/// Keeps page tables in stock, out of memory that was just mapped: when memory runs out, it is too late to ask for one.
fn set_tables_aside() {
    let size_bytes = arch::memory::tables_wanted();
    if let Some(layout) = layout(size_bytes).filter(|layout| layout.size() > 0)
        && let Ok(run) = FREE.get().borrow_mut().allocate_first_fit(layout)
    {
        arch::memory::add_tables(run, size_bytes);
        let sizes = SIZES.get().get();
        SIZES.get().set(Sizes { pages_bytes: sizes.pages_bytes + size_bytes, ..sizes });
    }
}

/// The page runs as the heap asks for them.
pub(crate) struct HeapRuns;

// SAFETY: a run is mapped, writable, aligned to a page, and given out once; the heap never gives one back.
unsafe impl PageRuns for HeapRuns {
    fn acquire(&self, size_bytes: usize, start: Option<NonNull<u8>>) -> Option<NonNull<[u8]>> {
        // For what cannot be had anyway, no memory is mapped.
        let layout = layout(size_bytes).filter(|layout| layout.size() <= SIZES.get().get().runs_bytes)?;
        Some(NonNull::slice_from_raw_parts(find_run(layout, start)?, layout.size()))
    }
}
