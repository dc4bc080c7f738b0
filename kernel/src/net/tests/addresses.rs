//! How an interface gets, keeps and announces its address.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::Ipv4Addr;

use embassy_time::{Duration, Instant};
use embedded_nal_async::{UdpStack, UnconnectedUdp};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::wire::{Shared, hardware_address};
use super::world::{A, B, World, at, dhcp, socket};
use crate::net::{Network, Parameters, Stack};
use crate::parameters::Parameters as CommandLine;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
/// Another DHCP server.
const RIVAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 201);
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 53);

/// A DHCP server at the wire's side 1, and what it has seen.
struct Server {
    /// How many of the next frames are lost.
    deaf_for: usize,
    /// The address it gives.
    address: Ipv4Addr,
    mask: Ipv4Addr,
    router: Ipv4Addr,
    /// The routes of RFC 3442, if it names any.
    routes: Vec<u8>,
    lease_s: u32,
    /// Whether a second server of the network refuses all that it has not given itself.
    rival: bool,
    seen: Vec<(Instant, DhcpMessageType)>,
    /// Senders and targets of ARP requests.
    asked: Vec<(Instant, Ipv4Addr, Ipv4Addr)>,
}

impl Server {
    fn new(address: Ipv4Addr) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            deaf_for: 0,
            address,
            mask: Ipv4Addr::new(255, 255, 255, 0),
            router: SERVER,
            routes: Vec::new(),
            lease_s: 3600,
            rival: false,
            seen: Vec::new(),
            asked: Vec::new(),
        }))
    }

    fn handle(&mut self, bytes: &[u8], now: Instant) -> Vec<Vec<u8>> {
        self.answers(bytes, now).unwrap_or_default()
    }

    fn answers(&mut self, bytes: &[u8], now: Instant) -> Option<Vec<Vec<u8>>> {
        let frame = EthernetFrame::new_checked(bytes).ok()?;
        if self.deaf_for > 0 {
            self.deaf_for -= 1;
            return None;
        }
        match frame.ethertype() {
            EthernetProtocol::Arp => self.answer_arp(frame.payload(), now).map(|answer| vec![answer]),
            EthernetProtocol::Ipv4 => self.answer_dhcp(frame.payload(), now),
            _ => None,
        }
    }

    fn answer_arp(&mut self, payload: &[u8], now: Instant) -> Option<Vec<u8>> {
        let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } =
            ArpRepr::parse(&ArpPacket::new_checked(payload).ok()?).ok()?
        else {
            return None;
        };
        if operation != ArpOperation::Request {
            return None;
        }
        self.asked.push((now, source_protocol_addr, target_protocol_addr));
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: hardware_address(1),
            source_protocol_addr: target_protocol_addr,
            target_hardware_addr: hardware_address(0),
            target_protocol_addr: source_protocol_addr,
        };
        [SERVER, self.router].contains(&target_protocol_addr).then(|| {
            frame(EthernetProtocol::Arp, reply.buffer_len(), |payload| {
                reply.emit(&mut ArpPacket::new_unchecked(payload))
            })
        })
    }

    fn answer_dhcp(&mut self, payload: &[u8], now: Instant) -> Option<Vec<Vec<u8>>> {
        let ip = Ipv4Packet::new_checked(payload).ok()?;
        let udp = UdpPacket::new_checked(ip.payload()).ok()?;
        let packet = DhcpPacket::new_checked(udp.payload()).ok()?;
        let request = DhcpRepr::parse(&packet).ok()?;
        self.seen.push((now, request.message_type));
        let message_type = match request.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return None,
        };
        let routes = [DhcpOption { kind: 121, data: &self.routes }];
        let reply = DhcpRepr {
            message_type,
            your_ip: self.address,
            server_ip: SERVER,
            router: Some(self.router),
            subnet_mask: Some(self.mask),
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(SERVER),
            parameter_request_list: None,
            dns_servers: Some([NAME_SERVER].into_iter().collect()),
            max_size: None,
            lease_duration: Some(self.lease_s),
            additional_options: if self.routes.is_empty() { &[] } else { &routes },
            ..request
        };
        let refusal = DhcpRepr {
            message_type: DhcpMessageType::Nak,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: RIVAL,
            server_identifier: Some(RIVAL),
            ..reply.clone()
        };
        let refused = self.rival && request.message_type == DhcpMessageType::Request;
        let mut answers = vec![dhcp_frame(&reply)];
        if refused {
            // Before the answer and after it.
            answers.insert(0, dhcp_frame(&refusal));
            answers.push(dhcp_frame(&refusal));
        }
        Some(answers)
    }
}

