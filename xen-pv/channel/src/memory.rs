//! What the protocol needs of the memory that two domains share, and of their event channel.

use core::sync::atomic::{Ordering, fence};

/// Bytes that another domain may read and write at any time.
///
/// A byte is read once and written once by each call, and nothing ever refers to it. An access outside them is a bug of
/// the caller, never a matter of what the other domain has written, and panics.
pub trait Bytes {
    /// Copies out what lies at `offset`.
    fn read(&self, offset: usize, destination: &mut [u8]);

    /// Copies to `offset`.
    fn write(&self, offset: usize, source: &[u8]);
}

/// The first page of a channel.
///
/// Each access is one, of the size that its name says, and has no order by itself. Numbers are little endian.
pub trait ControlPage: Bytes {
    /// Reads a byte.
    fn read_u8(&self, offset: usize) -> u8;

    /// Writes a byte.
    fn write_u8(&self, offset: usize, value: u8);

    /// Sets bits of a byte, in one step.
    fn set_bits(&self, offset: usize, bits: u8);

    /// Clears bits of a byte, in one step, and says what the byte was.
    fn clear_bits(&self, offset: usize, bits: u8) -> u8;

    /// Reads a `u16`.
    fn read_u16(&self, offset: usize) -> u16;

    /// Writes a `u16`.
    fn write_u16(&self, offset: usize, value: u16);

    /// Reads a `u32`.
    fn read_u32(&self, offset: usize) -> u32;

    /// Writes a `u32`.
    fn write_u32(&self, offset: usize, value: u32);

    /// Orders the accesses before it and those after it, as the other domain sees them.
    fn fence(&self, ordering: Ordering) {
        fence(ordering);
    }
}

/// The event channel of two ends.
pub trait Events {
    /// Has the other end look. It stays told until it does.
    fn send(&self);

    /// Whether the other end still has its end of the event channel. A domain that dies loses it without a word.
    fn is_bound(&self) -> bool;
}
