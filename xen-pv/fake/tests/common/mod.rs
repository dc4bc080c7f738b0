//! What the tests of the network card share: a machine with a connected card, a stand-in for the stack, and frames.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::task::Waker;

use kernel::net::device::NetworkDevice;
use smoltcp::phy::{Device as _, RxToken, TxToken};
use smoltcp::time::Instant;
use xen_fake::netback::Rings;
use xen_fake::tasks::CountingWaker;
use xen_fake::{FakeXen, Machine, Netback};
use xen_pv::netfront::{Buffers, Counters, Device, checksum};
use xen_sys::types::Domid;

/// A machine with a card, and the stack's half of it.
pub struct Bed {
    pub machine: Machine,
    pub device: Device<FakeXen>,
    pub wakes: Arc<CountingWaker>,
    waker: Waker,
}

pub const BUFFERS: Buffers = Buffers { receive: 16, transmit: 8 };

impl Bed {
    /// A card that is connected to a backend in domain 0.
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
    pub fn unattached(buffers: Buffers) -> Self {
        let mut machine = Machine::new();
        let device = machine.start_netfront(buffers);
        machine.settle();
        let (wakes, waker) = CountingWaker::new();
        Self { machine, device, wakes, waker }
    }

    pub fn netback(&mut self) -> &mut Netback {
        self.machine.netback.as_mut().expect("a card is attached")
    }

    /// The backend dies and another takes its place; returns what the dead one had mapped.
    pub fn replace_backend(&mut self) -> Option<Rings> {
        let Machine { netback, store, .. } = &mut self.machine;
        netback.as_mut().expect("a card is attached").replace(store)
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

    /// One turn of the stack that sends a frame.
    pub fn send(&mut self, frame: &[u8]) {
        self.device.register_waker(&self.waker);
        assert!(self.try_send(frame), "there is no room");
        self.device.flush();
        self.machine.settle();
    }

    pub fn counters(&self) -> Counters {
        self.device.counters()
    }

    pub fn is_up(&self) -> bool {
        self.device.link_up()
    }

    /// Frames still pass in both directions.
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
        let mut sent = netback.sent.last().expect("a frame").bytes.clone();
        checksum::fill(&mut sent);
        assert_eq!(sent, frame);
    }
}

/// An Ethernet frame with an IPv4 packet of this protocol, without the transport's checksum.
pub fn ip_frame(protocol: u8, segment: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 34];
    frame[..6].copy_from_slice(&[0x00, 0x16, 0x3e, 1, 2, 3]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&[8, 0]);
    let total = u16::try_from(20 + segment.len()).expect("a short packet");
    frame[14..24].copy_from_slice(&[0x45, 0, (total >> 8) as u8, total as u8, 0, 1, 0x40, 0, 64, protocol]);
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    let header: u32 = frame[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (header >> 16) + (header & 0xffff);
    frame[24..26].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    frame.extend_from_slice(segment);
    frame
}

/// A UDP datagram in a frame, with a right checksum or a wrong one.
pub fn udp_frame(payload: &[u8], right: bool) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("a short datagram").to_be_bytes();
    let mut segment = vec![0x12, 0x34, 0, 7, length[0], length[1], 0, 0];
    segment.extend_from_slice(payload);
    let mut frame = ip_frame(17, &segment);
    checksum::fill(&mut frame);
    if !right {
        frame[40] ^= 0x55;
    }
    frame
}

/// A TCP segment in a frame, with a right checksum or a wrong one.
pub fn tcp_frame(payload: &[u8], right: bool) -> Vec<u8> {
    let mut segment = vec![0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x18, 0x10, 0, 0, 0, 0, 0];
    segment.extend_from_slice(payload);
    let mut frame = ip_frame(6, &segment);
    checksum::fill(&mut frame);
    if !right {
        frame[50] ^= 0x55;
    }
    frame
}

/// The same numbers at every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    pub fn below(&mut self, limit: u32) -> u32 {
        self.next() % limit
    }
}
