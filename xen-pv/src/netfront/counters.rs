//! What a network card counts.

use core::cell::RefCell;

use super::{Card, Device};
use crate::hypervisor::Hypervisor;

/// Why a frame from the backend was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The backend reports an error in its place.
    Failed,
    /// It would reach beyond its page, or is empty.
    Bounds,
    /// It is longer than the largest frame that was agreed upon.
    TooLong,
    /// It has more slots than a packet may have.
    TooManySlots,
    /// Its extra information is missing, unknown or wrong.
    BadExtra,
    /// It says that it goes on, but does not.
    Truncated,
    /// Its checksum is wrong.
    Checksum,
}

impl Dropped {
    /// Number of reasons.
    pub const COUNT: usize = 7;
}

/// Counts since the start, over all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames received and passed on.
    pub received: u64,
    /// Frames handed to the backend.
    pub sent: u64,
    /// Frames that the backend says it could not send.
    pub refused: u64,
    /// Events without work. A few are normal: the work was found before its event came.
    pub spurious_events: u64,
    /// Connections made.
    pub connections: u32,
    /// Connections given up because the backend broke the protocol.
    pub broken: u32,
    /// Frames dropped, by reason.
    dropped: [u32; Dropped::COUNT],
}

impl Counters {
    /// Frames dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: Dropped) -> u32 {
        self.dropped[reason as usize]
    }

    /// Counts a dropped frame.
    pub(super) fn drop_frame(&mut self, reason: Dropped) {
        let count = &mut self.dropped[reason as usize];
        *count = count.wrapping_add(1);
    }
}

/// A way to a card's counters that does not take the card from the stack.
#[derive(Debug)]
pub struct CounterReader<H: Hypervisor>(&'static RefCell<Card<H>>);

impl<H: Hypervisor> CounterReader<H> {
    /// What the card has counted.
    #[must_use]
    pub fn read(&self) -> Counters {
        self.0.borrow().counters
    }
}

impl<H: Hypervisor> Device<H> {
    /// A way to the counters for who does not have the device.
    #[must_use]
    pub fn counter_reader(&self) -> CounterReader<H> {
        CounterReader(self.card)
    }
}
