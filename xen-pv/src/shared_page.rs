//! Memory that another domain may read or write at any time.
//!
//! Purpose: such memory is only ever copied in and out, by volatile accesses that the compiler neither repeats nor
//! splits nor leaves out (XSA-155): what was judged is what was read, once. No reference into it exists, because Rust
//! may assume that what a reference points to does not change by itself.
//!
//! Source of the layouts: `xen/include/public/io`.

use core::marker::PhantomData;
use core::mem::size_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering, fence};

use zerocopy::{FromBytes, IntoBytes};

#[cfg(target_os = "none")]
use crate::arch;
use crate::memory::PAGE_SIZE;

/// On the developer's machine.
#[cfg(not(target_os = "none"))]
mod arch {
    /// As a guest's `arch::copy`.
    pub(super) unsafe fn copy(destination: *mut u8, source: *const u8, bytes: usize) {
        for position in 0..bytes {
            // SAFETY: the caller promises that the memory may be accessed.
            unsafe { destination.add(position).write_volatile(source.add(position).read_volatile()) };
        }
    }
}

/// A value that may be copied to and from shared memory as it is: every pattern of bits is one, and it has no padding.
pub trait Plain: Copy + FromBytes + IntoBytes {}

impl<T: Copy + FromBytes + IntoBytes> Plain for T {}

/// One page of memory that another domain may read or write, for as long as whatever keeps it mapped is borrowed.
///
/// Offsets are in bytes from the page's start. An access outside the page or at an unaligned offset is a bug of the
/// caller, never a matter of what the other side has written, and panics.
#[derive(Debug, Clone, Copy)]
pub struct SharedPage<'a>(NonNull<u8>, PhantomData<&'a ()>);

impl SharedPage<'_> {
    /// The page at `address`.
    ///
    /// # Safety
    /// `address` must be a multiple of 4096, and the 4096 bytes there must stay mapped, readable and writable, for
    /// the lifetime that the caller chooses; no reference to any of them may exist meanwhile.
    #[must_use]
    pub const unsafe fn new(address: NonNull<u8>) -> Self {
        Self(address, PhantomData)
    }

    /// The address of `size` bytes at `offset`.
    #[inline]
    fn at(self, offset: usize, size: usize) -> *mut u8 {
        assert!(offset <= PAGE_SIZE && size <= PAGE_SIZE - offset);
        // SAFETY: the bytes lie inside the page, as was just checked.
        unsafe { self.0.as_ptr().add(offset) }
    }

    /// Copies a value out.
    #[must_use]
    #[inline]
    pub fn read<T: Plain>(self, offset: usize) -> T {
        let address = self.at(offset, size_of::<T>()).cast::<T>();
        assert!(address.is_aligned());
        // SAFETY: `new` promised readable memory, `at` that it is inside, and any bits are a `T`.
        unsafe { address.read_volatile() }
    }

    /// Copies a value in.
    #[inline]
    pub fn write<T: Plain>(self, offset: usize, value: T) {
        let address = self.at(offset, size_of::<T>()).cast::<T>();
        assert!(address.is_aligned());
        // SAFETY: `new` promised writable memory, `at` that it is inside.
        unsafe { address.write_volatile(value) }
    }

    /// Copies bytes out, each read once.
    pub fn read_bytes(self, offset: usize, destination: &mut [u8]) {
        let source = self.at(offset, destination.len());
        // SAFETY: `at` found the bytes inside the page, which nothing refers to.
        unsafe { arch::copy(destination.as_mut_ptr(), source, destination.len()) };
    }

    /// Copies bytes in, each written once.
    pub fn write_bytes(self, offset: usize, source: &[u8]) {
        let destination = self.at(offset, source.len());
        // SAFETY: `at` found the bytes inside the page, which nothing refers to, so they are none of `source`.
        unsafe { arch::copy(destination, source.as_ptr(), source.len()) };
    }

    /// A byte that both sides change with atomic instructions only.
    fn atomic(&self, offset: usize) -> &AtomicU8 {
        let address = self.at(offset, 1);
        // SAFETY: the byte is inside the page, which stays mapped as long as it is borrowed; an atomic may be changed by
        // others at any time.
        unsafe { AtomicU8::from_ptr(address) }
    }

    /// Sets bits of a byte, in one step; it has no order by itself.
    pub fn set_bits(self, offset: usize, bits: u8) {
        self.atomic(offset).fetch_or(bits, Ordering::Relaxed);
    }

    /// Clears bits of a byte, in one step, and says what the byte was; it has no order by itself.
    pub fn clear_bits(self, offset: usize, bits: u8) -> u8 {
        self.atomic(offset).fetch_and(!bits, Ordering::Relaxed)
    }
}

