//! The poll loop itself.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use core::cell::Cell;
use core::net::Ipv4Addr;

use embassy_futures::select::{Either, select};
use embassy_time::Duration;
use embedded_nal_async::{UdpStack, UnconnectedUdp};

use super::wire::Shared;
use super::world::{A, B, World, at, dhcp, socket};
use crate::net::device::BATCH;
use crate::net::{Error, Network, Runner};

#[test]
fn a_turn_takes_a_bounded_number_of_frames() {
    let world = World::new(&[at(A)]);
    (0..1000).for_each(|_| world.wire.send(1, vec![0xff; 60]));
    while world.wire.waiting(0) > 0 {
        let before = world.wire.waiting(0);
        assert!(world.turn(), "asleep while there are frames");
        let taken = before - world.wire.waiting(0);
        assert!(taken <= BATCH, "{taken} frames at once");
    }
}

#[test]
fn a_stack_with_nothing_to_do_waits_without_a_timer() {
    let world = World::new(&[at(A)]);
    // The announcements of its address come first.
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.next_time(), None);
    assert!(!world.turn());
}

#[test]
fn without_a_link_a_stack_rests() {
    let world = World::new(&[dhcp()]);
    world.wire.set(|wire| wire.up = false);
    let end = world.now() + Duration::from_secs(60);
    let mut turns = 0;
    while world.now() < end {
        while world.turn() {
            turns += 1;
        }
        world.step_clock(world.next_time().map_or(end, |next| next.min(end)) - world.now());
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
fn a_link_that_goes_down_while_other_tasks_run_is_noticed() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    let announced = world.run(async {
        a.configured().await;
        let mut receiver = a.bind_multiple(socket(Ipv4Addr::UNSPECIFIED, 7)).await.expect("a free port");
        let mut sender = b.bind_multiple(socket(Ipv4Addr::UNSPECIFIED, 0)).await.expect("a free port");
        world.pause(Duration::from_secs(60)).await;
        sender.send(socket(B, 0), socket(A, 7), b"hello").await.expect("room");
        // This task runs between what the stack receives and what it sends.
        receiver.receive_into(&mut [0; 9]).await.expect("a datagram");
        world.wire.set(|wire| wire.up = false);
        world.pause(Duration::from_secs(60)).await;
        let announced = Rc::new(Cell::new(0));
        let sink = announced.clone();
        world.wire.set(|wire| {
            wire.up = true;
            wire.delivers = Box::new(move |side, _| {
                sink.set(sink.get() + usize::from(side == 0));
                true
            });
        });
        world.pause(Duration::from_secs(60)).await;
        announced.get()
    });
    assert_eq!(announced, 5, "its address is announced anew, several times");
}

#[test]
fn the_loop_runs_on_the_machines_clock() {
    let wire = Shared::new();
    let (one, other) = (Runner::new(wire.end(0), at(A), &[1; 32]), Runner::new(wire.end(1), at(B), &[2; 32]));
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
