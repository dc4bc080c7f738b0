//! UDP, and ping.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::Ipv4Addr;

use embassy_futures::select::{Either, select};
use embassy_time::Duration;
use embedded_nal_async::{ConnectedUdp, UdpStack, UnconnectedUdp};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::Socket;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4Packet,
    Icmpv4Repr, IpProtocol, Ipv4Packet, Ipv4Repr,
};

use super::wire::hardware_address;
use super::world::{A, B, World, at, dhcp, pattern, socket};
use crate::net::device::BATCH;
use crate::net::{DropCounters, Error, Network};

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

#[test]
fn datagrams_travel_with_their_addresses() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        let mut server = b.bind_multiple(socket(ANY, 7)).await.expect("a free port");
        a.configured().await;
        let (local, mut client) = a.bind_single(socket(ANY, 0)).await.expect("a free port");
        assert_eq!(local.ip(), A);
        client.send(local, socket(B, 7), b"question").await.expect("room");
        let mut buffer = [0; 100];
        let (length, to, from) = server.receive_into(&mut buffer).await.expect("a datagram");
        assert_eq!((&buffer[..length], to, from), (&b"question"[..], socket(B, 7), local));
        server.send(to, from, b"answer").await.expect("room");
        let (length, to, from) = client.receive_into(&mut buffer).await.expect("a datagram");
        assert_eq!((&buffer[..length], to, from), (&b"answer"[..], local, socket(B, 7)));
    });
}

#[test]
fn a_socket_holds_all_datagrams_of_one_turn() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    let mut server = world.run(b.bind_multiple(socket(ANY, 7))).expect("a free port");
    world.run(a.configured());
    let mut senders: Vec<_> = (0..4).map(|_| world.run(a.bind_single(socket(ANY, 0))).expect("a free port")).collect();
    world.run(async {
        // The neighbour's address is known from here on.
        let (local, first) = &mut senders[0];
        first.send(*local, socket(B, 7), b"first").await.expect("room");
        server.receive_into(&mut [0; 8]).await.expect("a datagram");
        for _ in 0..BATCH / senders.len() {
            for (local, sender) in &mut senders {
                sender.send(*local, socket(B, 7), &[0; 1472]).await.expect("room");
            }
        }
    });
    world.run_for(Duration::from_millis(1));
    let mut received = 0;
    world.run(async {
        while let Either::First(datagram) =
            select(server.receive_into(&mut []), world.pause(Duration::from_secs(1))).await
        {
            assert_eq!(datagram.expect("a datagram").0, 1472);
            received += 1;
        }
    });
    assert_eq!(received, BATCH);
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        let mut peer = b.bind_multiple(socket(ANY, 7)).await.expect("a free port");
        let mut other = b.bind_multiple(socket(ANY, 8)).await.expect("a free port");
        a.configured().await;
        let (local, mut client) = UdpStack::connect(&a, socket(B, 7)).await.expect("a route");
        other.send(socket(B, 8), local, b"noise").await.expect("room");
        world.pause(Duration::from_millis(10)).await;
        let heard = a.with(|state| match state.sockets.set.iter().next() {
            Some((_, Socket::Udp(socket))) => socket.recv_queue(),
            other => panic!("{other:?}"),
        });
        assert_eq!(heard, 5, "the noise has come as far as it can");
        peer.send(socket(B, 7), local, b"signal").await.expect("room");
        let mut buffer = [0; 3];
        // A datagram that is too long for the buffer is cut, and its whole length is told.
        assert_eq!(client.receive_into(&mut buffer).await, Ok(6));
        assert_eq!(&buffer, b"sig");
        client.send(b"thanks").await.expect("room");
        assert_eq!(peer.receive_into(&mut buffer).await.expect("a datagram").2, local);
    });
}

