//! Transmitting: frames from us to the backend.
//!
//! A fixed set of pages stays granted, read-only for the backend, as long as the connection lasts, and holds nothing but
//! frames (XSA-403). The stack writes a frame directly into its place; each page has two.

use alloc::vec::Vec;

use xen_sys::io::netif::{RSP_NULL, RSP_OKAY, TXF_CSUM_BLANK, TXF_DATA_VALIDATED, TxRequest, TxResponse};

use super::checksum;
use super::counters::Counters;
use crate::grant_table::{Grant, ReadOnly, ReadWrite};
use crate::memory::PAGE_SIZE;
use crate::ring::{Broken, Check, FrontRing, Notify};

type Ring = FrontRing<TxRequest, TxResponse, Grant<ReadWrite>>;

/// Number of slots.
pub(super) const SLOTS: usize = Ring::SLOTS as usize;
/// Bytes for each frame.
pub(super) const FRAME_MAX: usize = 2048;
/// Frames in each page.
pub(super) const FRAMES_PER_PAGE: usize = PAGE_SIZE / FRAME_MAX;

/// The transmit side of a connection.
#[derive(Debug)]
pub(super) struct Transmitter {
    ring: Ring,
    pages: Vec<Grant<ReadOnly>>,
    /// Whether each place holds a frame that the backend has not answered.
    in_flight: Vec<bool>,
    free: Vec<u16>,
    /// The backend takes frames whose checksum is not filled in.
    blank_checksums: bool,
    /// Someone wanted to send and found no room.
    pub(super) starved: bool,
    /// Slots consumed since the last flush.
    pub(super) consumed: u32,
}

impl Transmitter {
    pub(super) fn new(ring: Grant<ReadWrite>, pages: Vec<Grant<ReadOnly>>, blank_checksums: bool) -> Self {
        let count = (pages.len() * FRAMES_PER_PAGE).min(SLOTS);
        Self {
            ring: Ring::new(ring),
            pages,
            in_flight: alloc::vec![false; count],
            free: (0..count as u16).collect(),
            blank_checksums,
            starved: false,
            consumed: 0,
        }
    }

    /// Whether a frame can be sent now. Looks for answered frames first when there is no room, and remembers that there
    /// was none.
    pub(super) fn has_room(&mut self, counters: &mut Counters) -> Result<bool, Broken> {
        if self.free.is_empty() || self.ring.room() == 0 {
            self.reclaim(counters)?;
        }
        self.starved = self.free.is_empty() || self.ring.room() == 0;
        Ok(!self.starved)
    }

    /// Takes back the places of frames that the backend has answered.
    pub(super) fn reclaim(&mut self, counters: &mut Counters) -> Result<(), Broken> {
        self.ring.responses()?;
        while let Some((_, response)) = self.ring.take() {
            self.consumed += 1;
            // Answers a slot of extra information, of which we send none.
            if response.status == RSP_NULL {
                return Err(Broken);
            }
            let id = response.id.below(self.in_flight.len()).ok_or(Broken)?;
            if !core::mem::take(&mut self.in_flight[id]) {
                return Err(Broken);
            }
            self.free.push(id as u16);
            if response.status != RSP_OKAY {
                counters.refused += 1;
            }
        }
        Ok(())
    }

    /// Has `write` fill in a frame of `length` bytes, and queues it; an empty one is not sent (XSA-448).
    ///
    /// # Panics
    /// Without room, or with a frame above the size that was announced to the stack.
    pub(super) fn send<R>(&mut self, length: usize, counters: &mut Counters, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let Some(id) = self.free.pop() else { panic!("a frame is sent only where there is room") };
        let (page, part) = (usize::from(id) / FRAMES_PER_PAGE, usize::from(id) % FRAMES_PER_PAGE);
        let offset = part * FRAME_MAX;
        let frame = &mut self.pages[page].bytes_mut()[offset..offset + FRAME_MAX][..length];
        let result = write(frame);
        if length == 0 {
            self.free.push(id);
            return result;
        }
        let flags = if self.blank_checksums && checksum::leave_blank(frame) {
            TXF_CSUM_BLANK | TXF_DATA_VALIDATED
        } else {
            checksum::fill(frame);
            0
        };
        let gref = self.pages[page].reference();
        self.ring.put(TxRequest { gref, offset: offset as u16, flags, id, size: length as u16 });
        self.in_flight[usize::from(id)] = true;
        counters.sent += 1;
        result
    }

    /// Makes what was sent visible to the backend.
    pub(super) fn push(&mut self) -> Notify {
        self.ring.push()
    }

    /// Asks for an event once half of the frames in flight are answered, unless they are.
    pub(super) fn final_check(&mut self) -> Result<Check, Broken> {
        self.ring.final_check_after(self.ring.in_flight().div_ceil(2).max(1))
    }
}
