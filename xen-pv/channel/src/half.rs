//! One ring, as the end that reads it or the one that writes it sees it.

use crate::layout::{LEFT_CONS, LEFT_PROD, Order, RIGHT_CONS, RIGHT_PROD};
use crate::memory::{Bytes, ControlPage};

/// Which ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the server.
    Left,
    /// From the server to the client.
    Right,
}

impl Direction {
    pub(crate) const fn cons(self) -> usize {
        match self {
            Self::Left => LEFT_CONS,
            Self::Right => RIGHT_CONS,
        }
    }

    pub(crate) const fn prod(self) -> usize {
        match self {
            Self::Left => LEFT_PROD,
            Self::Right => RIGHT_PROD,
        }
    }
}

/// Where a ring's bytes lie.
#[derive(Debug)]
enum Place<R> {
    /// In the first page, from this offset.
    FirstPage(usize),
    /// In pages of its own.
    Pages(R),
}

/// A ring and this end's position in it.
#[derive(Debug)]
pub(crate) struct Half<R> {
    size_bytes: u32,
    place: Place<R>,
    /// Where the peer writes its index.
    pub(crate) theirs_at: usize,
    /// Where this end writes its index.
    pub(crate) ours_at: usize,
    /// This end's index: what the page says there is for the peer, and never read again.
    pub(crate) position: u32,
}

impl<R: Bytes> Half<R> {
    /// The ring that this end reads.
    pub(crate) fn reading(direction: Direction, order: Order, pages: Option<R>, position: u32) -> Self {
        Self::new(order, pages, direction.prod(), direction.cons(), position)
    }

    /// The ring that this end writes.
    pub(crate) fn writing(direction: Direction, order: Order, pages: Option<R>, position: u32) -> Self {
        Self::new(order, pages, direction.cons(), direction.prod(), position)
    }

    fn new(order: Order, pages: Option<R>, theirs_at: usize, ours_at: usize, position: u32) -> Self {
        let place = match (order.offset_in_page(), pages) {
            (Some(offset), None) => Place::FirstPage(offset),
            (None, Some(pages)) => Place::Pages(pages),
            _ => panic!("a ring lies in the first page, or has pages of its own"),
        };
        Self { size_bytes: order.size_bytes(), place, theirs_at, ours_at, position }
    }

    /// How many bytes the ring holds.
    pub(crate) fn size_bytes(&self) -> u32 {
        self.size_bytes
    }

    /// Copies out what begins at this end's position, of which the ring has so much.
    pub(crate) fn copy_out(&self, page: &impl ControlPage, destination: &mut [u8]) {
        let (first, second) = destination.split_at_mut(self.to_the_end(destination.len()));
        for (at, part) in [(self.at(), first), (0, second)] {
            match &self.place {
                Place::FirstPage(start) => page.read(start + at, part),
                Place::Pages(pages) => pages.read(at, part),
            }
        }
    }

    /// Copies to this end's position, where the ring has room for so much.
    pub(crate) fn copy_in(&self, page: &impl ControlPage, source: &[u8]) {
        let (first, second) = source.split_at(self.to_the_end(source.len()));
        for (at, part) in [(self.at(), first), (0, second)] {
            match &self.place {
                Place::FirstPage(start) => page.write(start + at, part),
                Place::Pages(pages) => pages.write(at, part),
            }
        }
    }

    /// The position within the ring.
    fn at(&self) -> usize {
        (self.position & (self.size_bytes - 1)) as usize
    }

    /// How many of so many bytes lie before the end of the ring.
    fn to_the_end(&self, count: usize) -> usize {
        count.min(self.size_bytes as usize - self.at())
    }
}
