//! Pages of memory.
//!
//! In a guest they come from runs of pages (`memory/runs.rs`), of which the heap takes its share as it grows.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

#[cfg(target_os = "none")]
mod runs;

#[cfg(target_os = "none")]
pub(crate) use runs::{allocate_run, figures, free_run, initialise, refused_bytes};

/// Size of a page in bytes.
pub const PAGE_SIZE: usize = 4096;

/// A page that the guest owns: 4096 bytes at a multiple of 4096, zeroed when allocated, freed on drop.
#[derive(Debug)]
pub struct Page(NonNull<[u8; PAGE_SIZE]>);

impl Page {
    /// A zeroed page, or `None` when memory is exhausted.
    #[must_use]
    pub fn allocate() -> Option<Self> {
        let page = allocate_run(PAGE_SIZE)?;
        // SAFETY: the run is a page that nobody else uses.
        unsafe { page.write_bytes(0, PAGE_SIZE) };
        Some(Self(page.cast()))
    }

    /// Where it lies.
    #[must_use]
    pub fn address(&self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Gives the page up for ever: it is never used for anything else.
    pub fn leak(self) {
        let _ = ManuallyDrop::new(self);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the page was allocated as a run of this size, and only its owner frees it.
        unsafe { free_run(self.0.cast(), PAGE_SIZE) };
    }
}

#[cfg(not(target_os = "none"))]
mod host {
    //! On the developer's machine, pages come from the ordinary allocator.

    use alloc::alloc::{Layout, alloc, dealloc};
    use core::ptr::NonNull;

    fn layout(size_bytes: usize) -> Option<Layout> {
        Layout::from_size_align(size_bytes, super::PAGE_SIZE).ok().filter(|layout| layout.size() > 0)
    }

    pub(super) fn allocate_run(size_bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: the layout's size is not zero.
        NonNull::new(unsafe { alloc(layout(size_bytes)?) })
    }

    /// # Safety
    /// The run must come from [`allocate_run`] with the same size, and not be used again.
    pub(super) unsafe fn free_run(run: NonNull<u8>, size_bytes: usize) {
        if let Some(layout) = layout(size_bytes) {
            // SAFETY: the caller vouches for the run.
            unsafe { dealloc(run.as_ptr(), layout) };
        }
    }
}
#[cfg(not(target_os = "none"))]
use host::{allocate_run, free_run};
