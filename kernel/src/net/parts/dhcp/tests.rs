//! The client against a server that is written by hand.

use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpProtocol, Ipv4Cidr, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::{Client, Event, FRAME_BYTES, Lease, NameServers};
use crate::entropy::Generator;

const US: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const THEM: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const LEASE_S: u32 = 800;

/// What the server's complete message gives.
const LEASE: Lease =
    Lease { address: Ipv4Cidr::new(ADDRESS, 24), gateway: Some(SERVER), name_servers: [Some(SERVER), None, None] };

/// What a test looks at of a message that the client sends.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    kind: DhcpMessageType,
    to: (EthernetAddress, Ipv4Addr),
    from: Ipv4Addr,
    own: Ipv4Addr,
    choice: Option<(Ipv4Addr, Ipv4Addr)>,
    transaction: u32,
}

struct Bed {
    client: Client,
    random: Generator,
    now: Instant,
}

impl Bed {
    fn new() -> Self {
        let mut client = Client::new();
        client.restart(Instant::ZERO);
        let random = Generator::new();
        random.absorb(b"dhcp");
        Self { client, random, now: Instant::ZERO }
    }

    /// Moves the clock to the client's next message, and says what happened on the way.
    fn next_with_event(&mut self) -> (Sent, Option<Event>) {
        let mut event = None;
        loop {
            event = self.event().or(event);
            if self.client.is_due(self.now) {
                break;
            }
            self.now = self.client.next_deadline().expect("a time");
        }
        // What was in the place before must not be sent.
        let mut frame = vec![0xaa; FRAME_BYTES];
        self.client.write(&mut frame, US, &self.random, self.now);
        (sent(&frame), event)
    }

    /// Moves the clock to the client's next message.
    fn next(&mut self) -> Sent {
        self.next_with_event().0
    }

    /// Moves the clock to the first message at this time or later.
    fn next_after(&mut self, time: Instant) -> Sent {
        loop {
            let sent = self.next();
            if self.now >= time {
                return sent;
            }
        }
    }

    fn event(&mut self) -> Option<Event> {
        self.client.poll(&self.random, self.now)
    }

    fn receive(&mut self, frame: &[u8]) -> bool {
        self.client.receive(frame, true, &self.random, self.now)
    }

