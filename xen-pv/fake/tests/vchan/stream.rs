//! A channel as a stream, and as a task's feed.

use std::future::pending;

use channel::Error;
use embedded_io_async::{Error as _, ErrorKind, Read, Write};
use feed::{Encoder, Fault, Reading, Sensor};
use kernel::feed::{Feed, Item};
use kernel::stream::ReadInPlace;
use xen_fake::hypervisor::{ForeignMapping, ForeignPage};
use xen_fake::{FakeXen, Machine};
use xen_pv::vchan::{self, Broken, Stream};

use crate::peer::{CLIENTS_PORT, PEER, PeersEnd, bytes, layout, peer_serves};

type Alarm = fn() -> std::future::Pending<()>;

/// A peer that serves, and the guest's end as a stream that is read in pieces of at most so many bytes.
fn connected(machine: &Machine, piece_bytes: usize) -> (PeersEnd<ForeignPage>, Stream<FakeXen, ForeignMapping, Alarm>) {
    let (peer, address, _, to) = peer_serves(&machine.xen, layout(12, 12));
    let ours = vchan::connect(&machine.xen, &machine.events, PEER, address).expect("the server is there");
    to.set(CLIENTS_PORT);
    let stream = Stream::new(ours, piece_bytes, pending as Alarm).expect("memory");
    (peer, stream)
}

#[test]
fn what_comes_is_read_in_place_until_the_peer_is_gone() {
    let mut machine = Machine::new();
    let (mut peer, mut stream) = connected(&machine, 1000);
    let received = machine.tasks.spawn_for(async move {
        let mut all = Vec::new();
        loop {
            // Of each piece the reader takes a part, and is given the rest again.
            let part = stream.read_in_place(|held| {
                let count = held.len().div_ceil(2);
                (count, held[..count].to_vec())
            });
            let part = part.await.expect("a peer that behaves");
            assert!(part.len() <= 500);
            if part.is_empty() {
                let mut rest = [0; 10];
                return (all, stream.read(&mut rest).await);
            }
            all.extend(part);
        }
    });
    let sent = bytes(20_000);
    let mut left = &sent[..];
    while !left.is_empty() {
        let count = peer.write(&left[..left.len().min(3000)]).expect("the guest is there");
        left = &left[count..];
        machine.settle();
    }
    assert!(received.borrow().is_none(), "the peer is still there");
    drop(peer);
    machine.settle();
    assert_eq!(received.take(), Some((sent, Ok(0))));
    assert_eq!((machine.xen.foreign_mapped(), machine.xen.open_ports()), (0, 1));
}

#[test]
fn what_is_written_waits_for_room_and_has_nowhere_to_go_when_the_peer_is_gone() {
    let mut machine = Machine::new();
    let (mut peer, mut stream) = connected(&machine, 100);
    let written = machine.tasks.spawn_for(async move {
        let all = stream.write_all(&bytes(10_000)).await;
        (all, stream.flush().await, stream.write(&[]).await, stream.write_all(&bytes(5000)).await)
    });
    let mut received = vec![0; 10_000];
    for part in received.chunks_mut(1000) {
        machine.settle();
        assert_eq!(peer.receive(part), Ok(true));
    }
    machine.settle();
    assert!(received == bytes(10_000) && written.borrow().is_none());
    drop(peer);
    machine.settle();
    assert_eq!(written.take(), Some((Ok(()), Ok(()), Ok(0), Err(Broken(Error::Closed)))));
    assert_eq!(Broken(Error::Closed).kind(), ErrorKind::BrokenPipe);
}

/// The bytes of a feed with so many readings.
fn feed_of(count: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    let sensor = encoder.sensor(&Sensor { name: "t", ..Sensor::default() }, &mut bytes).expect("a name");
    let readings: Vec<_> = (0..count).map(|time_ns| Reading { time_ns, value: 1.0 }).collect();
    encoder.readings_of(sensor, &readings, &mut bytes);
    encoder.end(&mut bytes);
    bytes
}

/// Has a guest read a feed over a channel. Says how many readings came in order, and how it ended.
fn read(bytes: &[u8]) -> (i64, Result<(), kernel::feed::Error>) {
    let mut machine = Machine::new();
    let (mut peer, stream) = connected(&machine, 1500);
    let reading = machine.tasks.spawn_for(async move {
        let mut feed = Feed::new(stream);
        let mut next = 0;
        loop {
            match feed.next().await {
                Ok(Some(Item::Readings(0, readings))) => {
                    for reading in readings.iter() {
                        assert_eq!(reading.time_ns, next);
                        next += 1;
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return (next, Ok(())),
                Err(error) => return (next, Err(error)),
            }
        }
    });
    let mut left = bytes;
    while !left.is_empty() && reading.borrow().is_none() {
        // Sizes that fit neither readings nor pages.
        let count = peer.write(&left[..left.len().min(777)]).expect("the guest is there");
        left = &left[count..];
        machine.settle();
    }
    drop(peer);
    machine.settle();
    assert_eq!((machine.xen.foreign_mapped(), machine.xen.open_ports()), (0, 1));
    reading.take().expect("the feed has an end")
}

#[test]
fn a_feed_comes_over_a_channel() {
    assert_eq!(read(&feed_of(10_000)), (10_000, Ok(())));
}

#[test]
fn a_feed_whose_sender_is_gone_or_wrong_says_so() {
    let whole = feed_of(1000);
    let before = &whole[..whole.len() - 16 - 160];
    assert_eq!(read(before), (990, Err(kernel::feed::Error::Interrupted { readings: 990 })));
    let wrong = [&whole[..whole.len() - 16], &[9; 16]].concat();
    assert_eq!(read(&wrong), (1000, Err(kernel::feed::Error::Fault(Fault::Kind(9)))));
}
