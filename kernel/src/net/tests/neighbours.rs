//! How a guest finds its neighbours while forged ones, who never answer, use up the one question a second that
//! `smoltcp` asks.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::Future;
use core::net::Ipv4Addr;

use embassy_futures::join::join_array;
use embassy_futures::select::{Either, select};
use embassy_time::Duration;
use embedded_nal_async::{TcpConnect, UdpStack, UnconnectedUdp};
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol};

use super::datagrams::ping;
use super::world::{A, B, World, at, socket};
use crate::net::{Error, Network, Parameters, TcpListen};

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
/// A station that is not there.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 99);

/// A pause of which no second is a multiple.
const EVERY_MS: Duration = Duration::from_micros(997);

/// For whom [`A`] has asked.
type Questions = Rc<RefCell<Vec<Ipv4Addr>>>;

/// Has the wire write down, from now on, what [`A`] asks.
fn questions(world: &World) -> Questions {
    let questions = Questions::default();
    let sink = questions.clone();
    world.wire.set(|wire| {
        wire.delivers = alloc::boxed::Box::new(move |side, bytes| {
            let frame = EthernetFrame::new_checked(bytes).expect("a frame");
            if side == 0 && frame.ethertype() == EthernetProtocol::Arp {
                let packet = ArpPacket::new_checked(frame.payload()).expect("a packet");
                let ArpRepr::EthernetIpv4 { operation, target_protocol_addr, .. } =
                    ArpRepr::parse(&packet).expect("a packet")
                else {
                    unreachable!("there is no other kind");
                };
                if operation == ArpOperation::Request {
                    sink.borrow_mut().push(target_protocol_addr);
                }
            }
            true
        });
    });
    questions
}

/// Runs `work` while neighbours that are not there ping [`A`] so often.
async fn under_flood<T>(world: &World, pause: Duration, work: impl Future<Output = T>) -> T {
    let flood = async {
        for number in (0..u16::MAX).cycle() {
            let forged = Ipv4Addr::new(10, 0, 0, 100 + (number % 100) as u8);
            world.wire.send(1, ping(forged, A, number, b"?"));
            world.pause(pause).await;
        }
    };
    match select(flood, work).await {
        Either::First(()) => unreachable!("the numbers have no end"),
        Either::Second(output) => output,
    }
}

/// How often the address was asked for.
fn count(questions: &Questions, address: Ipv4Addr) -> usize {
    questions.borrow().iter().filter(|asked| **asked == address).count()
}

#[test]
fn a_client_finds_a_neighbour_in_spite_of_forged_ones() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        a.configured().await;
        let _listener = b.listen(7, 2).await.expect("a free port");
        let asked = questions(&world);
        let took = under_flood(&world, EVERY_MS, async {
            world.pause(Duration::from_secs(2)).await;
            let start = world.now();
            TcpConnect::connect(&a, socket(B, 7)).await.expect("a connection");
            world.now() - start
        })
        .await;
        assert!(took < Duration::from_millis(500), "{took:?}");
        assert_eq!(count(&asked, B), 1);
    });
}

#[test]
fn a_datagram_finds_a_neighbour_in_spite_of_forged_ones() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        a.configured().await;
        let mut server = b.bind_multiple(socket(ANY, 7)).await.expect("a free port");
        let mut client = a.bind_multiple(socket(ANY, 0)).await.expect("a free port");
        let asked = questions(&world);
        let took = under_flood(&world, EVERY_MS, async {
            world.pause(Duration::from_secs(2)).await;
            let start = world.now();
            client.send(socket(ANY, 0), socket(B, 7), b"hello").await.expect("room");
            server.receive_into(&mut [0; 9]).await.expect("a datagram");
            world.now() - start
        })
        .await;
        assert!(took < Duration::from_millis(500), "{took:?}");
        assert_eq!(count(&asked, B), 1);
    });
}

