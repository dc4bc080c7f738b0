//! The heap: talc over runs of pages that the platform hands out as the heap grows, with a high-water mark.
//!
//! talc was measured against `linked_list_allocator` in a fragmented 4 MiB heap: 12 ns an operation instead of up to
//! 12,900 ns, and a growing `Vec` may reach 97 % of the heap instead of 34 %.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use talc::base::binning::{Binning, linear_extent_then_linearly_divided_exponential_binning as divided};
use talc::base::{CHUNK_UNIT, Talc};
use talc::cell::TalcCell;
use talc::source::Source;

/// Where the heap gets its memory.
///
/// # Safety
/// The memory of a returned run is mapped, writable, aligned to 16 bytes, and used by nobody else from then on.
pub unsafe trait PageRuns: Sync {
    /// A run of at least `size_bytes` bytes, which is not 0, or `None` when there is no such run. With `start`, only
    /// one that begins there.
    fn acquire(&self, size_bytes: usize, start: Option<NonNull<u8>>) -> Option<NonNull<[u8]>>;
}

/// The heap grows by this much at a time, so that it asks for pages rarely; at the end of memory it takes less.
const GROWTH_BYTES: usize = 64 * 1024;

/// What talc itself needs in its first run: the heads of its lists of free memory.
const LISTS_BYTES: usize = 4096;

/// What talc itself needs beside an object: tags, and up to a unit because it deals in whole units.
const OVERHEAD_BYTES: usize = 2 * CHUNK_UNIT;

/// The lists in which talc keeps free memory by its size: its own division, with more lists.
///
/// talc looks for what may be in the last list but one, by its size, in the last list alone. With talc's own number of
/// lists these are objects of 160 to 192 MiB on 32-bit machines, and of 768 to 896 MiB on others: where only such a
/// piece is free, it would not be found. With these lists, no object is so large.
enum Lists {}

impl Lists {
    /// Larger than any object: all that a pointer reaches on a 32-bit machine, and more than Xen gives a
    /// paravirtualised guest on others.
    const LARGEST_BYTES: usize = if cfg!(target_pointer_width = "32") { isize::MAX as usize } else { 1 << 37 };

    const fn list(size: usize) -> u32 {
        if cfg!(target_pointer_width = "32") { divided::<4, 4>(size) } else { divided::<8, 4>(size) }
    }
}

impl Binning for Lists {
    type AvailabilityBitField = [usize; 4];

    // One less than there are bits, which spares talc a comparison.
    const BIN_COUNT: u32 = 4 * usize::BITS - 1;

    fn size_to_bin(size: usize) -> u32 {
        const { assert!(Self::list(Self::LARGEST_BYTES) + 2 < Self::BIN_COUNT) }
        Self::list(size)
    }
}

/// talc's view of the platform's page runs.
struct Growth<R: 'static> {
    runs: &'static R,
    /// The object that is to grow, if one is: its start and its end.
    growing: Option<(usize, usize)>,
    /// Ends of the highest run and of what talc made of it (it keeps a tag there): a run that begins at the former
    /// extends the latter, so that objects may span both.
    last: Option<(NonNull<u8>, NonNull<u8>)>,
}

impl<R> Clone for Growth<R> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<R> fmt::Debug for Growth<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Growth")
    }
}

// SAFETY: `acquire` uses nothing but the talc it is given, and the page runs, which do not allocate from the heap.
unsafe impl<R: PageRuns> Source for Growth<R> {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let Self { runs, last, growing } = talc.source;
        let least = layout.size().checked_add(layout.align() + OVERHEAD_BYTES).ok_or(())?;
        let least = if last.is_none() { least + LISTS_BYTES } else { least };
        // The heap keeps the runs that it has. So where none is long enough, the only one that is taken is one that
        // makes the last long enough: others could be of no use, and whoever needs pages would miss them.
        let behind = || {
            let (end, heap_end) = last?;
            // SAFETY: talc has returned this end, and nobody else moves it.
            let free = unsafe { talc.reserved(heap_end) }.up_to.addr().get();
            let start = match growing {
                // Between an object and its chunk's end are a tag and less than a unit.
                Some((start, end)) if end < free && free - end < CHUNK_UNIT + size_of::<usize>() => start,
                _ => free,
            };
            let missing = start.checked_add(least)?.checked_sub(end.addr().get()).filter(|missing| *missing > 0)?;
            runs.acquire(missing, Some(end))
        };
        let run = runs.acquire(least.max(GROWTH_BYTES), None).or_else(|| runs.acquire(least, None)).or_else(behind);
        let run = run.ok_or(())?;
        let base = run.cast::<u8>();
        // SAFETY: the run's end is one past its last byte, in the same allocation.
        let end = unsafe { base.add(run.len()) };
        let heap_end = match last {
            // SAFETY: the run begins where the last one ends, and `PageRuns` gives it to us alone.
            Some((run_end, heap_end)) if run_end == base => Some(unsafe { talc.extend(heap_end, end.as_ptr()) }),
            // SAFETY: `PageRuns` gives the run to us alone, for ever.
            _ => unsafe { talc.claim(base.as_ptr(), run.len()) },
        };
        // What lies behind the highest run is where most is free.
        if last.is_none_or(|(run_end, _)| run_end <= base) {
            talc.source.last = heap_end.map(|heap_end| (end, heap_end));
        }
        heap_end.map(|_| ()).ok_or(())
    }
}

