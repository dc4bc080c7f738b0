//! Segments of a TCP stream that leave in one piece: segmentation offload (`xen/include/public/io/netif.h`,
//! `XEN_NETIF_EXTRA_TYPE_GSO`).
//!
//! The stack writes one packet with all the data under one set of headers. It leaves as a chain: the first slot says the
//! size of the whole and that extra information follows, which says the size of a segment; the slots behind it hold the
//! rest. The backend's network cuts the packet where a wire begins, or never when it stays on the machine.
//!
//! The packet is put together in private memory and copied into whole pages, any that are free: so nothing in the pool has
//! to be contiguous, for the price of one copy.

use xen_sys::io::netif::{
    EXTRA_TYPE_GSO, ExtraInfo, GSO_TYPE_TCPV4, MAX_TX_SIZE, TXF_CSUM_BLANK, TXF_DATA_VALIDATED, TXF_EXTRA_INFO,
    TXF_MORE_DATA, TxRequest,
};

use super::{FRAMES_PER_PAGE, Transmitter};
use crate::memory::PAGE_SIZE;
use crate::netfront::checksum;
use crate::netfront::counters::Counters;

/// The largest packet in bytes, with its Ethernet header.
pub(in crate::netfront) const TOTAL_MAX: usize = MAX_TX_SIZE;

/// Pages that the largest packet takes: with the slot of extra information less than the 18 slots that every backend
/// accepts.
pub(in crate::netfront) const PAGES: usize = TOTAL_MAX.div_ceil(PAGE_SIZE);

impl Transmitter {
    /// Whether the largest packet finds room.
    pub(super) fn has_room_for_segments(&self) -> bool {
        self.free_pages.len() >= PAGES && self.ring.room() as usize > PAGES
    }

    /// Queues what was put together, to be cut into segments with `segment_bytes` of data each.
    pub(super) fn send_segments(&mut self, length: usize, segment_bytes: u16, counters: &mut Counters) {
        // Segments have to be told apart by their checksums, so the field must be left for the backend to fill in, which
        // is why segments are only offered to a backend that does.
        let blank = checksum::leave_blank(&mut self.staging[..length]);
        assert!(blank, "only TCP is sent in segments");
        let staging = core::mem::take(&mut self.staging);
        for (index, part) in staging[..length].chunks(PAGE_SIZE).enumerate() {
            let Some(id) = self.free_pages.pop() else { panic!("segments are sent only where there is room") };
            let page = &mut self.pages[self.halves / FRAMES_PER_PAGE + usize::from(id) - self.halves];
            page.bytes_mut()[..part.len()].copy_from_slice(part);
            let more = if (index + 1) * PAGE_SIZE < length { TXF_MORE_DATA } else { 0 };
            let mut request = TxRequest { gref: page.reference(), offset: 0, flags: more, id, size: part.len() as u16 };
            if index > 0 {
                self.put(request);
                continue;
            }
            request.flags |= TXF_CSUM_BLANK | TXF_DATA_VALIDATED | TXF_EXTRA_INFO;
            request.size = length as u16;
            self.put(request);
            self.ring.put_as(ExtraInfo {
                kind: EXTRA_TYPE_GSO,
                flags: 0,
                gso_size: segment_bytes,
                gso_kind: GSO_TYPE_TCPV4,
                gso_pad: 0,
                gso_features: 0,
            });
            self.extras += 1;
        }
        self.staging = staging;
        counters.sent += 1;
    }
}
