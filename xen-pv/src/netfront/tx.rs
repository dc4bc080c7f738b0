//! Transmitting: frames from us to the backend.
//!
//! A fixed set of pages stays granted, read-only for the backend, as long as the connection lasts, and holds nothing
//! but frames (XSA-403). The stack writes a frame directly into its place: half a page. Other pages are for segments of
//! a TCP stream that leave in one piece and are cut by the backend or its hardware (`segments.rs`).
//!
//! The id of a request is the number of the half, or, behind all of those, that of the page.

use alloc::vec::Vec;
use core::num::NonZeroU16;

use xen_sys::io::netif::{RSP_NULL, RSP_OKAY, TXF_CSUM_BLANK, TXF_DATA_VALIDATED, TxRequest, TxResponse};

use super::checksum;
use super::counters::Counters;
use super::pacing::{Limits, Pacing, SMALL_BYTES};
use crate::grant_table::{Grant, ReadOnly, ReadWrite};
use crate::memory::PAGE_SIZE;
use crate::ring::{Broken, Check, FrontRing, Notify};

mod segments;

pub(super) use segments::PAGES as RUN_PAGES;
use segments::Runs;
#[cfg(feature = "segmentation-offload")]
pub(super) use segments::largest as largest_segments;

type Ring = FrontRing<TxRequest, TxResponse, Grant<ReadWrite>>;

/// Number of slots.
pub(super) const SLOTS: usize = Ring::SLOTS as usize;
/// Bytes for each frame.
pub(super) const FRAME_MAX: usize = 2048;
/// Frames in each page.
pub(super) const FRAMES_PER_PAGE: usize = PAGE_SIZE / FRAME_MAX;

/// Segments may leave in one piece. Where they may not, the compiler leaves out all that serves them.
pub(super) const OFFLOAD: bool = cfg!(feature = "segmentation-offload");

/// What somebody wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// One frame.
    Frame,
    /// The largest that the stack was told of.
    Most,
}

/// What may be under way to the backend at once.
pub(super) fn limits(pacing: &Pacing) -> Limits {
    pacing.limits(SLOTS as u16, RUN_PAGES as u16 + 1)
}

/// The transmit side of a connection.
#[derive(Debug)]
pub(super) struct Transmitter {
    ring: Ring,
    /// Those of two halves.
    pages: Vec<Grant<ReadOnly>>,
    /// Number of halves.
    halves: usize,
    free_halves: Vec<u16>,
    /// Those for segments: none when they are not sent in one piece.
    runs: Runs,
    /// Bytes of the slot with each id that the backend has not answered; otherwise 0.
    in_flight: Vec<u16>,
    /// Large frames that it has not answered, and how many of them there may be.
    large: usize,
    large_max: usize,
    /// Slots of extra information that the backend has not answered.
    extras: u32,
    /// The backend takes frames whose checksum is not filled in.
    blank_checksums: bool,
    /// Someone wanted to send this and found no room.
    pub(super) starved: Option<Load>,
    /// Slots consumed since the last flush.
    pub(super) consumed: u32,
}

impl Transmitter {
    /// A transmitter with these pages for frames, and runs of pages for segments.
    pub(super) fn new(
        ring: Grant<ReadWrite>,
        pages: Vec<Grant<ReadOnly>>,
        runs: Vec<Grant<ReadOnly>>,
        blank_checksums: bool,
        large_max: usize,
    ) -> Self {
        let halves = (pages.len() * FRAMES_PER_PAGE).min(SLOTS);
        let runs = Runs::new(runs);
        Self {
            ring: Ring::new(ring),
            pages,
            halves,
            free_halves: (0..halves as u16).collect(),
            in_flight: alloc::vec![0; halves + runs.len()],
            large: 0,
            large_max,
            runs,
            extras: 0,
            blank_checksums,
            starved: None,
            consumed: 0,
        }
    }

    /// Whether segments may leave in one piece.
    pub(super) fn takes_segments(&self) -> bool {
        OFFLOAD && self.runs.len() > 0
    }

    /// Takes answered frames back where there is no room for this, and says whether there is now. Remembers it where
    /// there is not.
    pub(super) fn make_room(&mut self, load: Load, counters: &mut Counters) -> Result<bool, Broken> {
        if self.lacks(load).is_some() {
            self.reclaim(counters)?;
        }
        self.starved = self.lacks(load);
        Ok(self.starved.is_none())
    }

    /// The least for which there is no room, if that is not more than `load`.
    fn lacks(&self, load: Load) -> Option<Load> {
        if self.free_halves.is_empty() || self.ring.room() == 0 || self.large >= self.large_max {
            return Some(Load::Frame);
        }
        let most = load == Load::Most && self.takes_segments();
        (most && !self.has_room_for_segments()).then_some(Load::Most)
    }

    /// Takes back the places of frames that the backend has answered.
    pub(super) fn reclaim(&mut self, counters: &mut Counters) -> Result<(), Broken> {
        self.ring.responses()?;
        while let Some((_, response)) = self.ring.take() {
            self.consumed += 1;
            // Answers a slot of extra information; it has no id.
            if response.status == RSP_NULL {
                self.extras = self.extras.checked_sub(1).ok_or(Broken)?;
                continue;
            }
            let id = response.id.below(self.in_flight.len()).ok_or(Broken)?;
            let bytes = core::mem::take(&mut self.in_flight[id]);
            if bytes == 0 {
                return Err(Broken);
            }
            match id.checked_sub(self.halves).filter(|_| OFFLOAD) {
                Some(page) => self.runs.answered(page),
                None => {
                    self.large -= is_large(bytes);
                    self.free_halves.push(id as u16);
                }
            }
            if response.status != RSP_OKAY {
                counters.refused += 1;
            }
        }
        Ok(())
    }

    /// Has `write` fill in `length` bytes, and queues them: a frame, or with `segment_bytes` segments of that size to
    /// be cut. An empty frame is not sent (XSA-448).
    ///
    /// # Panics
    /// Without room, or with more than what was announced to the stack.
    pub(super) fn send<R>(
        &mut self,
        length: usize,
        segment_bytes: Option<NonZeroU16>,
        counters: &mut Counters,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if let Some(segment_bytes) = segment_bytes.filter(|_| OFFLOAD) {
            return self.send_segments(length, segment_bytes.get(), counters, write);
        }
        let Some(id) = self.free_halves.pop() else { panic!("a frame is sent only where there is room") };
        let (page, part) = (usize::from(id) / FRAMES_PER_PAGE, usize::from(id) % FRAMES_PER_PAGE);
        let offset = part * FRAME_MAX;
        let frame = &mut self.pages[page].bytes_mut()[offset..offset + FRAME_MAX][..length];
        let result = write(frame);
        if length == 0 {
            self.free_halves.push(id);
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
        self.in_flight[usize::from(id)] = length as u16;
        self.large += is_large(length as u16);
        counters.sent += 1;
        result
    }

    /// Makes what was sent visible to the backend.
    pub(super) fn push(&mut self) -> Notify {
        self.ring.push()
    }

    /// Asks for an event once half of the slots in flight are answered, unless they are.
    pub(super) fn final_check(&mut self) -> Result<Check, Broken> {
        self.ring.final_check_after(self.ring.in_flight().div_ceil(2).max(1))
    }
}

/// Number of large frames in a frame of this length: one or none.
fn is_large(bytes: u16) -> usize {
    usize::from(usize::from(bytes) > SMALL_BYTES)
}
