//! Pages of memory.
//!
//! In a guest they come from runs of pages (`memory/runs.rs`), of which the heap takes its share as it grows.

use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

#[cfg(target_os = "none")]
mod runs;

#[cfg(target_os = "none")]
pub(crate) use runs::{allocate_run, figures, free_run, initialise, refused_bytes};

pub use xen_sys::types::PAGE_SIZE;

/// A page that the guest owns: 4096 bytes at a multiple of 4096, zeroed when allocated, freed on drop.
#[derive(Debug)]
pub struct Page {
    address: NonNull<u8>,
    /// What it is a part of, which the ordinary allocator frees only as a whole.
    #[cfg(not(target_os = "none"))]
    _run: host::Run,
}

impl Page {
    /// A zeroed page, or `None` when memory is exhausted.
    #[must_use]
    pub fn allocate() -> Option<Self> {
        let address = zeroed_run(PAGE_SIZE)?;
        Some(Self {
            address,
            #[cfg(not(target_os = "none"))]
            // SAFETY: the run is this page, and nothing else frees it.
            _run: unsafe { host::Run::new(address, PAGE_SIZE) },
        })
    }

    /// So many zeroed pages, each right behind the one before, or `None` when they are not to be had.
    ///
    /// A free page with a lower address is found before another, so those of a free area come one behind the other.
    #[cfg(target_os = "none")]
    #[must_use]
    pub fn allocate_adjacent(count: usize) -> Option<Vec<Self>> {
        let mut pages = Vec::<Self>::new();
        pages.try_reserve_exact(count).ok()?;
        // Pages of areas that were too short, kept so that they are not found again.
        let mut aside = Vec::new();
        while pages.len() < count {
            let page = Self::allocate()?;
            if pages.last().is_some_and(|last| last.address().addr().get() + PAGE_SIZE != page.address().addr().get()) {
                aside.try_reserve(pages.len()).ok()?;
                aside.append(&mut pages);
            }
            pages.push(page);
        }
        Some(pages)
    }

    /// As in a guest, of one run of the ordinary allocator.
    #[cfg(not(target_os = "none"))]
    #[must_use]
    pub fn allocate_adjacent(count: usize) -> Option<Vec<Self>> {
        let mut pages = Vec::new();
        pages.try_reserve_exact(count).ok()?;
        let size_bytes = count.checked_mul(PAGE_SIZE)?;
        let start = zeroed_run(size_bytes)?;
        // SAFETY: the run is these pages, and nothing else frees it.
        let run = unsafe { host::Run::new(start, size_bytes) };
        for index in 0..count {
            pages.push(Self {
                // SAFETY: the page lies within the run.
                address: unsafe { start.add(index * PAGE_SIZE) },
                _run: run.clone(),
            });
        }
        Some(pages)
    }

    /// Where it lies.
    #[must_use]
    pub fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// Gives the page up for ever: it is never used for anything else.
    pub fn leak(self) {
        let _ = ManuallyDrop::new(self);
    }
}

/// A run for [`Page`]s.
fn zeroed_run(size_bytes: usize) -> Option<NonNull<u8>> {
    let run = allocate_run(size_bytes)?;
    // SAFETY: nobody else uses the run.
    unsafe { run.write_bytes(0, size_bytes) };
    Some(run)
}

#[cfg(target_os = "none")]
impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the page was allocated as a run of this size, and only its owner frees it.
        unsafe { free_run(self.address, PAGE_SIZE) };
    }
}

#[cfg(not(target_os = "none"))]
mod host {
    //! On the developer's machine, pages come from the ordinary allocator.

    use alloc::alloc::{Layout, alloc, dealloc};
    use alloc::rc::Rc;
    use core::ptr::NonNull;

    /// A run that is freed with the last of its pages.
    #[derive(Debug, Clone)]
    pub(super) struct Run(#[expect(dead_code, reason = "held for its end")] Rc<Owned>);

    #[derive(Debug)]
    struct Owned(NonNull<u8>, Layout);

    impl Run {
        /// # Safety
        /// The run must come from [`allocate_run`] with the same size, and not be used after the last clone is gone.
        pub(super) unsafe fn new(start: NonNull<u8>, size_bytes: usize) -> Self {
            let Some(layout) = layout(size_bytes) else { unreachable!("the run was allocated with this layout") };
            Self(Rc::new(Owned(start, layout)))
        }
    }

    impl Drop for Owned {
        fn drop(&mut self) {
            // SAFETY: the run was allocated with this layout, and its pages are gone.
            unsafe { dealloc(self.0.as_ptr(), self.1) };
        }
    }

    fn layout(size_bytes: usize) -> Option<Layout> {
        Layout::from_size_align(size_bytes, super::PAGE_SIZE).ok().filter(|layout| layout.size() > 0)
    }

    pub(super) fn allocate_run(size_bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: the layout's size is not zero.
        NonNull::new(unsafe { alloc(layout(size_bytes)?) })
    }
}
#[cfg(not(target_os = "none"))]
use host::allocate_run;
