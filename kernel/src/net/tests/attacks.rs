//! Peers that want a guest's memory, its listeners, or other people's connections.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::net::Ipv4Addr;
use core::pin::Pin;
use core::task::Poll;

use embassy_futures::select::{Either, select};
use embassy_time::Duration;
use embedded_io_async::{Read, Write};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::Socket;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol,
    Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::wire::{Shared, hardware_address};
use super::world::{A, B, World, at};
use crate::heap::limited::with_limit;
use crate::net::device::BATCH;
use crate::net::parts::sequence::FourTuple;
use crate::net::{Error, Network, Stack, TcpAccept, TcpConnection, TcpListen, TcpListener};

const PORT: u16 = 7;
/// The first number of each of the peer's streams.
const FIRST: u32 = 1000;

/// A segment from the peer.
#[derive(Clone, Copy)]
struct Segment<'d> {
    from: Ipv4Addr,
    port: u16,
    control: TcpControl,
    number: u32,
    acknowledged: Option<u32>,
    data: &'d [u8],
}

impl Segment<'_> {
    fn syn(port: u16) -> Self {
        Self { from: B, port, control: TcpControl::Syn, number: FIRST, acknowledged: None, data: b"" }
    }

    fn frame(self) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: self.port,
            dst_port: PORT,
            control: self.control,
            seq_number: TcpSeqNumber(self.number as i32),
            ack_number: self.acknowledged.map(|number| TcpSeqNumber(number as i32)),
            window_len: 1000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: self.data,
        };
        let ip = Ipv4Repr {
            src_addr: self.from,
            dst_addr: A,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let ethernet = EthernetRepr {
            src_addr: hardware_address(1),
            dst_addr: hardware_address(0),
            ethertype: EthernetProtocol::Ipv4,
        };
        let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + tcp.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        ethernet.emit(&mut frame);
        let checksums = ChecksumCapabilities::default();
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &checksums);
        tcp.emit(&mut TcpPacket::new_unchecked(packet.payload_mut()), &self.from.into(), &A.into(), &checksums);
        bytes
    }
}

fn arp(operation: ArpOperation, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: hardware_address(1),
        source_protocol_addr: source,
        target_hardware_addr: hardware_address(0),
        target_protocol_addr: target,
    };
    let ethernet = EthernetRepr {
        src_addr: hardware_address(1),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    let mut bytes = vec![0; ethernet.buffer_len() + repr.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    ethernet.emit(&mut frame);
    repr.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

/// What the guest said to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    port: u16,
    syn: bool,
    fin: bool,
    reset: bool,
    number: u32,
    acknowledged: u32,
    to: Ipv4Addr,
}

fn said(frame: &[u8]) -> Option<Said> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let ip = (frame.ethertype() == EthernetProtocol::Ipv4).then(|| Ipv4Packet::new_checked(frame.payload()))?.ok()?;
    let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
    assert!(tcp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()), "a wrong checksum");
    Some(Said {
        port: tcp.dst_port(),
        syn: tcp.syn(),
        fin: tcp.fin(),
        reset: tcp.rst(),
        number: tcp.seq_number().0 as u32,
        acknowledged: tcp.ack_number().0 as u32,
        to: ip.dst_addr(),
    })
}

/// A world with a stack and a peer that has any address it is asked for, and says `answer` to what the stack says.
fn world(seed: u8, answer: impl Fn(&Shared, Said) + 'static) -> (World, Rc<RefCell<Vec<Said>>>) {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let log = heard.clone();
    let peer = move |wire: &Shared, _| {
        while let Some(frame) = wire.receive(1) {
            if let Some(said) = said(&frame) {
                log.borrow_mut().push(said);
                answer(wire, said);
            } else if let Ok(asked) = ArpPacket::new_checked(&frame[14..])
                && let Ok(ArpRepr::EthernetIpv4 { operation: ArpOperation::Request, target_protocol_addr, .. }) =
                    ArpRepr::parse(&asked)
                && target_protocol_addr != A
            {
                wire.send(1, arp(ArpOperation::Reply, target_protocol_addr, A));
            }
        }
    };
    let world = World::seeded(&[at(A)], seed).and_peer(peer);
    world.run(world.a().configured());
    world.wire.send(1, arp(ArpOperation::Request, B, A));
    world.run_for(Duration::from_millis(1));
    (world, heard)
}

/// The end of a handshake.
fn finish(wire: &Shared, said: Said) {
    if said.syn {
        let acknowledged = Some(said.number.wrapping_add(1));
        let segment = Segment { control: TcpControl::None, number: FIRST + 1, acknowledged, ..Segment::syn(said.port) };
        wire.send(1, segment.frame());
    }
}

