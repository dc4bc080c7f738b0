//! A machine with a network card, and a stand-in for the stack that drives it.

#[cfg(feature = "segmentation-offload")]
use core::num::NonZeroU16;
use std::sync::Arc;
use std::task::Waker;

use kernel::net::device::NetworkDevice;
#[cfg(feature = "segmentation-offload")]
use smoltcp::phy::PacketMeta;
use smoltcp::phy::{Device as _, RxToken, TxToken};
use smoltcp::time::Instant;
use xen_pv::netfront::{Buffers, Choice, Counters, Device, Pacing, Setup, checksum};
use xen_sys::types::Domid;

use crate::frames::udp_frame;
use crate::netback::Rings;
use crate::tasks::CountingWaker;
use crate::{FakeXen, Machine, Netback};

/// A machine with a card, and the stack's half of it.
#[derive(Debug)]
pub struct Bed {
    /// The machine.
    pub machine: Machine,
    /// The half of the card that the stack drives.
    pub device: Device<FakeXen>,
    /// How often the stack was woken.
    pub wakes: Arc<CountingWaker>,
    waker: Waker,
}

/// Few enough that tests come to their ends.
pub const BUFFERS: Buffers = Buffers { receive: 20, transmit: 8, segments: 0 };

impl Bed {
    /// A card that is connected to a backend in domain 0.
    #[must_use]
    pub fn connected() -> Self {
        Self::with(BUFFERS, |_| {})
    }

    /// A card that is connected to a backend which was changed before it started.
    pub fn with(buffers: Buffers, change: impl FnOnce(&mut Netback)) -> Self {
        let mut bed = Self::unattached(buffers);
        let mut netback = Netback::new(&bed.machine.xen, Domid(0));
        change(&mut netback);
        bed.machine.attach(netback);
        bed.machine.settle();
        bed
    }

    /// A guest that waits for a card.
    #[must_use]
    pub fn unattached(buffers: Buffers) -> Self {
        Self::with_setup(Setup { buffers, pacing: Pacing::shared_cpu(), choice: Choice::First })
    }

    /// As [`unattached`](Self::unattached), with all that can be said of the card.
    #[must_use]
    pub fn with_setup(setup: Setup) -> Self {
        let mut machine = Machine::new();
        let device = machine.start_card(setup);
        machine.settle();
        let (wakes, waker) = CountingWaker::new();
        Self { machine, device, wakes, waker }
    }

    /// The backend.
    ///
    /// # Panics
    /// When no card is attached.
    pub fn netback(&mut self) -> &mut Netback {
        self.machine.netback.as_mut().unwrap_or_else(|| panic!("no card is attached"))
    }

    /// The backend dies and another takes its place; returns what the dead one had mapped.
    ///
    /// # Panics
    /// When no card is attached.
    pub fn replace_backend(&mut self) -> Option<Rings> {
        let Machine { netback, store, .. } = &mut self.machine;
        netback.as_mut().unwrap_or_else(|| panic!("no card is attached")).replace(store)
    }

    /// One turn of the stack: takes up to `limit` frames.
    pub fn turn(&mut self, limit: usize) -> Vec<Vec<u8>> {
        self.device.register_waker(&self.waker);
        let mut frames = Vec::new();
        while frames.len() < limit {
            let Some((rx, _tx)) = self.device.receive(Instant::ZERO) else { break };
            frames.push(rx.consume(<[u8]>::to_vec));
        }
        self.device.flush();
        frames
    }

    /// Takes every frame that comes until all is quiet.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for _ in 0..1000 {
            self.machine.settle();
            let more = self.turn(usize::MAX);
            let quiet = more.is_empty() && self.wakes.take() == 0;
            frames.extend(more);
            if quiet {
                return frames;
            }
        }
        panic!("the stack is woken for ever");
    }

    /// Sends a frame if there is room, without a flush.
    pub fn try_send(&mut self, frame: &[u8]) -> bool {
        let Some(token) = self.device.transmit(Instant::ZERO) else { return false };
        token.consume(frame.len(), |place| place.copy_from_slice(frame));
        true
    }

    /// Sends a packet to be cut into segments of this size, if there is room, without a flush.
    #[cfg(feature = "segmentation-offload")]
    pub fn try_send_segments(&mut self, packet: &[u8], segment_bytes: u16) -> bool {
        let Some(mut token) = self.device.transmit(Instant::ZERO) else { return false };
        let mut meta = PacketMeta::default();
        meta.segmentation_offload_size = NonZeroU16::new(segment_bytes);
        token.set_meta(meta);
        token.consume(packet.len(), |place| place.copy_from_slice(packet));
        true
    }

    /// One turn of the stack that sends a frame.
    ///
    /// # Panics
    /// When there is no room.
    pub fn send(&mut self, frame: &[u8]) {
        self.device.register_waker(&self.waker);
        assert!(self.try_send(frame), "there is no room");
        self.device.flush();
        self.machine.settle();
    }

    /// What the card has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.device.counters()
    }

    /// Whether data may flow.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.device.link_up()
    }

    /// Frames still pass in both directions.
    ///
    /// # Panics
    /// When they do not.
    pub fn assert_works(&mut self) {
        assert!(self.is_up(), "the link is down");
        let frame = udp_frame(b"still works", true);
        self.receive();
        self.netback().to_deliver.push_back((frame.clone(), 0));
        assert_eq!(self.receive(), std::slice::from_ref(&frame));
        let before = self.netback().sent.len();
        self.send(&frame);
        let netback = self.netback();
        assert_eq!(netback.sent.len(), before + 1);
        let mut sent = netback.sent[before].bytes.clone();
        checksum::fill(&mut sent);
        assert_eq!(sent, frame);
    }
}