/// A guest's global allocator. Its users share one thread.
pub struct Heap<R: PageRuns + 'static> {
    talc: TalcCell<Growth<R>, Lists>,
    used_bytes: Cell<usize>,
    peak_bytes: Cell<usize>,
    refused_bytes: Cell<usize>,
}

// SAFETY: whoever made the heap has promised that no two threads use it.
unsafe impl<R: PageRuns> Sync for Heap<R> {}

impl<R: PageRuns> Heap<R> {
    /// An empty heap, which grows from `runs`.
    ///
    /// # Safety
    /// One thread alone uses the heap, and never while it is in a call of the heap. So it is in a guest, which has one
    /// virtual CPU and is never interrupted.
    pub const unsafe fn new(runs: &'static R) -> Self {
        Self {
            talc: TalcCell::new(Growth { runs, growing: None, last: None }),
            used_bytes: Cell::new(0),
            peak_bytes: Cell::new(0),
            refused_bytes: Cell::new(0),
        }
    }

    /// Bytes allocated now, as they were asked for.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.get()
    }

    /// The most bytes that were allocated at once.
    pub fn peak_bytes(&self) -> usize {
        self.peak_bytes.get()
    }

    /// Size of the allocation that failed just now, 0 if the last one succeeded: what a guest that ends here lacked.
    pub fn refused_bytes(&self) -> usize {
        self.refused_bytes.get()
    }

    /// Notes which object is about to grow.
    fn note_growing(&self, growing: Option<(usize, usize)>) {
        self.talc.replace_source(Growth { growing, ..self.talc.clone_source() });
    }

    fn account(&self, freed: usize, allocated: usize) {
        let used = self.used_bytes.get() - freed + allocated;
        self.refused_bytes.set(0);
        self.used_bytes.set(used);
        self.peak_bytes.set(self.peak_bytes.get().max(used));
    }
}

