//! Pages of memory.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// Size of a page in bytes.
pub const PAGE_SIZE: usize = 4096;

/// A page that the guest owns: 4096 bytes at a multiple of 4096, zeroed when allocated, freed on drop.
#[derive(Debug)]
pub struct Page(NonNull<[u8; PAGE_SIZE]>);

impl Page {
    const LAYOUT: Layout = match Layout::from_size_align(PAGE_SIZE, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    };

    /// A zeroed page, or `None` when memory is exhausted.
    #[must_use]
    pub fn allocate() -> Option<Self> {
        // SAFETY: the layout's size is not zero.
        let address = unsafe { alloc_zeroed(Self::LAYOUT) };
        NonNull::new(address.cast()).map(Self)
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
        // SAFETY: the page was allocated with this layout, and only its owner frees it.
        unsafe { dealloc(self.0.as_ptr().cast(), Self::LAYOUT) };
    }
}
