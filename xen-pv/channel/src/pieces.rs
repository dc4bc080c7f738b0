//! What was read, in pieces that lie still while they are looked at.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::error::Error;
use crate::memory::{Bytes, ControlPage, Events};
use crate::stream::Channel;

/// How large a piece is worth while: copying more at once is no faster.
pub const PIECE_BYTES: usize = 32 * 1024;

/// A piece of the stream, copied out of the ring once, of which the reader takes what it likes.
///
/// The memory of a ring can change under one's eyes; this cannot.
#[derive(Debug)]
pub struct Pieces {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Pieces {
    /// Room for pieces of so many bytes; [`PIECE_BYTES`] is plenty. `None` without memory.
    #[must_use]
    pub fn new(size_bytes: usize) -> Option<Self> {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(size_bytes).ok()?;
        buffer.resize(size_bytes, 0);
        Some(Self { buffer: buffer.into_boxed_slice(), start: 0, end: 0 })
    }

    /// What is held: the bytes that were read and are not done with.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// As [`held`](Self::held), after reading more if less than `wanted` is held: as much as finds room. Fewer mean that
    /// the ring has no more, or that so many find no room.
    ///
    /// # Errors
    /// Those of [`Channel::read`].
    pub fn fill<P: ControlPage, R: Bytes, E: Events>(
        &mut self,
        channel: &mut Channel<P, R, E>,
        wanted: usize,
    ) -> Result<&[u8], Error> {
        if self.end - self.start < wanted {
            // A rest that belongs to what comes: less than what is wanted in one piece.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            self.end += channel.read(&mut self.buffer[self.end..])?;
        }
        Ok(self.held())
    }

    /// Is done with the first bytes of those held.
    ///
    /// # Panics
    /// When fewer are held.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "more than is held");
        self.start += count;
    }
}
