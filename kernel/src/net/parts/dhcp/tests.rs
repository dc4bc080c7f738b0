//! The client against a server that is written by hand.

use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::{Client, FRAME_BYTES};
use crate::net::parts::random::Random;

const US: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const THEM: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const LEASE_S: u32 = 800;

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
    random: Random,
    now: Instant,
}

impl Bed {
    fn new() -> Self {
        let mut client = Client::new();
        client.restart(Instant::ZERO);
        Self { client, random: Random(1), now: Instant::ZERO }
    }

    /// Moves the clock to the client's next message.
    fn next(&mut self) -> Sent {
        loop {
            let _ = self.client.news(self.now);
            if self.client.is_due(self.now) {
                break;
            }
            self.now = self.client.next_deadline().expect("a time");
        }
        // What was in the place before must not be sent.
        let mut frame = vec![0xaa; FRAME_BYTES];
        self.client.write(&mut frame, US, &mut self.random, self.now);
        sent(&frame)
    }

    fn receive(&mut self, frame: &[u8]) -> bool {
        self.client.receive(frame, true, self.now)
    }

    fn answer(&mut self, kind: DhcpMessageType, transaction: u32) {
        assert!(self.receive(&reply(kind, transaction, US)), "not taken for a message");
    }

    /// A client with a lease, and its news taken.
    fn bound() -> Self {
        let mut bed = Self::new();
        let discover = bed.next();
        bed.answer(DhcpMessageType::Offer, discover.transaction);
        let request = bed.next();
        bed.answer(DhcpMessageType::Ack, request.transaction);
        let lease = bed.client.news(bed.now).flatten().expect("a lease");
        assert_eq!((lease.address.address(), lease.address.prefix_len()), (ADDRESS, 24));
        assert_eq!((lease.gateway, lease.name_servers), (Some(SERVER), [Some(SERVER), None, None]));
        bed
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
    assert_eq!(message.parameter_request_list, Some(&[1, 3, 6][..]));
    Sent {
        kind: message.message_type,
        to: (ethernet.dst_addr(), ip.dst_addr()),
        from: ip.src_addr(),
        own: message.client_ip,
        choice: message.requested_ip.zip(message.server_identifier),
        transaction: message.transaction_id,
    }
}

fn reply(message_type: DhcpMessageType, transaction_id: u32, client_hardware_address: EthernetAddress) -> Vec<u8> {
    let given = message_type != DhcpMessageType::Nak;
    let message = DhcpRepr {
        message_type,
        transaction_id,
        secs: 0,
        client_hardware_address,
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
    };
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
fn its_server_is_asked_to_renew_and_later_everybody() {
    let mut bed = Bed::bound();
    let start = bed.now;
    let renew = bed.next();
    assert_eq!((renew.kind, renew.to, renew.from), (DhcpMessageType::Request, (THEM, SERVER), ADDRESS));
    assert_eq!((renew.own, renew.choice, bed.now - start), (ADDRESS, None, Duration::from_secs(400)));
    while bed.now - start < Duration::from_secs(700) {
        bed.next();
    }
    assert_eq!(bed.next().to, EVERYBODY);
}

#[test]
fn the_same_lease_again_is_no_news() {
    let mut bed = Bed::bound();
    let renew = bed.next();
    bed.answer(DhcpMessageType::Ack, renew.transaction);
    assert_eq!(bed.client.news(bed.now), None);
    let renewed = bed.now;
    bed.next();
    assert_eq!(bed.now - renewed, Duration::from_secs(400));
}

#[test]
fn a_lease_that_is_refused_is_lost() {
    let mut bed = Bed::bound();
    let renew = bed.next();
    bed.answer(DhcpMessageType::Nak, renew.transaction);
    assert_eq!(bed.client.news(bed.now), Some(None));
    assert_eq!(bed.next().kind, DhcpMessageType::Discover);
}

#[test]
fn a_server_that_refuses_its_own_offers_is_asked_after_a_pause() {
    let mut bed = Bed::new();
    let mut rounds = 0;
    while bed.now < Instant::from_secs(60) {
        let discover = bed.next();
        assert_eq!(discover.kind, DhcpMessageType::Discover);
        bed.answer(DhcpMessageType::Offer, discover.transaction);
        let request = bed.next();
        bed.answer(DhcpMessageType::Nak, request.transaction);
        rounds += 1;
    }
    assert!((100..=300).contains(&rounds), "{rounds} rounds in a minute");
}

#[test]
fn a_server_that_forgets_its_offer_is_asked_a_few_times() {
    let mut bed = Bed::new();
    let discover = bed.next();
    bed.answer(DhcpMessageType::Offer, discover.transaction);
    let kinds: Vec<_> = (0..6).map(|_| bed.next().kind).collect();
    assert!(kinds[..5].iter().all(|kind| *kind == DhcpMessageType::Request), "{kinds:?}");
    assert_eq!(kinds[5], DhcpMessageType::Discover);
}

#[test]
fn answers_to_others_are_taken_and_ignored() {
    let mut bed = Bed::new();
    let discover = bed.next();
    assert!(bed.receive(&reply(DhcpMessageType::Offer, discover.transaction ^ 1, US)));
    assert!(bed.receive(&reply(DhcpMessageType::Offer, discover.transaction, THEM)));
    assert_eq!(bed.next().kind, DhcpMessageType::Discover);
}

#[test]
fn a_damaged_answer_is_ignored() {
    let mut bed = Bed::new();
    let discover = bed.next();
    let offer = reply(DhcpMessageType::Offer, discover.transaction, US);
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
fn options_that_run_over_the_end_are_not_there() {
    assert_eq!(super::option(&[0, 0, 53, 1, 2, 255, 54, 4], 53), Some(&[2][..]));
    for options in [&[53][..], &[53, 2, 1], &[255, 53, 1, 2], &[]] {
        assert_eq!(super::option(options, 53), None);
    }
    assert_eq!(super::address(&[1, 3, 255, 255, 255], 1), None);
}
