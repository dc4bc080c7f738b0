//! A guest that was paused: its clock has moved on by much, at once.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};

use embassy_futures::join::join;
use embassy_time::{Duration, Instant};
use embedded_io_async::{Read, Write};
use embedded_nal_async::TcpConnect;

use super::wire::{End, Shared};
use super::world::{A, B, World, at, dhcp, socket};
use crate::net::{Error, Network, Parameters, PollAt, Runner, TcpAccept, TcpListen};

const HOUR: Duration = Duration::from_secs(3600);

/// Turns the stack at this moment until it rests; returns when it wants to go on.
fn settle(stack: &Runner<End>, now: Instant) -> Option<Instant> {
    for _ in 0..8 {
        match stack.poll(now, Waker::noop()) {
            PollAt::Now => {}
            PollAt::Time(time) if time <= now => {}
            PollAt::Time(time) => return Some(time),
            PollAt::Woken => return None,
        }
    }
    panic!("the stack does not come to rest");
}

/// Follows the stack's timers for so long; returns the time at the end.
fn follow(stack: &Runner<End>, start: Instant, time: Duration) -> Instant {
    let mut now = start;
    while let Some(next) = settle(stack, now).filter(|next| *next < start + time) {
        now = next;
    }
    start + time
}

/// A stack that calls a host which is not there, paused for an hour.
fn paused(parameters: Parameters) -> usize {
    let wire = Shared::new();
    let stack = Runner::new(wire.end(0), parameters, 1);
    let handle = stack.stack();
    let mut now = Instant::from_secs(1);
    settle(&stack, now);
    let mut call = pin!(TcpConnect::connect(&handle, socket(B, 7)));
    // Without an address, as with DHCP, it fails at once.
    let called = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(called.is_pending(), handle.address().is_some());
    now = follow(&stack, now, Duration::from_secs(5));
    let before = wire.waiting(1);
    now = follow(&stack, now + HOUR, Duration::from_secs(5));
    // A second time, as a clock that steps again.
    follow(&stack, now + HOUR, Duration::from_secs(5));
    wire.waiting(1) - before
}

#[test]
fn after_an_hour_without_a_turn_there_is_no_storm() {
    for parameters in [at(A), dhcp()] {
        let frames = paused(parameters);
        assert!(frames <= 40, "{frames} frames at once for what was missed");
    }
}

#[test]
fn a_connection_that_was_paused_for_long_fails_by_name_and_a_new_one_is_made() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        a.configured().await;
        let listener = b.listen(7, 1).await.expect("a listener");
        for _ in 0..3 {
            let call = TcpConnect::connect(&a, socket(B, 7));
            let (caller, called) = join(call, listener.accept()).await;
            let (mut caller, (_, mut called)) = (caller.expect("connected"), called.expect("accepted"));
            caller.write_all(b"?").await.expect("sent");
            let mut byte = [0];
            called.read_exact(&mut byte).await.expect("received");
            // Each end takes the other for dead, since nothing was heard from it for so long: said, not waited for.
            world.step_clock(HOUR);
            assert_eq!(called.read(&mut byte).await, Err(Error::Reset));
            assert!(caller.read(&mut byte).await.is_err());
        }
    });
}