fn buffer_bytes(stack: &Stack) -> usize {
    stack.with(|state| {
        let bytes = state.sockets.set.iter().map(|(_, socket)| match socket {
            Socket::Tcp(socket) => socket.recv_capacity() + socket.send_capacity(),
            Socket::Udp(socket) => socket.payload_recv_capacity() + socket.payload_send_capacity(),
        });
        bytes.sum()
    })
}

/// A server that sends back what it gets, as the task echo does, and counts its connections.
async fn serve(stack: Stack, served: &Cell<usize>) {
    let listener = stack.listen(PORT, 16).await.expect("a port");
    let mut open: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    loop {
        let ended = poll_fn(|context| {
            let before = open.len();
            open.retain_mut(|connection| connection.as_mut().poll(context).is_pending());
            if open.len() < before { Poll::Ready(()) } else { Poll::Pending }
        });
        if let Either::First(Ok((_, mut connection))) = select(listener.accept(), ended).await {
            served.set(served.get() + 1);
            open.push(Box::pin(async move {
                let mut chunk = [0; 100];
                while let Ok(length @ 1..) = connection.read(&mut chunk).await {
                    if connection.write_all(&chunk[..length]).await.is_err() {
                        return;
                    }
                }
            }));
        }
    }
}

#[test]
fn connections_that_their_peers_leave_half_closed_stay_within_the_budget() {
    // No number of buffers fills it, or half of it, exactly.
    const BUDGET: usize = 128 * 1024 - 100;
    // The end of the handshake, a byte, and the end of the stream; nothing else is ever acknowledged.
    let (world, heard) = world(1, |wire, said| {
        if said.syn {
            let acknowledged = Some(said.number.wrapping_add(1));
            let segment = Segment {
                control: TcpControl::Fin,
                number: FIRST + 1,
                acknowledged,
                data: b"x",
                ..Segment::syn(said.port)
            };
            wire.send(1, segment.frame());
        }
    });
    let a = world.a();
    a.with(|state| state.sockets.set_budget(BUDGET));
    let (served, mut most) = (Cell::new(0), 0);
    let attack = async {
        for number in 0..400 {
            world.wire.send(1, Segment::syn(2000 + number).frame());
            world.pause(Duration::from_millis(100)).await;
            most = most.max(buffer_bytes(&a));
        }
    };
    // All that a guest has beside the budget; the test's own notes are in it.
    with_limit(BUDGET + 128 * 1024, || world.run(select(serve(a, &served), attack)));
    assert!(most <= BUDGET, "{most} bytes of buffers");
    assert!(served.get() >= 390, "{} of 400 were served", served.get());
    let drops = a.drops();
    assert!(drops.evicted >= 380, "{drops:?}");
    // Peers are told, as long as there is time for it.
    let reset = heard.borrow().iter().filter(|said| said.reset).count();
    assert!(reset >= 300, "{reset} resets");
}

#[test]
fn a_listener_is_not_deaf_while_handshakes_are_begun_and_not_finished() {
    // Only the peer's own address answers; the others were never asked.
    let (world, heard) = world(2, |wire, said| {
        if said.to == B {
            finish(wire, said);
        }
    });
    let a = world.a();
    let served = Cell::new(0);
    let attack = async {
        for number in 0..3000u16 {
            let from = Ipv4Addr::new(10, 0, 0, 100 + (number % 100) as u8);
            world.wire.send(1, Segment { from, ..Segment::syn(2000 + number) }.frame());
            // Who means it asks again, as often as TCP does.
            if [1000, 1100, 1400, 1900].contains(&number) {
                world.wire.send(1, Segment::syn(50_000).frame());
            }
            world.pause(Duration::from_millis(10)).await;
        }
    };
    world.run(select(serve(a, &served), attack));
    assert_eq!(served.get(), 1, "{:?}", a.drops());
    assert!(heard.borrow().iter().any(|said| said.port == 50_000 && said.syn));
    assert!(a.drops().half_open > 100, "{:?}", a.drops());
}

#[test]
fn a_handshake_with_a_distant_peer_is_not_given_up_without_need() {
    let (world, heard) = world(3, |_, _| {});
    let a = world.a();
    world.run(async {
        let listener = a.listen(PORT, 1).await.expect("a port");
        world.wire.send(1, Segment::syn(2000).frame());
        world.pause(Duration::from_millis(300)).await;
        // Frames come in between, but nobody else wants to be served.
        world.wire.send(1, arp(ArpOperation::Request, B, A));
        world.pause(Duration::from_millis(1)).await;
        let answer = heard.borrow()[0];
        finish(&world.wire, answer);
        listener.accept().await.expect("a connection");
    });
    assert_eq!(a.drops().half_open, 0);
}