#[test]
fn errors_say_what_is_wrong_with_a_datagram() {
    let world = World::new(&[at(A), dhcp()]);
    let (a, b) = (world.a(), world.b());
    world.run(async {
        a.configured().await;
        let mut one = a.bind_multiple(socket(ANY, 7)).await.expect("a free port");
        assert_eq!(a.bind_multiple(socket(ANY, 7)).await.err(), Some(Error::PortInUse));
        assert_eq!(a.bind_multiple(socket(B, 8)).await.err(), Some(Error::NoAddress));
        assert_eq!(one.send(socket(ANY, 7), socket(B, 9), &[0; 1473]).await, Err(Error::TooLarge));
        assert_eq!(one.send(socket(ANY, 7), socket(B, 9), &[0; 1472]).await, Ok(()));
        assert_eq!(one.send(socket(ANY, 7), socket([1, 1, 1, 1].into(), 9), b"x").await, Err(Error::NoRoute));
        assert_eq!(one.send(socket(ANY, 7), socket(B, 0), b"x").await, Err(Error::InvalidAddress));
        let mut other = b.bind_multiple(socket(ANY, 7)).await.expect("a free port");
        assert_eq!(other.send(socket(ANY, 7), socket(A, 9), b"x").await, Err(Error::NoAddress));
        assert_eq!(b.bind_single(socket(ANY, 9)).await.err(), Some(Error::NoAddress));
    });
}

#[test]
fn dropped_sockets_give_way_to_new_ones_though_their_datagrams_cannot_leave() {
    let world = World::two();
    let a = world.a();
    // Two sockets with the smallest buffers.
    a.with(|state| state.sockets.set_budget(20_000));
    world.run(async {
        a.configured().await;
        for _ in 0..5 {
            let mut client = a.bind_multiple(socket(ANY, 0)).await.expect("room");
            client.send(socket(ANY, 0), socket([10, 0, 0, 99].into(), 7), b"nobody is there").await.expect("room");
        }
    });
    assert_eq!(a.drops().evicted, 3);
}

#[test]
fn a_dropped_socket_still_sends_its_datagrams() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        let mut server = b.bind_multiple(socket(ANY, 7)).await.expect("a free port");
        a.configured().await;
        let mut client = a.bind_multiple(socket(ANY, 0)).await.expect("a free port");
        client.send(socket(ANY, 0), socket(B, 7), b"last words").await.expect("room");
        drop(client);
        let mut buffer = [0; 100];
        assert_eq!(server.receive_into(&mut buffer).await.expect("a datagram").0, 10);
        a.settled().await;
    });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.sockets(&a), 0);
}

#[test]
fn a_destination_that_does_not_answer_holds_others_up_only_for_a_while() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        let mut server = b.bind_multiple(socket(ANY, 7)).await.expect("a free port");
        a.configured().await;
        let mut client = a.bind_multiple(socket(ANY, 0)).await.expect("a free port");
        client.send(socket(ANY, 0), socket([10, 0, 0, 99].into(), 7), b"anybody?").await.expect("room");
        let mut buffer = [0; 100];
        for tries in 0.. {
            assert!(tries < 5);
            client.send(socket(ANY, 0), socket(B, 7), b"hello").await.expect("room");
            match select(server.receive_into(&mut buffer), world.pause(Duration::from_secs(1))).await {
                Either::First(received) => {
                    assert_eq!(received.expect("a datagram").0, 5);
                    break;
                }
                Either::Second(()) => {}
            }
        }
    });
}

/// An Ethernet frame with an echo request from `source`, a host at the wire's side 1.
pub fn ping(source: Ipv4Addr, destination: Ipv4Addr, number: u16, data: &[u8]) -> Vec<u8> {
    let request = Icmpv4Repr::EchoRequest { ident: 7, seq_no: number, data };
    let ip = Ipv4Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmp,
        payload_len: request.buffer_len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: hardware_address(1),
        dst_addr: hardware_address(0),
        ethertype: EthernetProtocol::Ipv4,
    };
    let checksums = ChecksumCapabilities::default();
    let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + request.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    request.emit(&mut Icmpv4Packet::new_unchecked(packet.payload_mut()), &checksums);
    bytes
}