    /// The server says what `change` makes of a complete message.
    fn say(&mut self, kind: DhcpMessageType, transaction: u32, change: impl FnOnce(&mut DhcpRepr<'_>)) {
        let mut message = message(kind, transaction);
        change(&mut message);
        assert!(self.receive(&frame(&message)), "not taken for a message");
    }

    fn answer(&mut self, kind: DhcpMessageType, transaction: u32) {
        self.say(kind, transaction, |_| {});
    }

    /// A client that has been offered an address and has asked for it, and that message.
    fn requesting() -> (Self, Sent) {
        let mut bed = Self::new();
        let discover = bed.next();
        bed.answer(DhcpMessageType::Offer, discover.transaction);
        let request = bed.next();
        (bed, request)
    }

    /// A client whose server has confirmed its address with what `change` makes of a complete message.
    fn bound_by(change: impl FnOnce(&mut DhcpRepr<'_>)) -> Self {
        let (mut bed, request) = Self::requesting();
        bed.say(DhcpMessageType::Ack, request.transaction, change);
        bed
    }

    /// A client with a lease that was taken notice of.
    fn bound() -> Self {
        let mut bed = Self::bound_by(|_| {});
        assert_eq!(bed.event(), Some(Event::Bound(LEASE)));
        bed
    }

    /// A client that asks its server to renew its lease, and that message.
    fn renewing() -> (Self, Sent) {
        let mut bed = Self::bound();
        let renewal = bed.next();
        (bed, renewal)
    }

    /// A client that asks everybody to renew its lease, and that message.
    fn rebinding() -> (Self, Sent) {
        let mut bed = Self::bound();
        let time = bed.now + Duration::from_secs((LEASE_S - LEASE_S / 8).into());
        let rebinding = bed.next_after(time);
        assert_eq!((rebinding.kind, rebinding.to), (DhcpMessageType::Request, EVERYBODY));
        (bed, rebinding)
    }

    /// Whether the client goes on as if nothing had been said.
    fn is_undisturbed(&mut self, expected: DhcpMessageType) -> bool {
        let (sent, event) = self.next_with_event();
        sent.kind == expected && event.is_none()
    }
}

fn sent(frame: &[u8]) -> Sent {
    let ethernet = EthernetFrame::new_checked(frame).expect("a frame");
    assert_eq!(ethernet.src_addr(), US);
    let ip = Ipv4Packet::new_checked(ethernet.payload()).expect("a packet");
    assert!(ip.verify_checksum());
    let udp = UdpPacket::new_checked(ip.payload()).expect("a datagram");
    assert_eq!((udp.src_port(), udp.dst_port(), udp.payload().len()), (68, 67, 300));
    let packet = DhcpPacket::new_checked(udp.payload()).expect("a message");
    let message = DhcpRepr::parse(&packet).expect("a message");
    assert_eq!((message.client_hardware_address, message.client_identifier), (US, Some(US)));
    assert_eq!(message.parameter_request_list, Some(&[1, 121, 3, 6][..]));
    Sent {
        kind: message.message_type,
        to: (ethernet.dst_addr(), ip.dst_addr()),
        from: ip.src_addr(),
        own: message.client_ip,
        choice: message.requested_ip.zip(message.server_identifier),
        transaction: message.transaction_id,
    }
}

/// A complete message of the server to us.
fn message(message_type: DhcpMessageType, transaction_id: u32) -> DhcpRepr<'static> {
    let given = message_type != DhcpMessageType::Nak;
    DhcpRepr {
        message_type,
        transaction_id,
        secs: 0,
        client_hardware_address: US,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: if given { ADDRESS } else { Ipv4Addr::UNSPECIFIED },
        server_ip: SERVER,
        router: Some(SERVER),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(SERVER),
        parameter_request_list: None,
        dns_servers: Some([Ipv4Addr::UNSPECIFIED, SERVER].into_iter().collect()),
        max_size: None,
        lease_duration: Some(LEASE_S),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    }
}

/// The options with these codes and seconds: `smoltcp` reads T1 and T2, and does not write them.
fn times<'o>(t1: &'o [u8; 4], t2: &'o [u8; 4]) -> [DhcpOption<'o>; 2] {
    [DhcpOption { kind: 58, data: t1 }, DhcpOption { kind: 59, data: t2 }]
}

/// A frame with a message from the server.
fn frame(message: &DhcpRepr<'_>) -> Vec<u8> {
    let udp = UdpRepr { src_port: 67, dst_port: 68 };
    let ip = Ipv4Repr {
        src_addr: SERVER,
        dst_addr: ADDRESS,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + message.buffer_len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr { src_addr: THEM, dst_addr: US, ethertype: EthernetProtocol::Ipv4 };
    let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + ip.payload_len];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &ChecksumCapabilities::default());
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let write = |bytes: &mut [u8]| message.emit(&mut DhcpPacket::new_unchecked(bytes)).expect("room");
    let checksums = ChecksumCapabilities::default();
    udp.emit(&mut datagram, &SERVER.into(), &ADDRESS.into(), message.buffer_len(), write, &checksums);
    bytes
}