#[test]
fn questions_leave_when_they_are_due_though_nothing_else_happens() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        a.configured().await;
        let mut server = b.bind_multiple(socket(ANY, 7)).await.expect("a free port");
        let mut sockets = Vec::new();
        for _ in 0..3 {
            sockets.push(a.bind_multiple(socket(ANY, 0)).await.expect("a free port"));
        }
        let asked = questions(&world);
        // Just often enough that smoltcp itself never asks for another.
        let took = under_flood(&world, Duration::from_millis(900), async {
            world.pause(Duration::from_secs(2)).await;
            let start = world.now();
            for (client, to) in sockets.iter_mut().zip([NOBODY, Ipv4Addr::new(10, 0, 0, 98), B]) {
                client.send(socket(ANY, 0), socket(to, 7), b"hello").await.expect("room");
            }
            server.receive_into(&mut [0; 9]).await.expect("a datagram");
            world.now() - start
        })
        .await;
        assert!(took <= Duration::from_millis(101), "{took:?}");
        assert_eq!(count(&asked, B), 1);
    });
}

#[test]
fn a_datagram_waits_some_seconds_for_a_neighbour_that_begins_to_answer() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        a.configured().await;
        let mut server = b.bind_multiple(socket(ANY, 7)).await.expect("a free port");
        let mut client = a.bind_multiple(socket(ANY, 0)).await.expect("a free port");
        world.wire.set(|wire| wire.delivers = alloc::boxed::Box::new(|_, _| false));
        client.send(socket(ANY, 0), socket(B, 7), b"hello").await.expect("room");
        world.pause(Duration::from_millis(1400)).await;
        world.wire.set(|wire| wire.delivers = alloc::boxed::Box::new(|_, _| true));
        let received = select(server.receive_into(&mut [0; 9]), world.pause(Duration::from_secs(3))).await;
        assert!(matches!(received, Either::First(Ok(_))));
    });
}

#[test]
fn a_neighbour_that_is_known_is_not_asked_for() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        a.configured().await;
        let _listener = b.listen(7, 3).await.expect("a free port");
        let asked = questions(&world);
        for _ in 0..3 {
            TcpConnect::connect(&a, socket(B, 7)).await.expect("a connection");
        }
        assert_eq!(count(&asked, B), 1);
    });
}

#[test]
fn one_that_does_not_answer_is_asked_for_ever_less_often() {
    let world = World::two();
    let a = world.a();
    world.run(async {
        a.configured().await;
        // Those that it announces itself with come first.
        world.pause(Duration::from_secs(2)).await;
        let questions = questions(&world);
        // Any number of those who want it does not make it more.
        let call = || TcpConnect::connect(&a, socket(NOBODY, 7));
        let results = under_flood(&world, EVERY_MS, async {
            world.pause(Duration::from_secs(2)).await;
            join_array([call(), call(), call()]).await
        })
        .await;
        assert!(results.iter().all(|result| matches!(result, Err(Error::TimedOut))));
        let asked = count(&questions, NOBODY);
        assert!((4..=10).contains(&asked), "{asked} times");
        let mut client = a.bind_multiple(socket(ANY, 0)).await.expect("a free port");
        client.send(socket(ANY, 0), socket(NOBODY, 7), b"hello").await.expect("room");
        under_flood(&world, EVERY_MS, world.pause(Duration::from_secs(10))).await;
        let asked = count(&questions, NOBODY) - asked;
        assert!((3..=6).contains(&asked), "{asked} times");
    });
}

#[test]
fn a_gateway_in_use_stays_known_in_spite_of_forged_neighbours() {
    let far = Ipv4Addr::new(192, 168, 0, 1);
    let world = World::new(&[Parameters { gateway: Some(B), ..at(A) }, at(B)]);
    let a = world.a();
    world.run(async {
        a.configured().await;
        let mut client = a.bind_multiple(socket(ANY, 0)).await.expect("a free port");
        world.pause(Duration::from_secs(10)).await;
        let questions = questions(&world);
        under_flood(&world, 10 * EVERY_MS, async {
            for _ in 0..60 {
                client.send(socket(ANY, 0), socket(far, 7), b"hello").await.expect("room");
                world.pause(Duration::from_millis(10)).await;
                let waiting = a.with(|state| state.outboxes.next_deadline());
                assert_eq!(waiting, None, "at {:?} its address is not known", world.now());
                world.pause(Duration::from_secs(5)).await;
            }
        })
        .await;
        let asked = count(&questions, B);
        assert!((10..=15).contains(&asked), "{asked} times in five minutes");
        // An idle guest is not woken for it.
        drop(client);
        world.pause(Duration::from_secs(3600 / 2)).await;
        assert_eq!(count(&questions, B), asked);
    });
}
