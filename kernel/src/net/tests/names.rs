//! DNS, against a server in the test.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use embassy_time::Duration;
use embedded_nal_async::{AddrType, Dns, UdpStack, UnconnectedUdp};

use super::world::{A, B, World, at, dhcp, socket};
use crate::net::{ConnectError, Error, Network, Parameters, Stack, TcpListen, connect};

const SENSOR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 33));

/// A world whose first stack asks the second for names.
fn world() -> World {
    World::new(&[Parameters { dns: Some(B), ..at(A) }, at(B)])
}

/// The answer to a question: addresses for `sensor.example` and `server.example`, nothing for other names.
fn answer(question: &[u8]) -> Vec<u8> {
    let asks_for = |name: &[u8]| question.windows(name.len()).any(|part| part == name);
    let address = match () {
        () if asks_for(b"\x06sensor\x07example") => Some([192, 0, 2, 33]),
        () if asks_for(b"\x06server\x07example") => Some(B.octets()),
        () => None,
    };
    let known = address.is_some();
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    // The second byte of the flags ends with the response code: no error, or no such name.
    answer[3] |= if known { 0 } else { 3 };
    answer[7] = known.into();
    if let Some(address) = address {
        // The name of the question, type A, class IN, ten minutes, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4]);
        answer.extend(address);
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

/// Answers so many questions from another port than that of name servers, and returns their identifiers.
async fn serve_from(handle: &Stack, port: u16, questions: usize) -> Vec<[u8; 2]> {
    let mut socket53 = handle.bind_multiple(socket(Ipv4Addr::UNSPECIFIED, 53)).await.expect("a free port");
    let mut other = handle.bind_multiple(socket(Ipv4Addr::UNSPECIFIED, port)).await.expect("a free port");
    let (mut question, mut seen) = ([0; 512], Vec::new());
    while seen.len() < questions {
        let (length, local, remote) = socket53.receive_into(&mut question).await.expect("a question");
        other.send(local, remote, &answer(&question[..length])).await.expect("room");
        seen.push([question[0], question[1]]);
    }
    seen
}

#[test]
fn an_answer_from_somebody_who_was_not_asked_is_ignored_and_no_question_is_like_another() {
    let world = world();
    let (a, b) = (world.a(), world.b());
    let asked = async {
        a.configured().await;
        a.get_host_by_name("sensor.example", AddrType::IPv4).await
    };
    let (answer, mut identifiers) = world.run(join(asked, serve_from(&b, 54, 3)));
    assert_eq!(answer, Err(Error::TimedOut));
    identifiers.sort_unstable();
    identifiers.dedup();
    assert_eq!(identifiers.len(), 3, "three questions with three identifiers");
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

#[test]
fn who_has_an_answer_waits_for_no_time_limit() {
    let world = world();
    assert_eq!(look_up(&world, "sensor.example"), Ok(SENSOR));
    assert_eq!(world.a().with(|state| state.deadlines.next()), None);
}

/// Longer than anything here takes on the machine's clock.
const LONG: Duration = Duration::from_secs(3600);

/// Connects the first stack to a host, while the second knows names and serves port 7.
fn connect_to(world: &World, host: &str, port: u16, within: Duration) -> Result<(), ConnectError> {
    let (a, b) = (world.a(), world.b());
    let listening = async {
        let _listener = b.listen(7, 1).await.expect("a free port");
        serve(&b).await;
    };
    match world.run(select(connect(&a, host, port, within), listening)) {
        Either::First(connected) => connected.map(|_| ()),
        Either::Second(()) => panic!("the server ended"),
    }
}

#[test]
fn a_server_is_reached_by_its_name_and_by_its_address() {
    for host in ["server.example", "10.0.0.2"] {
        assert_eq!(connect_to(&world(), host, 7, LONG), Ok(()), "{host}");
    }
}

#[test]
fn why_a_server_is_not_reached_is_told() {
    assert_eq!(connect_to(&world(), "nobody.example", 7, LONG), Err(ConnectError::Name));
    assert_eq!(connect_to(&world(), "10.0.0.2", 8, LONG), Err(ConnectError::Refused));
    assert_eq!(connect_to(&world(), "10.0.0.99", 7, LONG), Err(ConnectError::TimedOut));
    assert_eq!(connect_to(&world(), "192.0.2.1", 7, LONG), Err(ConnectError::Unreachable));
}

#[test]
fn a_server_is_waited_for_no_longer_than_it_was_said() {
    let world = World::new(&[dhcp()]);
    let a = world.a();
    // Nobody moves the world on: there is no address, and will be none.
    let connected = embassy_futures::block_on(connect(&a, "10.0.0.2", 7, Duration::from_micros(1)));
    assert_eq!(connected.err(), Some(ConnectError::TimedOut));
}