const EVERYBODY: (EthernetAddress, Ipv4Addr) = (EthernetAddress::BROADCAST, Ipv4Addr::BROADCAST);
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// Servers that were not chosen, by what they say in each state.
const FROM_ANOTHER: fn(&mut DhcpRepr<'_>) = |message| message.server_identifier = Some(OTHER_SERVER);

#[test]
fn it_asks_everybody_and_wants_what_it_was_offered() {
    let mut bed = Bed::new();
    let discover = bed.next();
    let transaction = discover.transaction;
    let expected =
        Sent { kind: DhcpMessageType::Discover, to: EVERYBODY, from: NOBODY, own: NOBODY, choice: None, transaction };
    assert_eq!(discover, expected);
    bed.answer(DhcpMessageType::Offer, transaction);
    let choice = Some((ADDRESS, SERVER));
    assert_eq!(bed.next(), Sent { kind: DhcpMessageType::Request, choice, ..expected });
}

#[test]
fn transactions_cannot_be_told_from_earlier_ones() {
    let transactions = |seed: &[u8]| {
        let mut bed = Bed::new();
        bed.random.absorb(seed);
        let mut seen = vec![bed.next().transaction];
        for _ in 0..4 {
            bed.client.restart(bed.now);
            seen.push(bed.next().transaction);
        }
        seen
    };
    let mut all = [transactions(b"a"), transactions(b"b")].concat();
    all.sort();
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
}

#[test]
fn who_has_heard_one_exchange_cannot_answer_the_next() {
    let (mut bed, request) = Bed::requesting();
    bed.answer(DhcpMessageType::Ack, request.transaction);
    let renewal = bed.next();
    assert_ne!(renewal.transaction, request.transaction);
}

#[test]
fn pauses_are_short_again_when_a_link_comes_back() {
    let mut bed = Bed::new();
    bed.now = Instant::from_secs(1000);
    bed.client.restart(bed.now);
    let asked: Vec<_> =
        (0..4).map(|_| (bed.next().kind, (bed.now - Instant::from_secs(1000)).total_millis())).collect();
    assert_eq!(asked, [0, 250, 500, 1000].map(|at_ms| (DhcpMessageType::Discover, at_ms)));
}

#[test]
fn a_late_offer_counts_while_others_are_asked_for() {
    let mut bed = Bed::new();
    let first = bed.next();
    bed.next();
    bed.answer(DhcpMessageType::Offer, first.transaction);
    assert_eq!(bed.next().kind, DhcpMessageType::Request);
}

#[test]
fn its_server_is_asked_to_renew_and_later_everybody() {
    let mut bed = Bed::bound();
    let start = bed.now;
    let renew = bed.next();
    assert_eq!((renew.kind, renew.to, renew.from), (DhcpMessageType::Request, (THEM, SERVER), ADDRESS));
    assert_eq!((renew.own, renew.choice, bed.now - start), (ADDRESS, None, Duration::from_secs(400)));
    // Half of what is left until T2, at least a minute (RFC 2131, 4.4.5).
    assert_eq!((bed.next().to, bed.now - start), ((THEM, SERVER), Duration::from_secs(550)));
    assert_eq!((bed.next().to, bed.now - start), ((THEM, SERVER), Duration::from_secs(625)));
    bed.next();
    assert_eq!((bed.next().to, bed.now - start), (EVERYBODY, Duration::from_secs(700)));
    assert_eq!((bed.next().to, bed.now - start), (EVERYBODY, Duration::from_secs(760)));
    // Nobody has answered.
    let (discover, event) = bed.next_with_event();
    assert_eq!((discover.kind, event), (DhcpMessageType::Discover, Some(Event::Lost)));
    assert!(bed.now - start >= Duration::from_secs(801), "{:?}", bed.now - start);
}

#[test]
fn the_times_that_the_server_names_count_if_they_follow_each_other() {
    for (t1, t2, expected) in [(100, 200, (100, 200)), (300, 200, (200, 200)), (100, 900, (100, 700)), (5, 6, (5, 6))] {
        let (t1, t2) = (u32::to_be_bytes(t1), u32::to_be_bytes(t2));
        let (mut bed, request) = Bed::requesting();
        let options = times(&t1, &t2);
        let message = DhcpRepr { additional_options: &options, ..message(DhcpMessageType::Ack, request.transaction) };
        assert!(bed.receive(&frame(&message)));
        let bound = bed.now;
        let mut sent = bed.next();
        assert_eq!(bed.now - bound, Duration::from_secs(expected.0), "T1 of {t1:?} {t2:?}");
        while sent.to != EVERYBODY {
            sent = bed.next();
        }
        assert_eq!(bed.now - bound, Duration::from_secs(expected.1), "T2 of {t1:?} {t2:?}");
    }
}

#[test]
fn the_same_lease_again_is_no_event() {
    let (mut bed, renewal) = Bed::renewing();
    bed.answer(DhcpMessageType::Ack, renewal.transaction);
    assert_eq!(bed.event(), None);
    let renewed = bed.now;
    bed.next();
    assert_eq!(bed.now - renewed, Duration::from_secs(400));
}

#[test]
fn what_a_renewal_does_not_repeat_stays() {
    let (mut bed, renewal) = Bed::renewing();
    bed.say(DhcpMessageType::Ack, renewal.transaction, |message| {
        (message.router, message.subnet_mask, message.dns_servers) = (None, None, None);
        message.lease_duration = None;
    });
    assert_eq!(bed.event(), None);
    let renewed = bed.now;
    assert_eq!(bed.next().kind, DhcpMessageType::Request);
    assert_eq!(bed.now - renewed, Duration::from_secs(400));
}

#[test]
fn what_a_renewal_says_anew_counts() {
    let (mut bed, renewal) = Bed::renewing();
    bed.say(DhcpMessageType::Ack, renewal.transaction, |message| message.router = Some(OTHER_SERVER));
    assert_eq!(bed.event(), Some(Event::Bound(Lease { gateway: Some(OTHER_SERVER), ..LEASE })));
}

#[test]
fn a_lease_that_is_refused_is_lost_and_asked_for_again_after_a_pause() {
    for (mut bed, request) in [Bed::renewing(), Bed::rebinding()] {
        let refused = bed.now;
        bed.answer(DhcpMessageType::Nak, request.transaction);
        assert_eq!(bed.event(), Some(Event::Lost));
        assert_eq!(bed.next().kind, DhcpMessageType::Discover);
        let pause = bed.now - refused;
        assert!((1_000..10_000).contains(&pause.total_millis()), "{pause:?}");
    }
}

#[test]
fn a_server_that_refuses_its_own_offers_is_asked_after_a_pause() {
    let mut bed = Bed::new();
    let mut rounds = 0;
    while bed.now < Instant::from_secs(600) {
        let discover = bed.next();
        assert_eq!(discover.kind, DhcpMessageType::Discover);
        bed.answer(DhcpMessageType::Offer, discover.transaction);
        let request = bed.next();
        bed.answer(DhcpMessageType::Nak, request.transaction);
        rounds += 1;
    }
    assert!((60..=300).contains(&rounds), "{rounds} rounds in ten minutes");
}

#[test]
fn a_server_that_forgets_its_offer_is_asked_a_few_times() {
    let (mut bed, _) = Bed::requesting();
    let kinds: Vec<_> = (0..5).map(|_| bed.next().kind).collect();
    assert!(kinds[..4].iter().all(|kind| *kind == DhcpMessageType::Request), "{kinds:?}");
    assert_eq!(kinds[4], DhcpMessageType::Discover);
}

#[test]
fn the_answer_to_the_last_request_counts_as_long_as_it_is_waited_for() {
    let (mut bed, mut request) = Bed::requesting();
    for _ in 1..5 {
        request = bed.next();
        assert_eq!((request.kind, bed.event()), (DhcpMessageType::Request, None));
    }
    bed.answer(DhcpMessageType::Ack, request.transaction);
    assert_eq!(bed.event(), Some(Event::Bound(LEASE)));
}

#[test]
fn a_server_that_was_not_chosen_neither_gives_nor_takes() {
    for kind in [DhcpMessageType::Ack, DhcpMessageType::Nak, DhcpMessageType::Offer] {
        for state in [Bed::requesting, Bed::renewing] {
            let ((mut bed, request), (mut alone, _)) = (state(), state());
            bed.say(kind, request.transaction, FROM_ANOTHER);
            assert_eq!((bed.next_with_event(), bed.now), (alone.next_with_event(), alone.now), "{kind:?}");
        }
    }
    let ((mut bed, rebinding), (mut alone, _)) = (Bed::rebinding(), Bed::rebinding());
    bed.say(DhcpMessageType::Nak, rebinding.transaction, FROM_ANOTHER);
    assert_eq!((bed.next_with_event(), bed.now), (alone.next_with_event(), alone.now), "a NAK while rebinding");
}

#[test]
fn any_server_may_renew_a_lease_that_is_nearly_over() {
    let (mut bed, rebinding) = Bed::rebinding();
    bed.say(DhcpMessageType::Ack, rebinding.transaction, FROM_ANOTHER);
    assert_eq!(bed.event(), None);
    let renewed = bed.now;
    let renewal = bed.next();
    assert_eq!((renewal.to, bed.now - renewed), ((THEM, OTHER_SERVER), Duration::from_secs(400)));
    // It is the one that counts now.
    bed.answer(DhcpMessageType::Nak, renewal.transaction);
    assert_eq!(bed.event(), None);
}

#[test]
fn no_renewal_changes_the_address() {
    let other = |message: &mut DhcpRepr<'_>| message.your_ip = Ipv4Addr::new(10, 0, 0, 8);
    for (mut bed, request) in [Bed::requesting(), Bed::renewing(), Bed::rebinding()] {
        bed.say(DhcpMessageType::Ack, request.transaction, other);
        assert!(bed.is_undisturbed(DhcpMessageType::Request));
    }
}

#[test]
fn what_was_not_asked_for_is_ignored() {
    let (mut bed, request) = Bed::requesting();
    bed.answer(DhcpMessageType::Ack, request.transaction);
    assert_eq!(bed.event(), Some(Event::Bound(LEASE)));
    let bound = bed.now;
    for kind in [DhcpMessageType::Ack, DhcpMessageType::Nak, DhcpMessageType::Offer] {
        bed.now += Duration::from_millis(1);
        bed.say(kind, request.transaction, |message| message.router = Some(OTHER_SERVER));
        assert_eq!(bed.event(), None, "{kind:?}");
    }
    bed.next();
    assert_eq!(bed.now - bound, Duration::from_secs(400));
}

#[test]
fn a_lease_of_no_time_is_none() {
    for lease_s in [0, 1, 9] {
        let mut bed = Bed::bound_by(|message| message.lease_duration = Some(lease_s));
        assert!(bed.is_undisturbed(DhcpMessageType::Request), "{lease_s} s");
    }
    // For a second while the server goes on like this, there are few messages.
    let (mut bed, mut messages) = (Bed::new(), 0);
    while bed.now < Instant::from_secs(600) {
        let sent = bed.next();
        messages += 1;
        let kind = if sent.choice.is_some() { DhcpMessageType::Ack } else { DhcpMessageType::Offer };
        bed.say(kind, sent.transaction, |message| message.lease_duration = Some(0));
    }
    assert!(messages <= 600, "{messages} messages in ten minutes");
}

#[test]
fn a_server_that_wants_to_be_asked_all_the_time_is_not() {
    for (t1, t2) in [(0, 0), (0, 4), (0, 5), (0, 1), (1, 2), (4, 700), (0, 700), (u32::MAX, u32::MAX)] {
        let (t1, t2) = (u32::to_be_bytes(t1), u32::to_be_bytes(t2));
        let (mut bed, request) = Bed::requesting();
        let options = times(&t1, &t2);
        let message = DhcpRepr { additional_options: &options, ..message(DhcpMessageType::Ack, request.transaction) };
        assert!(bed.receive(&frame(&message)));
        let bound = bed.now;
        bed.next();
        assert_eq!(bed.now - bound, Duration::from_secs(400), "{t1:?} {t2:?}");
    }
}

#[test]
fn addresses_that_no_host_can_have_are_not_taken() {
    for address in [NOBODY, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
        let mut bed = Bed::new();
        let discover = bed.next();
        bed.say(DhcpMessageType::Offer, discover.transaction, |message| message.your_ip = address);
        assert!(bed.is_undisturbed(DhcpMessageType::Discover), "{address} offered");
        let (mut bed, request) = Bed::requesting();
        bed.say(DhcpMessageType::Ack, request.transaction, |message| message.your_ip = address);
        assert!(bed.is_undisturbed(DhcpMessageType::Request), "{address} confirmed");
        let mut bed = Bed::bound_by(|message| message.router = Some(address));
        assert_eq!(bed.event(), Some(Event::Bound(Lease { gateway: None, ..LEASE })), "{address} as a router");
    }
}

#[test]
fn a_server_without_a_name_is_ignored() {
    let mut bed = Bed::new();
    let discover = bed.next();
    bed.say(DhcpMessageType::Offer, discover.transaction, |message| message.server_identifier = None);
    assert!(bed.is_undisturbed(DhcpMessageType::Discover));
}

#[test]
fn without_a_mask_the_address_has_that_of_its_class() {
    let bound = |mask: Option<Ipv4Addr>| {
        let mut bed = Bed::bound_by(|message| message.subnet_mask = mask);
        match bed.event() {
            Some(Event::Bound(lease)) => lease.address.prefix_len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(bound(None), 8);
    assert_eq!(bound(Some(Ipv4Addr::new(255, 0, 255, 0))), 8, "a mask with a hole is none");
    assert_eq!(bound(Some(Ipv4Addr::new(255, 255, 240, 0))), 20);
    assert_eq!(
        [10, 127, 128, 191, 192, 223].map(|first| super::natural_prefix_len(Ipv4Addr::new(first, 0, 0, 1))),
        [8, 8, 16, 16, 24, 24]
    );
}

#[test]
fn routes_are_meant_instead_of_the_router() {
    let gateway = Ipv4Addr::new(172, 31, 1, 1);
    let routes = [32, 172, 31, 1, 1, 0, 0, 0, 0, 0, 172, 31, 1, 1];
    let options = [DhcpOption { kind: 121, data: &routes }];
    let (mut bed, request) = Bed::requesting();
    let message = DhcpRepr { additional_options: &options, ..message(DhcpMessageType::Ack, request.transaction) };
    assert!(bed.receive(&frame(&message)));
    assert_eq!(bed.event(), Some(Event::Bound(Lease { gateway: Some(gateway), ..LEASE })));
}

#[test]
fn all_name_servers_count_that_can_be_asked() {
    let servers: NameServers = [Some(OTHER_SERVER), Some(SERVER), None];
    let mut bed = Bed::bound_by(|message| message.dns_servers = Some(servers.into_iter().flatten().collect()));
    assert_eq!(bed.event(), Some(Event::Bound(Lease { name_servers: servers, ..LEASE })));
}

#[test]
fn answers_to_others_are_taken_and_ignored() {
    let mut bed = Bed::new();
    let discover = bed.next();
    bed.say(DhcpMessageType::Offer, discover.transaction ^ 1, |_| {});
    bed.say(DhcpMessageType::Offer, discover.transaction, |message| message.client_hardware_address = THEM);
    assert_eq!(bed.next().kind, DhcpMessageType::Discover);
}

#[test]
fn a_damaged_answer_is_ignored() {
    let mut bed = Bed::new();
    let discover = bed.next();
    let offer = frame(&message(DhcpMessageType::Offer, discover.transaction));
    for length in 0..offer.len() {
        assert!(!bed.receive(&offer[..length]), "{length} of {} bytes", offer.len());
    }
    for index in 14..offer.len() {
        let mut damaged = offer.clone();
        damaged[index] ^= 0x55;
        bed.receive(&damaged);
    }
    assert_eq!(bed.next().kind, DhcpMessageType::Discover);
}

#[test]
fn a_message_of_another_protocol_is_ignored() {
    let mut bed = Bed::new();
    let discover = bed.next();
    let offer = frame(&message(DhcpMessageType::Offer, discover.transaction));
    let unverified = |change: &dyn Fn(&mut [u8])| {
        let mut other = offer.clone();
        // The message is behind the headers of Ethernet, IP and UDP, and the checksum of UDP is not looked at.
        change(&mut other[14 + 20 + 8..]);
        other[14 + 20 + 6..14 + 20 + 8].fill(0);
        other
    };
    for (what, frame) in [
        ("BOOTP without the cookie", unverified(&|message| message[239] ^= 1)),
        ("a request", unverified(&|message| message[0] = 1)),
    ] {
        assert!(bed.receive(&frame), "{what}");
        assert!(bed.is_undisturbed(DhcpMessageType::Discover), "{what}");
    }
    assert!(bed.receive(&unverified(&|_| {})));
    assert_eq!(bed.next().kind, DhcpMessageType::Request, "the frames were right otherwise");
}
