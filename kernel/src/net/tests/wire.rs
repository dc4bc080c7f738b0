//! A wire between two devices, and a bare end of it for tests that write frames themselves.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::Waker;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

use crate::net::{NetworkDevice, ReceivedFrame};

/// Frames that a device accepts before it has to be flushed.
pub const TRANSMIT_SLOTS: usize = 32;

/// Decides whether a frame, sent from the side with this number, arrives.
pub type Delivers = Box<dyn FnMut(usize, &[u8]) -> bool>;

pub struct Wire {
    /// What each side has yet to receive.
    queues: [VecDeque<Vec<u8>>; 2],
    wakers: [Option<Waker>; 2],
    pub up: bool,
    pub mtu: usize,
    pub delivers: Delivers,
}

/// The wire, shared by its ends.
#[derive(Clone)]
pub struct Shared(Rc<RefCell<Wire>>);

impl Shared {
    pub fn new() -> Self {
        Self(Rc::new(RefCell::new(Wire {
            queues: Default::default(),
            wakers: Default::default(),
            up: true,
            mtu: 1514,
            delivers: Box::new(|_, _| true),
        })))
    }

    pub fn set<R>(&self, change: impl FnOnce(&mut Wire) -> R) -> R {
        let mut wire = self.0.borrow_mut();
        let result = change(&mut wire);
        wire.wakers.iter().flatten().for_each(Waker::wake_by_ref);
        result
    }

    /// Sends a frame from a side.
    pub fn send(&self, side: usize, frame: Vec<u8>) {
        let mut wire = self.0.borrow_mut();
        if wire.up && (wire.delivers)(side, &frame) {
            wire.queues[1 - side].push_back(frame);
            wire.wakers[1 - side].iter().for_each(Waker::wake_by_ref);
        }
    }

    /// Takes the next frame that arrived at a side.
    pub fn receive(&self, side: usize) -> Option<Vec<u8>> {
        self.0.borrow_mut().queues[side].pop_front()
    }

    pub fn waiting(&self, side: usize) -> usize {
        self.0.borrow().queues[side].len()
    }

    pub fn end(&self, side: usize) -> End {
        End { wire: self.clone(), side, unflushed: Vec::new() }
    }
}

/// One end of the wire as a device. Frames leave when it is flushed, as on a ring.
pub struct End {
    wire: Shared,
    side: usize,
    unflushed: Vec<Vec<u8>>,
}

pub fn hardware_address(side: usize) -> EthernetAddress {
    EthernetAddress([0x02, 0, 0, 0, 0, 1 + side as u8])
}

impl NetworkDevice for End {
    fn hardware_address(&self) -> EthernetAddress {
        hardware_address(self.side)
    }

    fn register_waker(&mut self, waker: &Waker) {
        self.wire.0.borrow_mut().wakers[self.side] = Some(waker.clone());
    }

    fn flush(&mut self) {
        if self.unflushed.len() == TRANSMIT_SLOTS || self.wire.waiting(self.side) > 0 {
            // There is room again, or something has arrived meanwhile.
            self.wire.0.borrow().wakers[self.side].iter().for_each(Waker::wake_by_ref);
        }
        for frame in self.unflushed.drain(..) {
            self.wire.send(self.side, frame);
        }
    }

    fn link_up(&self) -> bool {
        self.wire.0.borrow().up
    }
}

impl Device for End {
    type RxToken<'a> = Received;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Transmit<'_>)> {
        let has_room = self.unflushed.len() < TRANSMIT_SLOTS;
        let frame = has_room.then(|| self.wire.receive(self.side)).flatten()?;
        Some((Received(frame), Transmit(&mut self.unflushed)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        let has_room = self.unflushed.len() < TRANSMIT_SLOTS;
        (has_room && self.link_up()).then_some(Transmit(&mut self.unflushed))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.wire.0.borrow().mtu;
        capabilities.max_burst_size = Some(TRANSMIT_SLOTS);
        capabilities
    }
}

pub struct Received(Vec<u8>);

impl ReceivedFrame for Received {
    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

pub struct Transmit<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}