fn frame(ethertype: EthernetProtocol, length: usize, emit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let ethernet = EthernetRepr { src_addr: hardware_address(1), dst_addr: EthernetAddress::BROADCAST, ethertype };
    let mut bytes = vec![0; ethernet.buffer_len() + length];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.emit(&mut frame);
    emit(frame.payload_mut());
    bytes
}

fn dhcp_frame(reply: &DhcpRepr<'_>) -> Vec<u8> {
    let udp = UdpRepr { src_port: 67, dst_port: 68 };
    let ip = Ipv4Repr {
        src_addr: SERVER,
        // The first answers go to a host that does not know its address yet.
        dst_addr: Ipv4Addr::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + reply.buffer_len(),
        hop_limit: 64,
    };
    let checksums = ChecksumCapabilities::default();
    frame(EthernetProtocol::Ipv4, ip.buffer_len() + ip.payload_len, |payload| {
        let mut packet = Ipv4Packet::new_unchecked(payload);
        ip.emit(&mut packet, &checksums);
        let (from, to) = (IpAddress::Ipv4(ip.src_addr), IpAddress::Ipv4(ip.dst_addr));
        let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
        let write = |bytes: &mut [u8]| reply.emit(&mut DhcpPacket::new_unchecked(bytes)).expect("room");
        udp.emit(&mut datagram, &from, &to, reply.buffer_len(), write, &checksums);
    })
}

fn world(parameters: Parameters, server: &Rc<RefCell<Server>>) -> World {
    let server = server.clone();
    World::with_peer(parameters, move |wire: &Shared, now| {
        while let Some(bytes) = wire.receive(1) {
            for answer in server.borrow_mut().handle(&bytes, now) {
                wire.send(1, answer);
            }
        }
    })
}

fn routes(handle: &Stack) -> (Option<Ipv4Addr>, usize, bool) {
    handle.with(|state| {
        let own = state.addressing.address().map(|own| own.address());
        let name_servers = state.addressing.name_servers().map_or(0, |servers| servers.iter().flatten().count());
        (own, name_servers, state.addressing.has_gateway())
    })
}

#[test]
fn dhcp_gives_address_gateway_and_name_server() {
    let server = Server::new(A);
    let world = world(dhcp(), &server);
    let a = world.a();
    assert_eq!(world.run(a.configured()), A);
    assert_eq!(routes(&a), (Some(A), 1, true));
}

#[test]
fn lost_packets_at_the_start_delay_dhcp_by_less_than_a_second() {
    let server = Server::new(A);
    server.borrow_mut().deaf_for = 2;
    let world = world(dhcp(), &server);
    let (a, start) = (world.a(), world.now());
    world.run(a.configured());
    assert!(world.now() - start < Duration::from_secs(1), "{:?}", world.now() - start);
}

#[test]
fn a_silent_network_is_asked_ever_less_often() {
    let server = Server::new(A);
    server.borrow_mut().deaf_for = usize::MAX;
    let world = world(dhcp(), &server);
    world.run_for(Duration::from_secs(120));
    let frames = usize::MAX - server.borrow().deaf_for;
    assert!((8..=16).contains(&frames), "{frames} frames in two minutes");
}

#[test]
fn an_address_is_renewed_before_it_expires() {
    let server = Server::new(A);
    server.borrow_mut().lease_s = 600;
    let world = world(dhcp(), &server);
    let a = world.a();
    world.run(a.configured());
    world.run_for(Duration::from_secs(3600));
    assert_eq!(a.address(), Some(A));
    let requests = server.borrow().seen.iter().filter(|(_, kind)| *kind == DhcpMessageType::Request).count();
    assert!((6..=14).contains(&requests), "{requests} requests in an hour");
}

#[test]
fn an_address_that_is_not_renewed_is_given_up_and_asked_for_again() {
    let server = Server::new(A);
    server.borrow_mut().lease_s = 600;
    let world = world(dhcp(), &server);
    let a = world.a();
    world.run(a.configured());
    server.borrow_mut().deaf_for = usize::MAX;
    world.run_for(Duration::from_secs(700));
    assert_eq!(a.address(), None);
    server.borrow_mut().deaf_for = 0;
    server.borrow_mut().address = B;
    assert_eq!(world.run(a.configured()), B);
}

