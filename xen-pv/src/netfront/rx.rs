//! Receiving: frames from the backend to us.
//!
//! A fixed set of pages stays granted as long as the connection lasts. A frame is copied out of its pages once, and
//! only the copy is looked at; its pages go back to the backend with the next refill.
//!
//! A slot belongs to a buffer by its position (`netif.h`, note on the receive response): extra information overlays the
//! id, so a slot that holds it uses up the buffer that was posted there as well.

use alloc::vec::Vec;

use xen_sys::io::netif::{
    EXTRA_FLAG_MORE, EXTRA_TYPE_GSO, EXTRA_TYPE_MAX, EXTRA_TYPE_NONE, ExtraInfo, GSO_TYPE_TCPV4, NR_SLOTS_MIN,
    RXF_CSUM_BLANK, RXF_DATA_VALIDATED, RXF_EXTRA_INFO, RXF_GSO_PREFIX, RXF_MORE_DATA, RxRequest, RxResponse,
};
use xen_sys::types::GrantRef;

use super::checksum;
use super::counters::{Counters, Dropped};
use crate::grant_table::{Grant, ReadWrite};
use crate::memory::PAGE_SIZE;
use crate::ring::{Broken, Check, FrontRing, Notify};
use crate::shared_page::Shared;

type Ring = FrontRing<RxRequest, RxResponse, Grant<ReadWrite>>;

/// Number of slots.
pub(super) const SLOTS: usize = Ring::SLOTS as usize;

/// What the next slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The first slot of a packet.
    Packet,
    /// Extra information about it.
    Extra,
    /// More of its data.
    Data,
}

/// The packet that is being put together.
#[derive(Debug)]
struct Packet {
    next: Next,
    /// More data follows the extra information.
    more_data: bool,
    /// Flags of the first slot.
    flags: u16,
    slots: usize,
    length: usize,
    /// Why it will be dropped once all its slots are consumed.
    bad: Option<Dropped>,
}

impl Packet {
    const NONE: Self = Self { next: Next::Packet, more_data: false, flags: 0, slots: 0, length: 0, bad: None };

    /// The first reason is the one that counts.
    fn spoil(&mut self, reason: Dropped) {
        self.bad.get_or_insert(reason);
    }
}

/// The receive side of a connection.
#[derive(Debug)]
pub(super) struct Receiver {
    ring: Ring,
    buffers: Vec<Grant<ReadWrite>>,
    /// The buffer that was posted at each position of the ring.
    posted: Vec<Option<u16>>,
    /// Buffers that wait to be posted.
    free: Vec<u16>,
    packet: Packet,
    /// Slots consumed since the last flush.
    pub(super) consumed: u32,
}

impl Receiver {
    pub(super) fn new(ring: Grant<ReadWrite>, buffers: Vec<Grant<ReadWrite>>) -> Self {
        let count = buffers.len().min(SLOTS);
        Self {
            ring: Ring::new(ring),
            buffers,
            posted: alloc::vec![None; SLOTS],
            free: (0..count as u16).collect(),
            packet: Packet::NONE,
            consumed: 0,
        }
    }

    /// Posts every free buffer at the next positions of the ring.
    pub(super) fn refill(&mut self) -> Notify {
        while let Some(buffer) = self.free.pop() {
            // The id is the position, which is what the response is checked against.
            let position = self.ring.next_request() as usize % SLOTS;
            let gref = self.buffers.get(usize::from(buffer)).map_or(GrantRef(0), Grant::reference);
            self.ring.put(RxRequest { id: position as u16, pad: 0, gref });
            self.posted[position] = Some(buffer);
        }
        self.ring.push()
    }

    /// Asks for an event at the next frame, unless there is one.
    pub(super) fn final_check(&mut self) -> Result<Check, Broken> {
        self.ring.final_check()
    }

