//! The stack: a device, the protocols, and the loop that moves packets between them and the sockets.

use alloc::boxed::Box;
use core::cell::RefCell;
use core::future::{pending, poll_fn};
use core::net::Ipv4Addr;
use core::pin::pin;
use core::task::{Poll, Waker};

use embassy_time::Instant;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult};
use smoltcp::phy::TxToken;
use smoltcp::time::{Duration as WireDuration, Instant as WireInstant};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, HardwareAddress,
};

use super::device::{BATCH, NetworkDevice};
use super::parameters::Parameters;
use super::parts::deadline::sooner;
use super::parts::dhcp;
use super::stack::Stack;
use super::state::State;
use super::time_source::{MachineTime, TimeSource};
use crate::entropy::Generator;

/// A pause for when `smoltcp` wants to send at once and yet sends nothing. Usually the device has no room and will wake
/// us earlier.
const STALLED_PAUSE: WireDuration = WireDuration::from_millis(20);

/// The same while there is no link.
const LINK_DOWN_PAUSE: WireDuration = WireDuration::from_secs(1);

/// The address of an interface whose device has not said its own. It is never sent: there is no link yet.
const NO_ADDRESS_YET: EthernetAddress = EthernetAddress([0x02, 0, 0, 0, 0, 0]);

/// When the poll loop has something to do, unless its waker is woken earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PollAt {
    /// As soon as others had their turn: there is more to do.
    Now,
    /// At this time.
    Time(Instant),
    /// When something happens.
    Woken,
}

/// A TCP/IP stack on one device.
///
/// A platform makes one, gives tasks its [`Runner::stack`], and keeps [`Runner::run`] running beside them.
pub struct Runner<D> {
    device: RefCell<D>,
    state: &'static RefCell<State>,
    link: core::cell::Cell<bool>,
}

impl<D: NetworkDevice> Runner<D> {
    /// A stack that has done nothing yet. What its handles refer to is never freed.
    ///
    /// Port numbers, TCP sequence numbers and the identifiers of DNS and DHCP messages come from `seed`: take it from
    /// the platform's cryptographic generator.
    pub fn new(mut device: D, parameters: Parameters, seed: &[u8; 32]) -> Self {
        let random = Generator::new();
        random.absorb(seed);
        let interface = interface(&mut device, &random, WireInstant::ZERO);
        let state = Box::leak(Box::new(RefCell::new(State::new(interface, parameters, random))));
        Self { device: RefCell::new(device), state, link: core::cell::Cell::new(false) }
    }

    /// What the buffers of all sockets together should stay below, 1 MiB if not set. A new socket gets a fraction of
    /// what is left, so the first connections are fast ones and the hundredth still gets its few KiB.
    pub fn with_buffer_budget(self, bytes: usize) -> Self {
        self.state.borrow_mut().sockets.set_budget(bytes);
        self
    }

    /// The way to the stack for tasks.
    pub fn stack(&self) -> Stack {
        Stack(self.state)
    }

    /// The poll loop: moves packets for ever.
    ///
    /// It waits for the device, for a timer, or for a task that called a socket, does a bounded amount of work, and
    /// lets others run. They run as well between what was received and what is sent: so an answer goes out together
    /// with the acknowledgement of what it answers, and the window that is announced has what they took.
    pub async fn run(&self) -> ! {
        self.run_on(&MachineTime).await
    }