#[test]
fn after_a_link_comes_back_the_address_is_asked_for_again_and_kept_meanwhile() {
    let server = Server::new(A);
    let world = world(dhcp(), &server);
    let a = world.a();
    world.run(async {
        a.configured().await;
        world.wire.set(|wire| wire.up = false);
        world.pause(Duration::from_secs(5)).await;
        let before = server.borrow().seen.len();
        world.wire.set(|wire| wire.up = true);
        world.pause(Duration::from_secs(1)).await;
        let seen: Vec<_> = server.borrow().seen[before..].iter().map(|(_, kind)| *kind).collect();
        assert_eq!(seen, [DhcpMessageType::Discover, DhcpMessageType::Request]);
        assert_eq!(a.address(), Some(A));
    });
}

#[test]
fn a_kept_address_is_given_up_when_nobody_confirms_it() {
    let server = Server::new(A);
    let world = world(dhcp(), &server);
    let a = world.a();
    world.run(a.configured());
    server.borrow_mut().deaf_for = usize::MAX;
    world.wire.set(|wire| wire.up = false);
    world.run_for(Duration::from_secs(1));
    world.wire.set(|wire| wire.up = true);
    world.run_for(Duration::from_secs(20));
    assert_eq!(a.address(), Some(A));
    world.run_for(Duration::from_secs(20));
    assert_eq!(a.address(), None);
}

#[test]
fn what_the_parameters_say_wins_over_dhcp() {
    let server = Server::new(A);
    let parameters = Parameters { dns: Some(B), gateway: Some(B), ..dhcp() };
    let world = world(parameters, &server);
    let a = world.a();
    world.run(a.configured());
    world.run_for(Duration::from_millis(10));
    // The announcement asks for the gateway that was given.
    assert!(server.borrow().asked.iter().any(|(_, own, asked)| (*own, *asked) == (A, B)));
}

#[test]
fn a_static_address_is_announced_several_times_soon_after_the_start() {
    let server = Server::new(A);
    let world = world(at(A), &server);
    let (a, start) = (world.a(), world.now());
    world.run(a.configured());
    assert_eq!(world.now(), start);
    world.run_for(Duration::from_secs(10));
    let asked = server.borrow().asked.clone();
    assert!(asked.iter().all(|(_, own, asked)| (*own, *asked) == (A, A)));
    assert!(asked.iter().filter(|(at, ..)| *at - start < Duration::from_secs(1)).count() >= 3);
    assert_eq!(asked.len(), 5);
}

#[test]
fn a_static_address_is_announced_again_when_the_link_comes_back() {
    let server = Server::new(A);
    let world = world(Parameters { gateway: Some(SERVER), ..at(A) }, &server);
    world.run_for(Duration::from_secs(10));
    world.wire.set(|wire| wire.up = false);
    world.run_for(Duration::from_secs(1));
    server.borrow_mut().asked.clear();
    world.wire.set(|wire| wire.up = true);
    world.run_for(Duration::from_secs(10));
    let asked = &server.borrow().asked;
    assert_eq!(asked.len(), 5);
    assert!(asked.iter().all(|(_, own, asked)| (*own, *asked) == (A, SERVER)));
}

#[test]
fn without_a_link_there_is_no_address() {
    let server = Server::new(A);
    let world = world(at(A), &server);
    world.wire.set(|wire| wire.up = false);
    world.run_for(Duration::from_secs(10));
    let a = world.a();
    assert_eq!(a.address(), None);
    world.wire.set(|wire| wire.up = true);
    assert_eq!(world.run(a.configured()), A);
}

#[test]
fn a_second_server_that_refuses_everything_takes_no_address_away() {
    let server = Server::new(A);
    server.borrow_mut().rival = true;
    server.borrow_mut().lease_s = 120;
    let world = world(dhcp(), &server);
    let a = world.a();
    let start = world.now();
    world.run(a.configured());
    assert!(world.now() - start < Duration::from_secs(1));
    for _ in 0..600 {
        world.run_for(Duration::from_secs(1));
        assert_eq!(a.address(), Some(A));
    }
    let discovers = server.borrow().seen.iter().filter(|(_, kind)| *kind == DhcpMessageType::Discover).count();
    assert_eq!(discovers, 1);
}