    /// Copies the next good frame into `frame` and returns its length. Bad ones are counted and skipped; `budget` is
    /// the number of slots that may still be looked at, good or bad.
    pub(super) fn receive(
        &mut self,
        frame: &mut [u8],
        budget: &mut u32,
        counters: &mut Counters,
    ) -> Result<Option<usize>, Broken> {
        self.ring.responses()?;
        while *budget > 0 {
            if !self.slot(frame)? {
                if self.packet.next != Next::Packet {
                    // A backend publishes whole packets only. What is still to come of this one is consumed with it.
                    self.packet.spoil(Dropped::Truncated);
                }
                return Ok(None);
            }
            *budget -= 1;
            if self.packet.next != Next::Packet {
                continue;
            }
            let packet = core::mem::replace(&mut self.packet, Packet::NONE);
            let good = frame.get(..packet.length).filter(|_| packet.bad.is_none());
            match (packet.bad, good) {
                // Blank or validated is taken as it is; anything else is verified here.
                (None, Some(bytes))
                    if packet.flags & (RXF_CSUM_BLANK | RXF_DATA_VALIDATED) != 0 || checksum::is_right(bytes) =>
                {
                    counters.received += 1;
                    return Ok(Some(packet.length));
                }
                (bad, _) => counters.drop_frame(bad.unwrap_or(Dropped::Checksum)),
            }
        }
        Ok(None)
    }

    /// Consumes one slot; false when none waits. Afterwards `packet.next` is `Packet` when it was a packet's last.
    fn slot(&mut self, frame: &mut [u8]) -> Result<bool, Broken> {
        let more = if self.packet.next == Next::Extra {
            let Some((index, extra)) = self.ring.take_as::<ExtraInfo>() else { return Ok(false) };
            self.recycle(index)?;
            self.extra(extra)
        } else {
            let Some((index, response)) = self.ring.take() else { return Ok(false) };
            let buffer = self.recycle(index)?;
            if response.id.below(SLOTS) != Some(index as usize % SLOTS) {
                return Err(Broken);
            }
            self.data(response, buffer, frame);
            if self.packet.next == Next::Packet && response.flags & RXF_EXTRA_INFO != 0 {
                Next::Extra
            } else if self.packet.more_data {
                Next::Data
            } else {
                Next::Packet
            }
        };
        self.consumed += 1;
        self.packet.slots += 1;
        if self.packet.slots > NR_SLOTS_MIN {
            self.packet.spoil(Dropped::TooManySlots);
        }
        self.packet.next = more;
        Ok(true)
    }

    /// Takes the buffer at a position of the ring back; it is posted again by the next refill, after its bytes are
    /// copied.
    fn recycle(&mut self, index: u32) -> Result<u16, Broken> {
        let buffer = self.posted[index as usize % SLOTS].take().ok_or(Broken)?;
        self.free.push(buffer);
        Ok(buffer)
    }

    /// Judges extra information, and says what follows it.
    fn extra(&mut self, extra: ExtraInfo) -> Next {
        let known = extra.kind != EXTRA_TYPE_NONE && extra.kind < EXTRA_TYPE_MAX;
        let segments = extra.kind == EXTRA_TYPE_GSO;
        if !known || segments && (extra.gso_size == 0 || extra.gso_kind != GSO_TYPE_TCPV4) {
            self.packet.spoil(Dropped::BadExtra);
        }
        if extra.flags & EXTRA_FLAG_MORE != 0 {
            Next::Extra
        } else if self.packet.more_data {
            Next::Data
        } else {
            Next::Packet
        }
    }

    /// Copies the data of one slot behind what is there of the packet.
    fn data(&mut self, response: RxResponse, buffer: u16, frame: &mut [u8]) {
        let packet = &mut self.packet;
        if packet.next == Next::Packet {
            packet.flags = response.flags;
        } else if response.flags & RXF_EXTRA_INFO != 0 {
            packet.spoil(Dropped::BadExtra);
        }
        if response.flags & RXF_GSO_PREFIX != 0 {
            packet.spoil(Dropped::BadExtra);
        }
        packet.more_data = response.flags & RXF_MORE_DATA != 0;
        let Ok(length) = usize::try_from(response.status) else { return packet.spoil(Dropped::Failed) };
        let offset = response.offset.below(PAGE_SIZE);
        let Some(offset) = offset.filter(|offset| length > 0 && offset + length <= PAGE_SIZE) else {
            return packet.spoil(Dropped::Bounds);
        };
        let Some(place) = frame.get_mut(packet.length..packet.length + length) else {
            return packet.spoil(Dropped::TooLong);
        };
        if let Some(page) = self.buffers.get(usize::from(buffer)).filter(|_| packet.bad.is_none()) {
            page.shared().read_bytes(offset, place);
            packet.length += length;
        }
    }
}
