//! A card whose cable ends in the input.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use kernel::net::{NetworkDevice, ReceivedFrame};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

use super::peer::OWN_MAC;

pub(crate) const FRAME_MAX: usize = 1514;
/// Frames that the card takes at once.
const ROOM: usize = 64;

/// What is on the cable.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pub(crate) incoming: VecDeque<Vec<u8>>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) up: bool,
    /// Frames sent since the last flush.
    unflushed: usize,
    /// Whom to wake when a frame has come.
    waker: Option<Waker>,
}

/// The cable.
#[derive(Debug, Clone)]
pub(crate) struct Cable(Rc<RefCell<Frames>>);

impl Default for Cable {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Frames { up: true, ..Frames::default() })))
    }
}

impl Cable {
    pub(crate) fn borrow(&self) -> std::cell::Ref<'_, Frames> {
        self.0.borrow()
    }

    pub(crate) fn borrow_mut(&self) -> RefMut<'_, Frames> {
        self.0.borrow_mut()
    }

    /// Puts a frame onto the cable.
    pub(crate) fn deliver(&self, mut frame: Vec<u8>) {
        frame.truncate(FRAME_MAX);
        let mut frames = self.borrow_mut();
        frames.incoming.push_back(frame);
        frames.waker.iter().for_each(Waker::wake_by_ref);
    }

    /// Answers the frame that was sent last, where that is possible.
    pub(crate) fn reply(&self, answer: impl FnOnce(&[u8]) -> Option<Vec<u8>>) {
        let reply = self.borrow().sent.last().and_then(|sent| answer(sent));
        if let Some(frame) = reply {
            self.deliver(frame);
        }
    }
}

/// The card.
#[derive(Debug)]
pub(crate) struct Card(Cable);

impl Card {
    pub(crate) fn new(cable: &Cable) -> Self {
        Self(cable.clone())
    }
}

#[derive(Debug)]
pub(crate) struct Received(Vec<u8>);

impl ReceivedFrame for Received {
    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

#[derive(Debug)]
pub(crate) struct Room<'a>(&'a Cable);

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        assert!((1..=FRAME_MAX).contains(&length), "a frame of {length} bytes");
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        let mut cable = self.0.borrow_mut();
        cable.unflushed += 1;
        cable.sent.push(frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Room<'_>)> {
        let mut cable = self.0.borrow_mut();
        let frame = if cable.unflushed < ROOM { cable.incoming.pop_front() } else { None };
        drop(cable);
        Some((Received(frame?), Room(&self.0)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        let ready = self.0.borrow().up && self.0.borrow().unflushed < ROOM;
        ready.then_some(Room(&self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_MAX;
        // No sums are checked, so that what lies behind them is reached.
        for checksum in [
            &mut capabilities.checksum.ipv4,
            &mut capabilities.checksum.icmpv4,
            &mut capabilities.checksum.tcp,
            &mut capabilities.checksum.udp,
        ] {
            *checksum = Checksum::None;
        }
        capabilities
    }
}

impl NetworkDevice for Card {
    fn hardware_address(&self) -> EthernetAddress {
        EthernetAddress(OWN_MAC)
    }

    fn register_waker(&mut self, waker: &Waker) {
        self.0.borrow_mut().waker = Some(waker.clone());
    }

    fn flush(&mut self) {
        let mut frames = self.0.borrow_mut();
        frames.unflushed = 0;
        if !frames.incoming.is_empty() {
            frames.waker.iter().for_each(Waker::wake_by_ref);
        }
    }

    fn link_up(&self) -> bool {
        self.0.borrow().up
    }
}
