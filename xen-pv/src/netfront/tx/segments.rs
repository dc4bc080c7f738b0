//! Segments of a TCP stream that leave in one piece: segmentation offload (`xen/include/public/io/netif.h`,
//! `XEN_NETIF_EXTRA_TYPE_GSO`).
//!
//! The stack writes one packet with all the data under one set of headers, directly into its place: a run of pages that
//! lie one behind the other. It leaves as a chain: the first slot says the size of the whole and that extra information
//! follows, which says the size of a segment; the slots behind it hold the rest. The backend's network cuts the packet
//! where a wire begins, or never when it stays on the machine.

use alloc::vec::Vec;
#[cfg(feature = "segmentation-offload")]
use core::num::NonZeroUsize;

#[cfg(feature = "segmentation-offload")]
use smoltcp::wire::{IPV4_HEADER_LEN, TCP_HEADER_LEN};
use xen_sys::io::netif::{
    EXTRA_TYPE_GSO, ExtraInfo, GSO_TYPE_TCPV4, MAX_TX_SIZE, TXF_CSUM_BLANK, TXF_DATA_VALIDATED, TXF_EXTRA_INFO,
    TXF_MORE_DATA, TxRequest,
};

use super::{Ring, Transmitter};
use crate::grant_table::{Grant, ReadOnly};
use crate::memory::PAGE_SIZE;
use crate::netfront::checksum;
use crate::netfront::counters::Counters;

/// The largest packet in bytes, with its Ethernet header.
const TOTAL_MAX: usize = MAX_TX_SIZE;

/// The largest packet of whole segments, where the largest on the wire has `mtu` bytes: a larger one would have a last
/// segment that is not full.
#[cfg(feature = "segmentation-offload")]
pub(in crate::netfront) fn largest(mtu: usize) -> Option<NonZeroUsize> {
    use crate::netfront::ETHERNET_HEADER;
    /// Without options, as a stream's packets in the middle have none.
    const HEADERS: usize = IPV4_HEADER_LEN + TCP_HEADER_LEN;
    const DATA_MAX: usize = TOTAL_MAX - ETHERNET_HEADER - HEADERS;
    NonZeroUsize::new(TOTAL_MAX - DATA_MAX % (mtu - HEADERS))
}

/// Pages of a run, which holds the largest packet: with the slot of extra information less than the 18 slots that every
/// backend accepts.
pub(in crate::netfront) const PAGES: usize = TOTAL_MAX.div_ceil(PAGE_SIZE);

/// The places of packets that are to be cut.
#[derive(Debug)]
pub(super) struct Runs {
    /// Those of a run lie one behind the other.
    pages: Vec<Grant<ReadOnly>>,
    /// Pages of each run that the backend has not answered.
    in_flight: Vec<u8>,
    free: Vec<u8>,
}

impl Runs {
    pub(super) fn new(pages: Vec<Grant<ReadOnly>>) -> Self {
        let count = pages.len() / PAGES;
        Self { pages, in_flight: alloc::vec![0; count], free: (0..count as u8).collect() }
    }

    /// Number of pages.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len() * PAGES
    }

    /// Notes that the backend has answered a page, which was in flight.
    pub(super) fn answered(&mut self, page: usize) {
        let run = page / PAGES;
        self.in_flight[run] -= 1;
        if self.in_flight[run] == 0 {
            self.free.push(run as u8);
        }
    }
}

impl Transmitter {
    /// Whether the largest packet finds room.
    pub(super) fn has_room_for_segments(&self) -> bool {
        !self.runs.free.is_empty() && self.ring.room() as usize > PAGES
    }

    /// Has `write` fill in a packet, and queues it, to be cut into segments with `segment_bytes` of data each.
    pub(super) fn send_segments<R>(
        &mut self,
        length: usize,
        segment_bytes: u16,
        counters: &mut Counters,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let Some(run) = self.runs.free.pop().map(usize::from) else {
            panic!("segments are sent only where there is room")
        };
        let first = run * PAGES;
        let pages = &mut self.runs.pages[first..first + PAGES];
        let packet = &mut Grant::adjacent_bytes_mut(pages)[..length];
        let result = write(packet);
        // Segments have to be told apart by their checksums, so the field must be left for the backend to fill in,
        // which is why segments are only offered to a backend that does.
        let blank = checksum::leave_blank(packet);
        assert!(blank, "only TCP is sent in segments");
        let count = length.div_ceil(PAGE_SIZE);
        for (index, page) in pages[..count].iter().enumerate() {
            let id = self.halves + first + index;
            let size = (length - index * PAGE_SIZE).min(PAGE_SIZE);
            let more = if index + 1 < count { TXF_MORE_DATA } else { 0 };
            let mut request =
                TxRequest { gref: page.reference(), offset: 0, flags: more, id: id as u16, size: size as u16 };
            self.in_flight[id] = size as u16;
            if index > 0 {
                self.ring.put(request);
                continue;
            }
            request.flags |= TXF_CSUM_BLANK | TXF_DATA_VALIDATED | TXF_EXTRA_INFO;
            request.size = length as u16;
            self.ring.put(request);
            put_segment_bytes(&mut self.ring, segment_bytes);
            self.extras += 1;
        }
        self.runs.in_flight[run] = count as u8;
        counters.sent += 1;
        result
    }
}

/// Puts the extra information that says the size of a segment.
fn put_segment_bytes(ring: &mut Ring, segment_bytes: u16) {
    ring.put_as(ExtraInfo {
        kind: EXTRA_TYPE_GSO,
        flags: 0,
        gso_size: segment_bytes,
        gso_kind: GSO_TYPE_TCPV4,
        gso_pad: 0,
        gso_features: 0,
    });
}
