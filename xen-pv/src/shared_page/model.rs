//! Memory between two domains, as the models of the protocols see it.
//!
//! `loom` runs a model with every order of its threads' steps, and lets a read find every value that it may find on a
//! CPU which reorders accesses to memory. Indices are atomics without an order of their own, as the volatile accesses
//! of a guest are. All else is data, and changes hands in pieces: who touches a piece that the other side has touched,
//! without a fence in between that both know of, ends the model.

use core::mem::size_of;
use core::ops::Range;
use core::slice;
use core::sync::atomic::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::vec::Vec;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, fence};

use super::{Plain, SharedMemory};

/// Fences that one side leaves out.
pub(crate) type Without = Option<Ordering>;

/// Runs a model.
pub(crate) fn check(model: impl Fn() + Send + Sync + 'static) {
    loom::model(model);
}

/// Whether a model finds a fault.
pub(crate) fn fails(model: impl Fn() + Send + Sync + 'static) -> bool {
    catch_unwind(AssertUnwindSafe(|| loom::model(model))).is_err()
}

/// One side's view of a page.
#[derive(Clone)]
pub(crate) struct ModelMemory {
    page: Arc<ModelPage>,
    without: Without,
}

struct ModelPage {
    /// By their offsets.
    words: Vec<(usize, AtomicU32)>,
    pieces: Vec<Piece>,
}

struct Piece {
    offset: usize,
    size: usize,
    bytes: UnsafeCell<Vec<u8>>,
}

// SAFETY: one of loom's threads runs at a time, and loom ends the model before two of them meet in a piece.
unsafe impl Send for ModelPage {}
// SAFETY: as above.
unsafe impl Sync for ModelPage {}

impl ModelMemory {
    /// A page with these words, by offset and value, and these pieces of data, by offset and size.
    pub(crate) fn new(words: &[(usize, u32)], pieces: &[(usize, usize)]) -> Self {
        let words = words.iter().map(|(offset, value)| (*offset, AtomicU32::new(*value))).collect();
        let piece = |(offset, size): &(usize, usize)| Piece {
            offset: *offset,
            size: *size,
            bytes: UnsafeCell::new(std::vec![0; *size]),
        };
        let pieces = pieces.iter().map(piece).collect();
        Self { page: Arc::new(ModelPage { words, pieces }), without: None }
    }

    /// The view of a side that leaves out some fences.
    pub(crate) fn without(&self, without: Without) -> Self {
        Self { page: Arc::clone(&self.page), without }
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.page.words.iter().find(|(at, _)| *at == offset).map(|(_, word)| word)
    }

    /// Calls `access` with each piece in which some of `size` bytes at `offset` lie: with those of its bytes, and which
    /// of the
    /// `size` they are.
    fn access(
        &self,
        offset: usize,
        size: usize,
        mut access: impl FnMut(&UnsafeCell<Vec<u8>>, Range<usize>, Range<usize>),
    ) {
        let mut done = 0;
        while done < size {
            let at = offset + done;
            let holds = |piece: &&Piece| (piece.offset..piece.offset + piece.size).contains(&at);
            let Some(piece) = self.page.pieces.iter().find(holds) else { panic!("nothing lies at {at}") };
            let start = at - piece.offset;
            let count = (size - done).min(piece.size - start);
            access(&piece.bytes, start..start + count, done..done + count);
            done += count;
        }
    }
}

impl SharedMemory for ModelMemory {
    fn read<T: Plain>(&self, offset: usize) -> T {
        let mut bytes = std::vec![0; size_of::<T>()];
        match self.word(offset) {
            Some(word) => bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()),
            None => self.read_bytes(offset, &mut bytes),
        }
        // SAFETY: there are as many bytes as a `T` has, and any bytes are one.
        unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
    }

    fn write<T: Plain>(&self, offset: usize, value: T) {
        // SAFETY: a `T` has this many bytes, and none of them is padding.
        let bytes = unsafe { slice::from_raw_parts((&raw const value).cast::<u8>(), size_of::<T>()) };
        match self.word(offset) {
            Some(word) => {
                let bytes = bytes.try_into().unwrap_or_else(|_| panic!("a word of another size at {offset}"));
                word.store(u32::from_ne_bytes(bytes), Ordering::Relaxed);
            }
            None => self.write_bytes(offset, bytes),
        }
    }

    fn read_bytes(&self, offset: usize, destination: &mut [u8]) {
        self.access(offset, destination.len(), |piece, inside, of_all| {
            // SAFETY: loom found that the other side is not here.
            piece.with(|bytes| destination[of_all].copy_from_slice(unsafe { &(&*bytes)[inside] }));
        });
    }

    fn write_bytes(&self, offset: usize, source: &[u8]) {
        self.access(offset, source.len(), |piece, inside, of_all| {
            // SAFETY: loom found that the other side is not here.
            piece.with_mut(|bytes| unsafe { &mut (&mut *bytes)[inside] }.copy_from_slice(&source[of_all]));
        });
    }

    fn fence(&self, ordering: Ordering) {
        if self.without != Some(ordering) {
            fence(ordering);
        }
    }
}
