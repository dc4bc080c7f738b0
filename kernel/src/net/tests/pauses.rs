//! A guest that was paused: its clock has moved on by much, at once.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};

use embassy_futures::join::join;
use embassy_time::Duration;
use embedded_io_async::{Read, Write};
use embedded_nal_async::TcpConnect;

use super::world::{A, B, World, at, dhcp, socket};
use crate::net::{Error, Network, Parameters, TcpAccept, TcpListen};

const HOUR: Duration = Duration::from_secs(3600);

/// The frames that a stack sends which calls a host that is not there, and is paused for an hour, twice.
fn frames_after_pauses(parameters: Parameters) -> usize {
    let world = World::new(&[parameters]);
    let a = world.a();
    world.run_for(Duration::from_ticks(0));
    let mut call = pin!(TcpConnect::connect(&a, socket(B, 7)));
    // Without an address, as with DHCP, it fails at once.
    let called = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(called.is_pending(), a.address().is_some());
    world.run_for(Duration::from_secs(5));
    let before = world.wire.waiting(1);
    for _ in 0..2 {
        world.step_clock(HOUR);
        world.run_for(Duration::from_secs(5));
    }
    world.wire.waiting(1) - before
}

#[test]
fn after_an_hour_without_a_turn_there_is_no_storm() {
    for parameters in [at(A), dhcp()] {
        let frames = frames_after_pauses(parameters);
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
