//! The network card: frontend of `xen/include/public/io/netif.h`. TX and RX are named from the frontend.
//!
//! [`netfront`] makes two halves of one card. [`Device`] is what the network stack drives. [`Driver`], whose `run` is a
//! future, shakes hands with the backend through xenstore, and does so again whenever the card is detached and
//! attached, or the backend goes away and comes back.
//!
//! The backend is trusted with nothing: what it writes is copied out once and judged then (`ring.rs`, `rx.rs`,
//! `tx.rs`). A frame that makes no sense is counted and dropped; a backend that breaks the protocol loses the
//! connection, and gets a new one when it starts anew. Read `xenbus.rs` for the handshake.

use alloc::boxed::Box;
use core::cell::RefCell;
use core::num::NonZeroU16;
use core::task::Waker;

use kernel::net::device::{NetworkDevice, ReceivedFrame};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

pub mod checksum;
mod counters;
mod frontend;
mod pacing;
mod rx;
mod settings;
mod tx;

pub use counters::{CounterReader, Counters, Dropped};
pub use frontend::Vif;
pub use kernel::net::CardChoice as Choice;
pub use pacing::Pacing;

use crate::event_channel::{EventChannel, Events};
use crate::grant_table::GrantTable;
use crate::hypervisor::Hypervisor;
use crate::memory::PAGE_SIZE;
use crate::ring::{Broken, Check};
use crate::xenbus::frontend::Frontend;
use crate::xenstore::Client;
use rx::Receiver;
use tx::{Load, Transmitter};

const ETHERNET_HEADER: usize = 14;
/// Bytes of the private buffer into which a frame is copied: the largest Internet packet with an Ethernet header and a
/// VLAN tag. Segments of one TCP stream arrive put together up to this size.
const FRAME_MAX: usize = 0xffff + ETHERNET_HEADER + 4;
/// Receive slots that one turn of the stack looks at, so that a flood starves nobody.
const BUDGET: u32 = 64;

/// How many frames can be under way in each direction; each at most 256. A receive buffer takes a page, a transmit
/// buffer half of one, segments in one piece 16 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffers {
    /// Frames that the backend can deliver without waiting for us.
    pub receive: u16,
    /// Frames that we can send without waiting for the backend.
    pub transmit: u16,
    /// Packets with segments of a TCP stream in one piece that we can send without waiting for the backend; fewer where
    /// memory or the grant table has no more room.
    pub segments: u16,
}

impl Buffers {
    /// What fits a domain with this much memory: an eighth of it at most, and no more than may be under way.
    #[must_use]
    pub fn for_memory(total_bytes: usize, pacing: &Pacing) -> Self {
        let limits = tx::limits(pacing);
        let receive = (total_bytes >> 16).clamp(32, rx::SLOTS);
        let transmit = receive.clamp(64, limits.frames.into());
        let left = (total_bytes / PAGE_SIZE / 8).saturating_sub(receive + transmit.div_ceil(tx::FRAMES_PER_PAGE));
        let segments = if tx::OFFLOAD { (left / tx::RUN_PAGES).min(limits.segments.into()) } else { 0 };
        Self { receive: receive as u16, transmit: transmit as u16, segments: segments as u16 }
    }
}

/// The half of the card that follows its backend.
pub type Driver<H> = Frontend<Vif<H>>;

/// How a card is to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// How many frames can be under way.
    pub buffers: Buffers,
    /// How much the backend is hurried.
    pub pacing: Pacing,
    /// Which card it is, where there are several.
    pub choice: Choice,
}

/// Makes the two halves of a card. The link stays down until [`Frontend::run`] has found a backend.
pub fn netfront<H: Hypervisor>(
    events: Events<H>,
    grants: GrantTable<H>,
    client: Client<H>,
    setup: Setup,
) -> (Device<H>, Driver<H>) {
    let Setup { buffers, pacing, choice } = setup;
    let card: &RefCell<_> = Box::leak(Box::new(RefCell::new(Card {
        queues: None,
        up: false,
        broken: false,
        address: EthernetAddress([0; 6]),
        mtu: 1500,
        burst: usize::from(buffers.receive).min(rx::SLOTS),
        pacing,
        counters: Counters::default(),
        stack: None,
        driver: None,
    })));
    let frame = alloc::vec![0; FRAME_MAX].into_boxed_slice();
    let device = Device { card, frame, budget: BUDGET };
    (device, Frontend::new(Vif { card, buffers, choice }, events, grants, client))
}