/// Whatever keeps a shared page mapped.
pub trait Shared {
    /// The page.
    fn shared(&self) -> SharedPage<'_>;
}

impl Shared for SharedPage<'_> {
    fn shared(&self) -> SharedPage<'_> {
        *self
    }
}

/// What a protocol between two domains needs of the memory that they share: copies in and out, and their order.
///
/// Everything but a model of such a protocol is [`Shared`]. A model runs the protocol's own code over memory that finds
/// out when the two sides meet in a page without a fence between them (`shared_page/model.rs`).
pub trait SharedMemory {
    /// Copies a value out, as [`SharedPage::read`].
    fn read<T: Plain>(&self, offset: usize) -> T;

    /// Copies a value in, as [`SharedPage::write`].
    fn write<T: Plain>(&self, offset: usize, value: T);

    /// Copies bytes out, as [`SharedPage::read_bytes`].
    fn read_bytes(&self, offset: usize, destination: &mut [u8]);

    /// Copies bytes in, as [`SharedPage::write_bytes`].
    fn write_bytes(&self, offset: usize, source: &[u8]);

    /// Orders the accesses before it and those after it, as the other domain sees them.
    fn fence(&self, ordering: Ordering);
}

impl<Memory: Shared> SharedMemory for Memory {
    fn read<T: Plain>(&self, offset: usize) -> T {
        self.shared().read(offset)
    }

    fn write<T: Plain>(&self, offset: usize, value: T) {
        self.shared().write(offset, value);
    }

    fn read_bytes(&self, offset: usize, destination: &mut [u8]) {
        self.shared().read_bytes(offset, destination);
    }

    fn write_bytes(&self, offset: usize, source: &[u8]) {
        self.shared().write_bytes(offset, source);
    }

    fn fence(&self, ordering: Ordering) {
        fence(ordering);
    }
}

#[cfg(test)]
pub(crate) mod model;

#[cfg(test)]
mod tests {
    use super::SharedPage;
    use crate::memory::Page;
    use std::vec::Vec;

    fn page() -> (Page, SharedPage<'static>) {
        let page = Page::allocate().expect("memory");
        // SAFETY: the tests keep the page as long as the view, and nothing else refers to it.
        let shared = unsafe { SharedPage::new(page.address()) };
        (page, shared)
    }

    #[test]
    fn bytes_come_back_at_every_alignment() {
        let (_page, shared) = page();
        for offset in 0..17 {
            for length in 0..40 {
                let bytes: Vec<u8> = (0..length).map(|index| index as u8 ^ 0x5a).collect();
                shared.write_bytes(offset, &bytes);
                let mut copy = [0; 40];
                shared.read_bytes(offset, &mut copy[..length]);
                assert_eq!(&copy[..length], &bytes[..]);
            }
        }
        let mut end = [0; 8];
        shared.read_bytes(4088, &mut end);
    }

    #[test]
    fn bits_are_set_and_cleared_and_their_neighbours_left_alone() {
        let (_page, shared) = page();
        shared.write_bytes(20, &[0xf0, 0xf0, 0xf0]);
        shared.set_bits(21, 0x81);
        assert_eq!(shared.read::<u8>(21), 0xf1);
        assert_eq!(shared.clear_bits(21, 0x11), 0xf1);
        let mut bytes = [0; 3];
        shared.read_bytes(20, &mut bytes);
        assert_eq!(bytes, [0xf0, 0xe0, 0xf0]);
    }

    #[test]
    #[should_panic]
    fn an_access_across_the_end_of_the_page_is_refused() {
        let (_page, shared) = page();
        shared.read_bytes(4090, &mut [0; 8]);
    }

    #[test]
    #[should_panic]
    fn an_unaligned_value_is_refused() {
        let (_page, shared) = page();
        let _ = shared.read::<u32>(2);
    }
}