// SAFETY: talc upholds the contract; the counters around it do not touch the memory.
unsafe impl<R: PageRuns> GlobalAlloc for Heap<R> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc`, which is passed on.
        let pointer = unsafe { self.talc.alloc(layout) };
        if pointer.is_null() {
            self.refused_bytes.set(layout.size());
        } else {
            self.account(0, layout.size());
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { self.talc.dealloc(pointer, layout) };
        self.account(layout.size(), 0);
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.note_growing(Some((pointer.addr(), pointer.addr() + layout.size())));
        // SAFETY: as in `alloc`.
        let mut moved = unsafe { self.talc.realloc(pointer, layout, new_size) };
        if moved.is_null() {
            // There was no room for a second copy, but the search for it has claimed what lies behind the object, so
            // that it may now grow where it is. SAFETY: as in `alloc`; the object is still where it was.
            moved = unsafe { self.talc.realloc(pointer, layout, new_size) };
        }
        self.note_growing(None);
        if moved.is_null() {
            self.refused_bytes.set(new_size);
        } else {
            self.account(layout.size(), new_size);
        }
        moved
    }
}

/// The allocator of this crate's tests: it refuses what goes beyond a limit that a test sets for its own thread.
#[cfg(all(test, feature = "net"))]
pub(crate) mod limited {
    extern crate std;

    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::Cell;

    std::thread_local! {
        /// The bytes that may still be allocated, if there is a limit.
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    struct Limited;

    #[global_allocator]
    static LIMITED: Limited = Limited;

    // SAFETY: the system's allocator upholds the contract; refusing is allowed.
    unsafe impl GlobalAlloc for Limited {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // At a thread's end there is no limit any more.
            if let Ok(Some(left)) = LEFT.try_with(Cell::get) {
                let Some(left) = left.checked_sub(layout.size()) else { return core::ptr::null_mut() };
                let _ = LEFT.try_with(|place| place.set(Some(left)));
            }
            // SAFETY: the caller upholds the contract of `alloc`, which is passed on.
            unsafe { std::alloc::System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            if let Ok(Some(left)) = LEFT.try_with(Cell::get) {
                let _ = LEFT.try_with(|place| place.set(Some(left.saturating_add(layout.size()))));
            }
            // SAFETY: as in `alloc`.
            unsafe { std::alloc::System.dealloc(pointer, layout) }
        }
    }

    /// Calls `f` while this thread can allocate so many bytes more than now.
    pub(crate) fn with_limit<R>(bytes: usize, f: impl FnOnce() -> R) -> R {
        LEFT.set(Some(bytes));
        let result = f();
        LEFT.set(None);
        result
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::RefCell;
    use core::ops::Range;
    use core::ptr::NonNull;

    use talc::base::binning::Binning;

    use super::{Heap, Lists, PageRuns};

    const PAGE: usize = 4096;

    /// Pages of one leaked block of memory, given out first fit.
    struct Block {
        base: NonNull<u8>,
        /// Which pages are free.
        free: RefCell<Vec<bool>>,
    }

    // SAFETY: each test has a block of its own on one thread.
    unsafe impl Sync for Block {}

    impl Block {
        /// Takes these pages from whoever may ask later, or gives them back.
        fn set_free(&self, pages: Range<usize>, free: bool) {
            self.free.borrow_mut()[pages].fill(free);
        }

        fn free_pages(&self) -> usize {
            self.free.borrow().iter().filter(|free| **free).count()
        }
    }

    // SAFETY: a page that was given out is not free until it is taken back, and the block is leaked, so nobody else
    // uses it.
    unsafe impl PageRuns for Block {
        fn acquire(&self, size_bytes: usize, start: Option<NonNull<u8>>) -> Option<NonNull<[u8]>> {
            let pages = size_bytes.div_ceil(PAGE);
            let is_there = |page| start.is_none_or(|start| start.addr().get() == self.base.addr().get() + page * PAGE);
            let free = self.free.borrow();
            let mut windows = free.windows(pages).enumerate();
            let (first, _) = windows.find(|(page, window)| is_there(*page) && !window.contains(&false))?;
            drop(free);
            self.set_free(first..first + pages, false);
            // SAFETY: the pages are within the block.
            Some(NonNull::slice_from_raw_parts(unsafe { self.base.add(first * PAGE) }, pages * PAGE))
        }
    }

    fn block(size_bytes: usize) -> &'static Block {
        let block = Box::leak(alloc::vec![0u128; size_bytes / 16].into_boxed_slice());
        let base = NonNull::from(block).cast();
        Box::leak(Box::new(Block { base, free: RefCell::new(alloc::vec![true; size_bytes / PAGE]) }))
    }

    fn heap_on(block: &'static Block) -> Heap<Block> {
        // SAFETY: each test has a heap of its own on one thread.
        unsafe { Heap::new(block) }
    }

    fn heap(size_bytes: usize) -> Heap<Block> {
        heap_on(block(size_bytes))
    }

    fn layout(size_bytes: usize) -> Layout {
        Layout::from_size_align(size_bytes, 16).unwrap()
    }

    #[test]
    fn one_object_may_span_several_runs() {
        let heap = heap(1 << 20);
        // SAFETY: the layouts are not empty and match.
        unsafe {
            let mut pointer = heap.alloc(layout(10_000));
            for step in 2..100 {
                pointer = heap.realloc(pointer, layout((step - 1) * 10_000), step * 10_000);
                assert!(!pointer.is_null(), "{step}");
            }
        }
        assert_eq!(heap.used_bytes(), 990_000);
    }

    #[test]
    fn the_peak_stays_when_memory_is_freed() {
        let heap = heap(1 << 20);
        // SAFETY: the layouts are not empty and match.
        unsafe {
            let pointer = heap.alloc(layout(5000));
            heap.dealloc(pointer, layout(5000));
        }
        assert_eq!((heap.used_bytes(), heap.peak_bytes(), heap.refused_bytes()), (0, 5000, 0));
    }

    #[test]
    fn a_refused_allocation_is_null_and_remembered() {
        let heap = heap(1 << 18);
        // SAFETY: the layout is not empty.
        let pointer = unsafe { heap.alloc(layout(1 << 19)) };
        assert!(pointer.is_null());
        assert_eq!((heap.used_bytes(), heap.refused_bytes()), (0, 1 << 19));
        // SAFETY: the layout is not empty.
        unsafe { heap.alloc(layout(100)) };
        assert_eq!(heap.refused_bytes(), 0, "a caller that did without it no longer lacks it");
    }

    #[test]
    fn no_object_is_so_large_that_a_free_piece_of_its_size_is_not_found() {
        // As a 32-bit machine divides them, and a 64-bit one: up to there, a list is looked through that has what is
        // large enough.
        assert!(Lists::size_to_bin(Lists::LARGEST_BYTES) < Lists::BIN_COUNT - 2);
        assert!(Lists::size_to_bin(Lists::LARGEST_BYTES) > talc::base::binning::DefaultBinning::BIN_COUNT);
        assert!((1..64).all(|units| Lists::size_to_bin(units * super::CHUNK_UNIT)
            >= Lists::size_to_bin((units - 1) * super::CHUNK_UNIT)
            || units == 1));
    }

    #[test]
    fn an_object_on_a_boundary_takes_little_more_than_both() {
        let block = block(1 << 20);
        let heap = heap_on(block);
        // SAFETY: the layout is not empty.
        let pointer = unsafe { heap.alloc(Layout::from_size_align(100, 1 << 16).unwrap()) };
        assert!(!pointer.is_null());
        assert!(256 - block.free_pages() <= 16 + 2, "{} pages are left", block.free_pages());
    }

    #[test]
    fn a_refused_allocation_takes_no_pages() {
        let block = block(1 << 18);
        let heap = heap_on(block);
        // SAFETY: the layouts are not empty and match.
        unsafe {
            let pointer = heap.alloc(layout(100));
            let free = block.free_pages();
            assert!(heap.alloc(layout(1 << 19)).is_null());
            assert!(heap.realloc(pointer, layout(100), 1 << 19).is_null());
            assert_eq!(block.free_pages(), free);
            // What is there can still be had in one piece.
            assert!(!heap.realloc(pointer, layout(100), (1 << 18) - 4096).is_null());
        }
    }

    #[test]
    fn a_request_that_fails_because_memory_is_in_pieces_leaves_the_pieces() {
        let block = block(1 << 20);
        let heap = heap_on(block);
        // SAFETY: the layouts are not empty and match.
        unsafe {
            let first = heap.alloc(layout(100));
            // Every fourth page is in use.
            (0..256).step_by(4).for_each(|page| block.set_free(page..page + 1, false));
            let free = block.free_pages();
            for size in [70_000, 200_000, 500_000] {
                assert!(heap.alloc(layout(size)).is_null());
                assert!(heap.realloc(first, layout(100), size).is_null());
            }
            assert_eq!(block.free_pages(), free);
            // They serve what is no larger than they are.
            for _ in 0..free / 3 {
                assert!(!heap.alloc(layout(11_000)).is_null());
            }
        }
    }

    #[test]
    fn an_object_grows_into_what_lies_behind_it_and_leaves_what_lies_elsewhere() {
        // The allocator deals in units of 32 bytes at most.
        for more in 0..32 {
            grow_behind(more);
        }
    }

    fn grow_behind(more: usize) {
        let block = block(1 << 20);
        let heap = heap_on(block);
        // The heap begins in the middle, and other pages become free before it.
        block.set_free(0..100, false);
        // SAFETY: the layouts are not empty and match.
        unsafe {
            let mut pointer = heap.alloc(layout(300_000 + more));
            block.set_free(0..60, true);
            let free = block.free_pages();
            // There is no second place of this size.
            pointer = heap.realloc(pointer, layout(300_000 + more), 400_000 + more);
            assert!(!pointer.is_null(), "{more}");
            pointer.write_bytes(1, 400_000 + more);
            assert!(free - block.free_pages() <= 26, "{} pages", free - block.free_pages());
            assert_eq!(block.free.borrow()[..60], [true; 60]);
            assert!(heap.realloc(pointer, layout(400_000 + more), 640_000).is_null());
            assert_eq!(block.free.borrow()[..60], [true; 60]);
            // A new one may begin in the last run and end behind it.
            block.set_free(0..60, false);
            assert!(!heap.alloc(layout(block.free_pages() * PAGE)).is_null());
            assert_eq!(block.free_pages(), 0);
        }
    }
}