/// What the two halves share.
#[derive(Debug)]
struct Card<H: Hypervisor> {
    /// What is shared with the backend, while it is.
    queues: Option<Queues<H>>,
    /// Data may flow.
    up: bool,
    /// The backend broke the protocol.
    broken: bool,
    address: EthernetAddress,
    mtu: usize,
    /// Frames that find room when they come all at once.
    burst: usize,
    pacing: Pacing,
    counters: Counters,
    /// Waits for frames and for room.
    stack: Option<Waker>,
    /// Waits for the connection to break.
    driver: Option<Waker>,
}

/// The rings and their events.
#[derive(Debug)]
struct Queues<H: Hypervisor> {
    rx: Receiver,
    tx: Transmitter,
    /// For both directions, unless the backend takes one each.
    channel: EventChannel<H>,
    tx_channel: Option<EventChannel<H>>,
}

impl<H: Hypervisor> Queues<H> {
    fn tx_channel(&self) -> &EventChannel<H> {
        self.tx_channel.as_ref().unwrap_or(&self.channel)
    }

    /// Publishes what was sent and posts receive buffers, with one event for each channel at most.
    fn publish(&mut self) {
        let sent = self.tx.push();
        let posted = self.rx.refill();
        match &self.tx_channel {
            Some(tx_channel) => {
                tx_channel.deliver(sent);
                self.channel.deliver(posted);
            }
            None => self.channel.deliver(sent.or(posted)),
        }
    }

    /// Makes room to send anything, and says whether there is. Who has waited for room may let others run first.
    fn make_room(&mut self, pacing: &mut Pacing, counters: &mut Counters) -> Result<bool, Broken> {
        let room = self.tx.make_room(Load::Most, counters)?;
        for _ in 0..pacing.before_sending(room) {
            self.tx_channel().yield_cpu();
        }
        Ok(room)
    }

    /// Counts events that came without work.
    fn count_events(&mut self, counters: &mut Counters) {
        let (received, answered) = (core::mem::take(&mut self.rx.consumed), core::mem::take(&mut self.tx.consumed));
        let (idle, tx_idle) = match &self.tx_channel {
            Some(tx_channel) => (self.channel.take() && received == 0, tx_channel.take() && answered == 0),
            None => (self.channel.take() && received == 0 && answered == 0, false),
        };
        counters.spurious_events += u64::from(idle) + u64::from(tx_idle);
    }

    /// Arranges the wake-up that the stack waits for; true when there is work already.
    fn sleep(&mut self, waker: &Waker, counters: &mut Counters) -> Result<bool, Broken> {
        if let Some(load) = self.tx.starved {
            // Room that came back meanwhile would not be announced again.
            if self.tx.make_room(load, counters)? {
                return Ok(true);
            }
            let Check::Idle(proof) = self.tx.final_check()? else { return Ok(true) };
            self.tx_channel().sleep(waker, proof);
            // Without room to answer, frames stay in the ring: only room is waited for.
            if load == Load::Frame {
                return Ok(false);
            }
        }
        let Check::Idle(proof) = self.rx.final_check()? else { return Ok(true) };
        self.channel.sleep(waker, proof);
        Ok(false)
    }
}

impl<H: Hypervisor> Card<H> {
    /// Stops using the connection, and has the driver make a new one.
    fn fail(&mut self) {
        self.broken = true;
        self.counters.broken += 1;
        self.set_link(false);
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Lets data flow, or stops it, and tells the stack.
    fn set_link(&mut self, up: bool) {
        self.up = up;
        if let Some(stack) = self.stack.take() {
            stack.wake();
        }
    }

    /// Runs `work` on the queues while the link is up. A broken protocol takes the link down.
    fn with_queues<R>(
        &mut self,
        work: impl FnOnce(&mut Queues<H>, &mut Pacing, &mut Counters) -> Result<R, Broken>,
    ) -> Option<R> {
        let queues = self.queues.as_mut().filter(|_| self.up)?;
        match work(queues, &mut self.pacing, &mut self.counters) {
            Ok(value) => Some(value),
            Err(Broken) => {
                self.fail();
                None
            }
        }
    }
}

/// The half of the card that the network stack drives.
#[derive(Debug)]
pub struct Device<H: Hypervisor> {
    card: &'static RefCell<Card<H>>,
    /// The frame that was received last.
    frame: Box<[u8]>,
    /// Receive slots left in this turn.
    budget: u32,
}

impl<H: Hypervisor> Device<H> {
    /// What the card has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.card.borrow().counters
    }
}

