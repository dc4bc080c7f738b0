//! Memory of one program, in which both ends of a channel may be.

use alloc::sync::Arc;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use crate::memory::{Bytes, ControlPage};

/// Bytes that the threads of one program share. A clone is the same memory.
#[derive(Debug, Clone)]
pub struct LocalMemory(Arc<[AtomicU32]>);

impl LocalMemory {
    /// So many zeroes, rounded up to words.
    #[must_use]
    pub fn new(size_bytes: usize) -> Self {
        Self((0..size_bytes.div_ceil(4)).map(|_| AtomicU32::new(0)).collect())
    }

    /// The word of a byte, and how far within it the byte lies, in bits.
    fn word(&self, offset: usize) -> (&AtomicU32, usize) {
        (&self.0[offset / 4], offset % 4 * 8)
    }

    /// Writes some bits of a word, and none beside them.
    fn replace(&self, offset: usize, mask: u32, value: u32) {
        let (word, shift) = self.word(offset);
        let change = |old| Some(old & !(mask << shift) | value << shift);
        // The change is always made.
        let _ = word.fetch_update(Relaxed, Relaxed, change);
    }
}

impl Bytes for LocalMemory {
    fn read(&self, mut offset: usize, mut destination: &mut [u8]) {
        while !destination.is_empty() {
            let (word, shift) = self.word(offset);
            let bytes = word.load(Relaxed).to_le_bytes();
            let bytes = &bytes[shift / 8..];
            let count = bytes.len().min(destination.len());
            let (part, rest) = destination.split_at_mut(count);
            part.copy_from_slice(&bytes[..count]);
            (offset, destination) = (offset + count, rest);
        }
    }

    fn write(&self, mut offset: usize, mut source: &[u8]) {
        while let Some(first) = source.first() {
            let whole = source.first_chunk().filter(|_| offset.is_multiple_of(4));
            let count = match whole {
                Some(bytes) => {
                    self.write_u32(offset, u32::from_le_bytes(*bytes));
                    4
                }
                None => {
                    self.write_u8(offset, *first);
                    1
                }
            };
            (offset, source) = (offset + count, &source[count..]);
        }
    }
}

impl ControlPage for LocalMemory {
    fn read_u8(&self, offset: usize) -> u8 {
        let (word, shift) = self.word(offset);
        (word.load(Relaxed) >> shift) as u8
    }

    fn write_u8(&self, offset: usize, value: u8) {
        self.replace(offset, 0xff, value.into());
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        let (word, shift) = self.word(offset);
        word.fetch_or(u32::from(bits) << shift, Relaxed);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        let (word, shift) = self.word(offset);
        (word.fetch_and(!(u32::from(bits) << shift), Relaxed) >> shift) as u8
    }

    fn read_u16(&self, offset: usize) -> u16 {
        let (word, shift) = self.word(offset);
        (word.load(Relaxed) >> shift) as u16
    }

    fn write_u16(&self, offset: usize, value: u16) {
        self.replace(offset, 0xffff, value.into());
    }

    fn read_u32(&self, offset: usize) -> u32 {
        let (word, shift) = self.word(offset);
        assert_eq!(shift, 0, "an unaligned number");
        word.load(Relaxed)
    }

    fn write_u32(&self, offset: usize, value: u32) {
        let (word, shift) = self.word(offset);
        assert_eq!(shift, 0, "an unaligned number");
        word.store(value, Relaxed);
    }
}