#[test]
fn a_handshake_is_not_given_up_for_another_before_its_answer_can_be_there() {
    let (world, heard) = world(3, |_, _| {});
    let a = world.a();
    world.run(async {
        let listener = a.listen(PORT, 1).await.expect("a port");
        for port in [2000, 2001, 2002] {
            world.wire.send(1, Segment::syn(port).frame());
            world.pause(Duration::from_millis(20)).await;
        }
        let answer = heard.borrow()[0];
        finish(&world.wire, answer);
        let (remote, _connection) = listener.accept().await.expect("a connection");
        assert_eq!((remote.port(), heard.borrow().len()), (2000, 1));
    });
    assert_eq!((a.drops().half_open, a.drops().backlog_full), (0, 2));
}

#[test]
fn what_the_first_number_is_made_of_comes_from_the_seed_too() {
    // smoltcp's own number, without what the boundary adds.
    let own_number = |seed: u8| {
        let (world, heard) = world(seed, |_, _| {});
        let a = world.a();
        world.run(async {
            let _listener = a.listen(PORT, 1).await.expect("a port");
            world.wire.send(1, Segment::syn(2000).frame());
            world.pause(Duration::from_millis(1)).await;
            let acknowledged = Some(heard.borrow()[0].number);
            let mut frame = Segment { control: TcpControl::None, acknowledged, ..Segment::syn(2000) }.frame();
            a.with(|state| state.sockets.sequences.arrive(&mut frame, true));
            let ip = Ipv4Packet::new_checked(&frame[14..]).expect("a packet");
            TcpPacket::new_checked(ip.payload()).expect("a segment").ack_number().0
        })
    };
    assert_eq!(own_number(1), own_number(1));
    assert_ne!(own_number(1), own_number(2));
}

#[test]
fn the_first_number_of_a_stream_tells_nothing_of_another_connections() {
    // Stacks with the same seed: smoltcp draws the same number for their first connections.
    let first_number = |port: u16| {
        let (world, heard) = world(4, |_, _| {});
        let a = world.a();
        world.run(async {
            let _listener = a.listen(PORT, 1).await.expect("a port");
            world.wire.send(1, Segment::syn(port).frame());
            world.pause(Duration::from_millis(1)).await;
        });
        heard.borrow()[0].number
    };
    assert_eq!(first_number(2000), first_number(2000));
    assert_ne!(first_number(2000), first_number(2001));
}

/// A connection that the peer has opened, and the number that the guest expects from it next.
async fn connected(world: &World) -> TcpConnection {
    let listener = world.a().listen(PORT, 1).await.expect("a port");
    world.wire.send(1, Segment::syn(2000).frame());
    listener.accept().await.expect("a connection").1
}

fn reset(number: u32) -> Vec<u8> {
    Segment { control: TcpControl::Rst, number, ..Segment::syn(2000) }.frame()
}

#[test]
fn a_reset_counts_only_at_the_number_that_is_expected_next() {
    let (world, heard) = world(5, finish);
    world.run(async {
        let mut connection = connected(&world).await;
        let mut byte = [0];
        world.pause(Duration::from_secs(1)).await;
        for (number, in_window) in
            [(FIRST, false), (FIRST + 2, true), (FIRST + 500, true), (FIRST.wrapping_sub(70_000), false)]
        {
            heard.borrow_mut().clear();
            world.wire.send(1, reset(number));
            let read = select(connection.read(&mut byte), world.pause(Duration::from_secs(2))).await;
            assert!(matches!(read, Either::Second(())), "ended by {number}");
            // In the window it is answered, so that a peer which means it can say it again (RFC 5961, 3.2).
            let answers = heard.borrow().iter().filter(|said| said.acknowledged == FIRST + 1 && !said.reset).count();
            assert_eq!(answers, usize::from(in_window), "{number}");
        }
        assert_eq!(world.a().drops().unproven, 2);
        world.wire.send(1, reset(FIRST + 1));
        assert_eq!(connection.read(&mut byte).await, Err(Error::Reset));
    });
}