/// A frame that was received.
#[derive(Debug)]
pub struct RxToken<'a>(&'a mut [u8]);

impl ReceivedFrame for RxToken<'_> {
    fn bytes(&mut self) -> &mut [u8] {
        self.0
    }
}

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room to send one frame, or segments of a TCP stream.
#[derive(Debug)]
pub struct TxToken<'a, H: Hypervisor> {
    card: &'a RefCell<Card<H>>,
    /// What is sent shall be cut into segments of this size.
    segment_bytes: Option<NonZeroU16>,
}

impl<'a, H: Hypervisor> TxToken<'a, H> {
    fn new(card: &'a RefCell<Card<H>>) -> Self {
        Self { card, segment_bytes: None }
    }
}

impl<H: Hypervisor> phy::TxToken for TxToken<'_, H> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Card { queues, counters, .. } = &mut *self.card.borrow_mut();
        // The stack cannot hold a token while the driver runs, which alone takes the queues away.
        let Some(queues) = queues else { panic!("a frame is sent only over a connection") };
        queues.tx.send(length, self.segment_bytes, counters, write)
    }

    #[cfg(feature = "segmentation-offload")]
    fn set_meta(&mut self, meta: phy::PacketMeta) {
        self.segment_bytes = meta.segmentation_offload_size;
    }
}

impl<H: Hypervisor> phy::Device for Device<H> {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a, H>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(RxToken<'_>, TxToken<'_, H>)> {
        let Self { card, frame, budget } = self;
        let length = card.borrow_mut().with_queues(|queues, pacing, counters| {
            for _ in 0..pacing.before_receiving() {
                queues.channel.yield_cpu();
            }
            // A frame may be answered at once, so it stays in the ring until there is room for the answer.
            if !queues.tx.make_room(Load::Frame, counters)? {
                return Ok(None);
            }
            let length = queues.rx.receive(&mut frame[..], budget, counters)?;
            pacing.received(length.unwrap_or(0));
            Ok(length)
        })??;
        Some((RxToken(frame.get_mut(..length)?), TxToken::new(card)))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<TxToken<'_, H>> {
        let room = self.card.borrow_mut().with_queues(Queues::make_room);
        room.filter(|room| *room).map(|_| TxToken::new(self.card))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        let card = self.card.borrow();
        capabilities.max_transmission_unit = card.mtu + ETHERNET_HEADER;
        capabilities.max_burst_size = Some(card.burst);
        // The card fills in and verifies these itself, where the packet's flags ask for it.
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::None;
        #[cfg(feature = "segmentation-offload")]
        if card.queues.as_ref().is_some_and(|queues| queues.tx.takes_segments()) {
            capabilities.segmentation.tcpv4 = tx::largest_segments(card.mtu);
        }
        capabilities
    }
}

impl<H: Hypervisor> NetworkDevice for Device<H> {
    fn hardware_address(&self) -> EthernetAddress {
        self.card.borrow().address
    }

    fn register_waker(&mut self, waker: &Waker) {
        match &mut self.card.borrow_mut().stack {
            Some(present) => present.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }

    fn flush(&mut self) {
        self.budget = BUDGET;
        let mut card = self.card.borrow_mut();
        let Some(waker) = card.stack.clone() else { return };
        let more = card.with_queues(|queues, _, counters| {
            queues.tx.reclaim(counters)?;
            queues.publish();
            queues.count_events(counters);
            queues.sleep(&waker, counters)
        });
        card.pacing.end_turn(more == Some(false));
        if more == Some(true) {
            waker.wake();
        }
    }

    fn link_up(&self) -> bool {
        self.card.borrow().up
    }
}