/// An ARP request of [`B`] for [`A`].
fn who_is_a() -> Vec<u8> {
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: hardware_address(1),
        source_protocol_addr: B,
        target_hardware_addr: EthernetAddress::BROADCAST,
        target_protocol_addr: A,
    };
    let ethernet = EthernetRepr {
        src_addr: hardware_address(1),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    let mut bytes = vec![0; ethernet.buffer_len() + request.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.emit(&mut frame);
    request.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

#[test]
fn every_ping_of_a_flood_is_answered() {
    let answers = alloc::rc::Rc::new(RefCell::new(Vec::new()));
    let sink = answers.clone();
    let world = World::with_peer(at(A), move |wire, _| {
        while let Some(bytes) = wire.receive(1) {
            let frame = EthernetFrame::new_checked(&bytes).expect("a frame");
            if frame.ethertype() != EthernetProtocol::Ipv4 {
                continue;
            }
            let packet = Ipv4Packet::new_checked(frame.payload()).expect("a packet");
            let icmp = Icmpv4Packet::new_checked(packet.payload()).expect("a message");
            let reply = Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).expect("a message");
            match reply {
                Icmpv4Repr::EchoReply { seq_no, data, .. } => sink.borrow_mut().push((seq_no, data.to_vec())),
                other => panic!("{other:?}"),
            }
        }
    });
    let a = world.a();
    world.run(a.configured());
    world.wire.send(1, who_is_a());
    let data = pattern(1400, 9);
    for number in 0..700 {
        world.wire.send(1, ping(B, A, number, &data));
    }
    world.run_for(Duration::from_millis(10));
    let answers = answers.borrow();
    assert_eq!(answers.len(), 700);
    assert!(answers.iter().enumerate().all(|(i, (number, returned))| i == usize::from(*number) && *returned == data));
}

/// What is done to a packet.
type Change = dyn Fn(&mut Ipv4Packet<&mut [u8]>);

#[test]
fn what_the_stack_drops_is_counted_by_reason() {
    let world = World::with_peer(at(A), |wire, _| while wire.receive(1).is_some() {});
    let a = world.a();
    world.run(a.configured());
    let send = |frame: Vec<u8>, change: &dyn Fn(&mut Ipv4Packet<&mut [u8]>)| {
        let mut frame = EthernetFrame::new_unchecked(frame);
        change(&mut Ipv4Packet::new_unchecked(frame.payload_mut()));
        world.wire.send(1, frame.into_inner());
    };
    let good = ping(B, A, 1, b"data");
    let rightly = |packet: &mut Ipv4Packet<&mut [u8]>| packet.fill_checksum();
    send(good.clone(), &rightly);
    send(who_is_a(), &|_| ());
    world.run_for(Duration::from_millis(10));
    assert_eq!(a.drops(), DropCounters::default(), "of good frames nothing is dropped");

    let malformed: [&'static Change; 4] = [
        &|packet| packet.set_checksum(!packet.checksum()),
        &|packet| {
            packet.set_total_len(packet.total_len() + 1);
            packet.fill_checksum();
        },
        &|packet| {
            packet.set_version(6);
            packet.fill_checksum();
        },
        // The message's own checksum.
        &|packet| packet.payload_mut()[2] ^= 1,
    ];
    for change in malformed {
        send(good.clone(), change);
    }
    (0..good.len()).for_each(|length| world.wire.send(1, good[..length].to_vec()));
    (14..who_is_a().len()).for_each(|length| world.wire.send(1, who_is_a()[..length].to_vec()));
    for offset in [0, 8] {
        send(good.clone(), &|packet| {
            packet.set_more_frags(offset == 0);
            packet.set_frag_offset(offset);
            packet.fill_checksum();
        });
    }
    let mut foreign = EthernetFrame::new_unchecked(good.clone());
    foreign.set_ethertype(EthernetProtocol::Ipv6);
    (0..3).for_each(|_| world.wire.send(1, foreign.clone().into_inner()));
    world.run_for(Duration::from_millis(10));
    let cut = good.len() + who_is_a().len() - 14;
    let expected = DropCounters { malformed: 4 + cut as u32, fragments: 2, foreign: 3, ..DropCounters::default() };
    assert_eq!(a.drops(), expected);
}