#[test]
fn a_call_with_a_connections_addresses_and_ports_leaves_the_connection_alone() {
    let (world, heard) = world(6, finish);
    world.run(async {
        let listener = world.a().listen(PORT, 4).await.expect("a port");
        world.wire.send(1, Segment::syn(2000).frame());
        let mut connection = listener.accept().await.expect("a connection").1;
        world.pause(Duration::from_secs(1)).await;
        heard.borrow_mut().clear();
        world.wire.send(1, Segment { number: 77, ..Segment::syn(2000) }.frame());
        world.pause(Duration::from_secs(1)).await;
        // It is told where the connection is (RFC 5961, 4.2), and the connection goes on.
        let heard = heard.borrow().clone();
        assert!(heard.iter().all(|said| !said.syn && !said.reset && said.acknowledged == FIRST + 1), "{heard:?}");
        assert_eq!(heard.len(), 1);
        let number = FIRST + 1;
        let acknowledged = Some(heard[0].number);
        let data = Segment { control: TcpControl::Psh, number, acknowledged, data: b"!", ..Segment::syn(2000) };
        world.wire.send(1, data.frame());
        assert_eq!(connection.read(&mut [0; 9]).await, Ok(1));
    });
}

/// A connection that the peer has opened from port 2000, of which so many others came since that its last segment is not
/// remembered. smoltcp, which gives a segment to the first socket that takes it, finds the one that listens before it.
async fn forgotten_connection(
    world: &World,
    heard: &RefCell<Vec<Said>>,
) -> (TcpListener, TcpConnection, Segment<'static>) {
    let listener = world.a().listen(PORT, 4).await.expect("a port");
    let call = |port| world.wire.send(1, Segment::syn(port).frame());
    call(1000);
    let first = listener.accept().await.expect("a connection").1;
    call(2000);
    let connection = listener.accept().await.expect("a connection").1;
    drop(first);
    world.wire.send(1, Segment { control: TcpControl::Rst, number: FIRST + 1, ..Segment::syn(1000) }.frame());
    world.pause(Duration::from_secs(1)).await;
    call(1001);
    listener.accept().await.expect("a connection");
    world.pause(Duration::from_secs(1)).await;
    world.a().with(|state| {
        let listens = |socket: &Socket<'_>| matches!(socket, Socket::Tcp(socket) if socket.is_listening());
        assert!(state.sockets.set.iter().next().is_some_and(|(_, first)| listens(first)));
        state.sockets.sequences.forget(&FourTuple { local: (A, PORT), remote: (B, 2000) });
    });
    let said = *heard.borrow().iter().rfind(|said| said.port == 2000).expect("an answer");
    heard.borrow_mut().clear();
    let acknowledged = Some(said.number.wrapping_add(said.syn.into()));
    (listener, connection, Segment { control: TcpControl::Psh, number: FIRST + 1, acknowledged, ..Segment::syn(2000) })
}

#[test]
fn a_call_that_looks_new_makes_no_second_connection_of_one_that_there_is() {
    // With the call as the last frame that one turn takes, too.
    for others in [0, BATCH - 1] {
        let (world, heard) = world(7, finish);
        let a = world.a();
        world.run(async {
            let (_listener, mut connection, next) = forgotten_connection(&world, &heard).await;
            let sockets = world.sockets(&a);
            for _ in 0..others {
                world.wire.send(1, vec![0; 60]);
            }
            world.wire.send(1, Segment { number: 77, ..Segment::syn(2000) }.frame());
            world.pause(Duration::from_secs(1)).await;
            let answers = heard.borrow().iter().filter(|said| said.port == 2000).count();
            assert_eq!((answers, world.sockets(&a)), (0, sockets), "behind {others} others");
            world.wire.send(1, Segment { data: b"!", ..next }.frame());
            assert_eq!(connection.read(&mut [0; 9]).await, Ok(1));
        });
    }
}

#[test]
fn a_peer_may_use_its_port_again_after_a_connection_has_ended() {
    // The peer ends each connection first, as whoever asks a server does.
    let (world, heard) = world(9, |wire, said| {
        let segment = Segment { acknowledged: Some(said.number.wrapping_add(1)), ..Segment::syn(said.port) };
        if said.syn {
            wire.send(1, Segment { control: TcpControl::Fin, number: FIRST + 1, ..segment }.frame());
        } else if said.fin {
            wire.send(1, Segment { control: TcpControl::None, number: FIRST + 2, ..segment }.frame());
        }
    });
    let a = world.a();
    let served = Cell::new(0);
    let calls = async {
        for call in 1..4 {
            world.wire.send(1, Segment::syn(2000).frame());
            world.pause(Duration::from_millis(10)).await;
            assert_eq!(served.get(), call, "{:?}", heard.borrow());
            world.pause(Duration::from_secs(90)).await;
        }
    };
    world.run(select(serve(a, &served), calls));
}
