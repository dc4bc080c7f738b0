//! The poll loop itself.

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec;
use core::net::Ipv4Addr;
use core::task::Waker;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant};
use embedded_nal_async::{UdpStack, UnconnectedUdp};

use super::wire::Shared;
use super::world::{A, B, World, at, socket};
use crate::net::{Error, Network, PollAt, Runner};

struct Ignored;

impl Wake for Ignored {
    fn wake(self: Arc<Self>) {}
}

fn waker() -> Waker {
    Waker::from(Arc::new(Ignored))
}

#[test]
fn a_turn_takes_a_bounded_number_of_frames() {
    let wire = Shared::new();
    let stack = Runner::new(wire.end(0), at(A), 1);
    (0..1000).for_each(|_| wire.send(1, vec![0xff; 60]));
    let mut turns = 0;
    while stack.poll(Instant::from_secs(1), &waker()) == PollAt::Now {
        turns += 1;
        assert!(turns <= 1000 / 32);
    }
    assert!(turns >= 1000 / 64);
    assert_eq!(wire.waiting(0), 0);
}

#[test]
fn a_stack_with_nothing_to_do_waits_without_a_timer() {
    let wire = Shared::new();
    let stack = Runner::new(wire.end(0), at(A), 1);
    let mut now = Instant::from_secs(1);
    // The announcements of its address come first.
    for _ in 0..20 {
        match stack.poll(now, &waker()) {
            PollAt::Time(time) => now = time,
            PollAt::Now => {}
            PollAt::Woken => return,
        }
    }
    panic!("still busy at {now:?}");
}

#[test]
fn without_a_link_a_stack_rests() {
    let wire = Shared::new();
    wire.set(|wire| wire.up = false);
    let stack = Runner::new(wire.end(0), super::world::dhcp(), 1);
    let mut now = Instant::from_secs(1);
    let mut turns = 0;
    while now < Instant::from_secs(61) {
        turns += 1;
        match stack.poll(now, &waker()) {
            PollAt::Time(time) => now = time,
            PollAt::Now => {}
            PollAt::Woken => return,
        }
    }
    assert!(turns <= 70, "{turns} turns in a minute");
}

#[test]
fn a_new_backend_may_take_smaller_frames() {
    let world = World::two();
    let a = world.a();
    world.run(async {
        a.configured().await;
        let mut sender = a.bind_multiple(socket(Ipv4Addr::UNSPECIFIED, 0)).await.expect("a free port");
        let any = socket(Ipv4Addr::UNSPECIFIED, 0);
        assert_eq!(sender.send(any, socket(B, 9), &[0; 1472]).await, Ok(()));
        world.wire.set(|wire| wire.up = false);
        world.pause(Duration::from_secs(1)).await;
        world.wire.set(|wire| (wire.up, wire.mtu) = (true, 1014));
        world.pause(Duration::from_secs(1)).await;
        assert_eq!(sender.send(any, socket(B, 9), &[0; 973]).await, Err(Error::TooLarge));
        assert_eq!(sender.send(any, socket(B, 9), &[0; 972]).await, Ok(()));
    });
}

#[test]
fn the_loop_runs_on_the_machines_clock() {
    let wire = Shared::new();
    let (one, other) = (Runner::new(wire.end(0), at(A), 1), Runner::new(wire.end(1), at(B), 2));
    let (a, b) = (one.stack(), other.stack());
    let exchange = async {
        let mut receiver = b.bind_multiple(socket(Ipv4Addr::UNSPECIFIED, 7)).await.expect("a free port");
        a.configured().await;
        b.configured().await;
        let mut sender = a.bind_multiple(socket(Ipv4Addr::UNSPECIFIED, 0)).await.expect("a free port");
        sender.send(socket(A, 0), socket(B, 7), b"hello").await.expect("room");
        receiver.receive_into(&mut [0; 9]).await.expect("a datagram").0
    };
    match embassy_futures::block_on(select(exchange, select(one.run(), other.run()))) {
        Either::First(length) => assert_eq!(length, 5),
        Either::Second(_) => unreachable!("the loops never end"),
    }
}