    /// The same on another clock than the machine's: for tests, which move theirs by hand.
    pub async fn run_on(&self, time: &impl TimeSource) -> ! {
        loop {
            let received = poll_fn(|context| Poll::Ready(self.poll_ingress(time.now(), context.waker()))).await;
            if received.any {
                let_others_run().await;
            }
            let mut due = pin!(async {
                match self.poll_egress(time.now(), received) {
                    PollAt::Now => {}
                    PollAt::Time(at) => time.wait_until(at).await,
                    PollAt::Woken => pending().await,
                }
            });
            // The second poll, whoever caused it, means that there is something to do.
            let mut waited = false;
            poll_fn(|context| {
                if core::mem::replace(&mut waited, true) {
                    return Poll::Ready(());
                }
                if due.as_mut().poll(context).is_ready() {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            })
            .await;
        }
    }

    /// The first half of a turn: brings what came to the sockets.
    fn poll_ingress(&self, now: Instant, waker: &Waker) -> Moved {
        let now = wire_time(now);
        let device = &mut *self.device.borrow_mut();
        let state = &mut *self.state.borrow_mut();
        state.register_poll_loop(waker);
        device.register_waker(waker);

        self.follow_link(device, state, now);
        state.deadlines.expire(now);
        state.backlogs.set_time(now);
        receive(device, state, now)
    }

    /// The second half: sends what there is to send.
    fn poll_egress(&self, now: Instant, received: Moved) -> PollAt {
        let now = wire_time(now);
        let device = &mut *self.device.borrow_mut();
        let state = &mut *self.state.borrow_mut();
        let mut progress = received.any | state.addressing.poll(&mut state.interface, &state.random, now);
        progress |= send_dhcp_message(device, state, now) | send_arp_requests(device, state, now);
        let sent = send(device, state, now);
        progress |= sent.any;
        let State { outboxes, sockets, addressing, .. } = state;
        if outboxes.poll(sockets, addressing, now) {
            progress = true;
            send_arp_requests(device, state, now);
        }
        progress |= state.closing.poll(&mut state.sockets, now);
        device.flush();

        // The link may have changed while other tasks ran, and the wake-up for that is over.
        if received.more || sent.more || device.link_up() != self.link.get() {
            return PollAt::Now;
        }
        self.next(state, now, progress)
    }

    /// When the next turn is due.
    fn next(&self, state: &mut State, now: WireInstant, progress: bool) -> PollAt {
        let protocols = state.interface.poll_at(now, &state.sockets.set);
        let own = sooner(state.addressing.next_deadline(), state.deadlines.next());
        let sockets = sooner(state.closing.next_deadline(), state.outboxes.next_deadline());
        match sooner(protocols, sooner(own, sockets)) {
            None => PollAt::Woken,
            Some(time) if time > now => PollAt::Time(time_of(time)),
            Some(_) if progress => PollAt::Now,
            Some(_) => PollAt::Time(time_of(now + if self.link.get() { STALLED_PAUSE } else { LINK_DOWN_PAUSE })),
        }
    }

    /// Notices when the link comes and goes.
    fn follow_link(&self, device: &mut D, state: &mut State, now: WireInstant) {
        let up = device.link_up();
        if self.link.replace(up) == up {
            return;
        }
        if !up {
            state.addressing.notices.say(now, format_args!("link down"));
            return;
        }
        // smoltcp reads a device's abilities only when it makes an interface, and a new backend may have others.
        state.interface = interface(device, &state.random, now);
        state.set_capabilities(&device.capabilities());
        state.addressing.link_up(&mut state.interface, now);
    }
}

/// An interface without an address on the device.
fn interface<D: NetworkDevice>(device: &mut D, random: &Generator, now: WireInstant) -> Interface {
    let address = Some(device.hardware_address()).filter(EthernetAddress::is_unicast).unwrap_or(NO_ADDRESS_YET);
    let mut config = Config::new(HardwareAddress::Ethernet(address));
    config.random_seed = random.next_u64();
    Interface::new(config, device, now)
}

/// Whether there was anything, and whether there may be more.
#[derive(Debug, Clone, Copy)]
struct Moved {
    any: bool,
    more: bool,
}

/// Takes a batch of frames from the device.
fn receive<D: NetworkDevice>(device: &mut D, state: &mut State, now: WireInstant) -> Moved {
    for count in 0..BATCH {
        // Between any two frames a listener whose socket was taken gets another.
        state.refresh_backlogs();
        let (interface, sockets, mut boundary) = state.with_device(device);
        if interface.poll_ingress_single(now, &mut boundary, sockets) == PollIngressSingleResult::None {
            return Moved { any: count > 0, more: false };
        }
    }
    // A second connection with the addresses and ports of another must be gone before it could answer.
    state.refresh_backlogs();
    Moved { any: true, more: true }
}

/// Sends what the sockets have to send.
fn send<D: NetworkDevice>(device: &mut D, state: &mut State, now: WireInstant) -> Moved {
    for count in 0..BATCH {
        let (interface, sockets, mut boundary) = state.with_device(device);
        if interface.poll_egress(now, &mut boundary, sockets) == PollResult::None {
            return Moved { any: count > 0, more: false };
        }
    }
    state.refresh_backlogs();
    Moved { any: true, more: true }
}

/// Waits until every task that is ready now has had its turn: two rounds of the executor, because in the first one it
/// may come after us.
async fn let_others_run() {
    let mut rounds = 2;
    poll_fn(|context| {
        if rounds == 0 {
            return Poll::Ready(());
        }
        rounds -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Sends the message of the DHCP client that is due, if any.
fn send_dhcp_message<D: NetworkDevice>(device: &mut D, state: &mut State, now: WireInstant) -> bool {
    let State { addressing, interface, random, .. } = state;
    let Some(client) = addressing.dhcp.as_mut().filter(|client| client.is_due(now)) else { return false };
    let HardwareAddress::Ethernet(hardware_address) = interface.hardware_addr();
    let Some(token) = device.transmit(now) else { return false };
    token.consume(dhcp::FRAME_BYTES, |frame| client.write(frame, hardware_address, random, now));
    true
}

/// Sends the ARP requests that are due: an announcement of our address, and questions for neighbours. Says whether
/// there were any.
fn send_arp_requests<D: NetworkDevice>(device: &mut D, state: &mut State, now: WireInstant) -> bool {
    let mut sent = false;
    while let Some((own, asked)) = state.addressing.next_arp_request(now) {
        let HardwareAddress::Ethernet(hardware_address) = state.interface.hardware_addr();
        let Some(token) = device.transmit(now) else { break };
        let request = arp_request(hardware_address, own, asked);
        let ethernet = EthernetRepr {
            src_addr: hardware_address,
            dst_addr: EthernetAddress::BROADCAST,
            ethertype: EthernetProtocol::Arp,
        };
        token.consume(ethernet.buffer_len() + request.buffer_len(), |frame| {
            let mut frame = EthernetFrame::new_unchecked(frame);
            ethernet.emit(&mut frame);
            request.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        });
        state.addressing.arp_request_sent(asked, now);
        sent = true;
    }
    sent
}

fn arp_request(hardware_address: EthernetAddress, own: Ipv4Addr, asked: Ipv4Addr) -> ArpRepr {
    ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: hardware_address,
        source_protocol_addr: own,
        target_hardware_addr: EthernetAddress::BROADCAST,
        target_protocol_addr: asked,
    }
}

fn wire_time(time: Instant) -> WireInstant {
    WireInstant::from_micros(time.as_micros() as i64)
}

fn time_of(time: WireInstant) -> Instant {
    Instant::from_micros(time.total_micros() as u64)
}