/// A gateway that no network of 32 bits holds.
const DISTANT: Ipv4Addr = Ipv4Addr::new(172, 31, 1, 1);
/// A host behind it.
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

/// Sends a datagram to a host, and returns who was asked for by ARP and whether the datagram left to whoever answered.
fn reaches(world: &World, server: &Rc<RefCell<Server>>, to: Ipv4Addr) -> bool {
    let a = world.a();
    let left = Rc::new(RefCell::new(false));
    let sink = left.clone();
    world.wire.set(|wire| {
        wire.delivers = alloc::boxed::Box::new(move |side, bytes| {
            let frame = EthernetFrame::new_checked(bytes).expect("a frame");
            let ip = Ipv4Packet::new_checked(frame.payload());
            if side == 0 && frame.ethertype() == EthernetProtocol::Ipv4 && ip.is_ok_and(|ip| ip.dst_addr() == to) {
                assert_eq!(frame.dst_addr(), hardware_address(1));
                *sink.borrow_mut() = true;
            }
            true
        });
    });
    world.run(async {
        let own = a.configured().await;
        let any = socket(Ipv4Addr::UNSPECIFIED, 0);
        let mut sender = a.bind_multiple(any).await.expect("a free port");
        sender.send(any, socket(to, 9), b"hello").await.expect("a route");
        world.pause(Duration::from_secs(2)).await;
        let asked = &server.borrow().asked;
        assert!(asked.iter().all(|(_, by, asked)| (*by, *asked) == (own, DISTANT)), "{asked:?}");
    });
    left.take()
}

#[test]
fn a_gateway_on_the_link_is_used_by_an_address_of_32_bits() {
    let by_dhcp = || Server::new(A);
    let named = by_dhcp();
    let routed = by_dhcp();
    // The gateway is on the link, and everything else behind it.
    routed.borrow_mut().routes = [&[32, 172, 31, 1, 1, 0, 0, 0, 0][..], &[0, 172, 31, 1, 1]].concat();
    for server in [&named, &routed] {
        server.borrow_mut().mask = Ipv4Addr::BROADCAST;
        server.borrow_mut().router = DISTANT;
    }
    let fixed = Parameters::read(&mut CommandLine::parse("ip=10.0.0.1/32 gateway=172.31.1.1").expect("pairs"));
    for (server, parameters) in [(&named, dhcp()), (&routed, dhcp()), (&by_dhcp(), fixed.expect("parameters"))] {
        server.borrow_mut().router = DISTANT;
        for to in [FAR, DISTANT, B] {
            let world = world(parameters, server);
            assert!(reaches(&world, server, to), "{to}");
        }
    }
}

#[test]
fn a_gateway_on_the_link_finds_a_guest_with_an_address_of_32_bits() {
    let parameters = Parameters::read(&mut CommandLine::parse("ip=10.0.0.1/32 gateway=172.31.1.1").expect("pairs"));
    let world = World::new(&[parameters.expect("parameters")]);
    world.run_for(Duration::from_secs(30));
    while world.wire.receive(1).is_some() {}
    // Another host that says it has our address is not taken for the gateway.
    for source in [DISTANT, A] {
        let request = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: hardware_address(1),
            source_protocol_addr: source,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: A,
        };
        let emit = |payload: &mut [u8]| request.emit(&mut ArpPacket::new_unchecked(payload));
        world.wire.send(1, frame(EthernetProtocol::Arp, request.buffer_len(), emit));
        world.run_for(Duration::from_secs(1));
        let mut target = None;
        while let Some(bytes) = world.wire.receive(1) {
            let frame = EthernetFrame::new_checked(&bytes[..]).expect("a frame");
            match ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).expect("ARP")).expect("ARP") {
                ArpRepr::EthernetIpv4 { operation: ArpOperation::Reply, target_protocol_addr, .. } => {
                    target = Some(target_protocol_addr);
                }
                // It asks for its gateway itself.
                ArpRepr::EthernetIpv4 { target_protocol_addr, .. } => assert_eq!(target_protocol_addr, DISTANT),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(target, (source == DISTANT).then_some(DISTANT));
    }
}
