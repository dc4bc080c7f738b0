//! DNS, against a server in the test.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use embassy_futures::select::{Either, select};
use embassy_time::Duration;
use embedded_nal_async::{AddrType, Dns, UdpStack, UnconnectedUdp};

use super::world::{A, B, World, at, socket};
use crate::net::{Error, Network, Parameters, Stack};

const SENSOR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 33));

/// A world whose first stack asks the second for names.
fn world() -> World {
    World::new(&[Parameters { dns: Some(B), ..at(A) }, at(B)])
}

/// The answer to a question: an address for `sensor.example`, nothing for other names.
fn answer(question: &[u8]) -> Vec<u8> {
    let known = question.windows(15).any(|part| part == b"\x06sensor\x07example");
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    // The second byte of the flags ends with the response code: no error, or no such name.
    answer[3] |= if known { 0 } else { 3 };
    answer[7] = known.into();
    if known {
        // The name of the question, type A, class IN, ten minutes, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4, 192, 0, 2, 33]);
    }
    answer
}

/// Answers questions for ever.
async fn serve(handle: &Stack) {
    let mut socket53 = handle.bind_multiple(socket(Ipv4Addr::UNSPECIFIED, 53)).await.expect("a free port");
    let mut question = [0; 512];
    loop {
        let (length, local, remote) = socket53.receive_into(&mut question).await.expect("a question");
        socket53.send(local, remote, &answer(&question[..length])).await.expect("room");
    }
}

fn look_up(world: &World, name: &str) -> Result<IpAddr, Error> {
    let (a, b) = (world.a(), world.b());
    let asked = async {
        a.configured().await;
        a.get_host_by_name(name, AddrType::IPv4).await
    };
    match world.run(select(asked, serve(&b))) {
        Either::First(result) => result,
        Either::Second(()) => panic!("the server ended"),
    }
}

#[test]
fn a_name_is_looked_up() {
    assert_eq!(look_up(&world(), "sensor.example"), Ok(SENSOR));
}

#[test]
fn a_lost_question_is_asked_again() {
    let world = world();
    let mut lost = false;
    world.wire.set(|wire| {
        wire.delivers = Box::new(move |side, frame| {
            let first = side == 0 && frame.len() > 60 && !lost;
            lost |= first;
            !first
        });
    });
    let start = world.now();
    assert_eq!(look_up(&world, "sensor.example"), Ok(SENSOR));
    assert!(world.now() - start < Duration::from_secs(3));
}

#[test]
fn an_unknown_name_is_told_from_a_silent_server() {
    assert_eq!(look_up(&world(), "nobody.example"), Err(Error::NameNotFound));
    let silent = world();
    silent.wire.set(|wire| wire.delivers = Box::new(|side, _| side == 0));
    assert_eq!(look_up(&silent, "sensor.example"), Err(Error::TimedOut));
}

#[test]
fn names_that_need_no_server_need_none() {
    let world = World::two();
    assert_eq!(look_up(&world, "192.0.2.33"), Ok(SENSOR));
    assert_eq!(look_up(&world, "sensor.example"), Err(Error::NoNameServer));
    let a = world.a();
    world.run(async {
        assert_eq!(a.get_host_by_name("sensor.example", AddrType::IPv6).await, Err(Error::Unsupported));
        assert_eq!(a.get_host_by_address(SENSOR, &mut [0; 99]).await, Err(Error::Unsupported));
    });
}

#[test]
fn text_that_is_no_name_is_refused() {
    let world = world();
    for name in ["", "a..b", "."] {
        assert_eq!(look_up(&world, name), Err(Error::InvalidName), "{name:?}");
    }
}

#[test]
fn a_dropped_question_frees_its_place() {
    let world = world();
    let a = world.a();
    world.run(async {
        a.configured().await;
        for _ in 0..100 {
            let asked = a.get_host_by_name("sensor.example", AddrType::IPv4);
            assert!(matches!(select(asked, core::future::ready(())).await, Either::Second(())));
        }
    });
    assert_eq!(look_up(&world, "sensor.example"), Ok(SENSOR));
}
