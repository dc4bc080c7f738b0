//! What goes in comes out, in every ring and across every end of one.

use std::collections::VecDeque;
use std::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, proptest};
use proptest::prop_oneof;

use super::{End, Pair, layouts, stream};
use crate::{Error, PIECE_BYTES, Pieces};

/// A packet that begins at every place of a ring, one after the other: 7 is no divisor of its size. Of the largest rings,
/// at places around the end.
#[test]
fn a_packet_arrives_whole_from_every_place_of_every_ring() {
    for order in 10..=20 {
        let packets = 1u32 << order.min(16);
        // The other ring is one that goes with any.
        let mut pair = Pair::after(order, 12, 0u32.wrapping_sub(packets / 2 * 7));
        for packet in 0..packets {
            let sent = u64::from(packet).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            assert_eq!(pair.client.send(&sent[..7]), Ok(true));
            let mut arrived = [0; 7];
            assert_eq!(pair.server.receive(&mut arrived), Ok(true));
            assert_eq!(arrived, sent[..7], "order {order}, packet {packet}");
        }
    }
}

#[test]
fn a_full_ring_arrives_from_every_place() {
    for start in 0..1024u32 {
        let mut pair = Pair::after(11, 10, start.wrapping_sub(500));
        let sent = stream(start as usize, 1024);
        assert_eq!(pair.server.send(&sent), Ok(true));
        assert_eq!((pair.server.writable(), pair.client.readable()), (Ok(0), Ok(1024)));
        let mut arrived = [0; 1024];
        assert_eq!(pair.client.receive(&mut arrived), Ok(true));
        assert_eq!(arrived[..], sent[..]);
        assert_eq!((pair.server.writable(), pair.client.readable()), (Ok(1024), Ok(0)));
    }
}

/// Both rings of each pair of orders are full at the same time, and neither is in the way of the other.
#[test]
fn full_rings_of_any_two_orders_do_not_touch_each_other() {
    for (left, right) in layouts() {
        let mut pair = Pair::after(left, right, 77);
        let (to_server, to_client) = (stream(1, 1 << left), stream(5, 1 << right));
        assert_eq!(pair.client.write(&to_server), Ok(1 << left));
        assert_eq!(pair.server.write(&to_client), Ok(1 << right));
        let (mut at_server, mut at_client) = (std::vec![0; 1 << left], std::vec![0; 1 << right]);
        assert_eq!(pair.server.read(&mut at_server), Ok(1 << left));
        assert_eq!(pair.client.read(&mut at_client), Ok(1 << right));
        assert!(at_server == to_server && at_client == to_client, "orders {left} and {right}");
    }
}

#[test]
fn a_packet_is_sent_and_received_whole_or_not_at_all() {
    let mut pair = Pair::new(10, 11);
    assert_eq!(pair.client.send(&[7; 1000]), Ok(true));
    assert_eq!(pair.client.send(&[8; 25]), Ok(false));
    assert_eq!(pair.client.send(&[]), Ok(true));
    assert_eq!(pair.server.readable(), Ok(1000));
    let mut packet = [0; 1001];
    assert_eq!(pair.server.receive(&mut packet), Ok(false));
    assert_eq!(packet, [0; 1001]);
    assert_eq!(pair.server.receive(&mut packet[..1000]), Ok(true));
    assert_eq!(packet[..1000], [7; 1000]);
    assert_eq!((pair.client.send(&[0; 1025]), pair.server.receive(&mut [0; 1025])), (TOO_LONG, TOO_LONG));
    assert_eq!((pair.server.send(&[0; 2049]), pair.client.receive(&mut [0; 2049])), (TOO_LONG, TOO_LONG));
}

const TOO_LONG: Result<bool, Error> = Err(Error::TooLong);

#[test]
fn a_stream_takes_what_finds_room_and_gives_what_is_there() {
    let mut pair = Pair::new(10, 12);
    assert_eq!(pair.client.write(&[1; 1500]), Ok(1024));
    assert_eq!(pair.client.write(&[1; 1]), Ok(0));
    let mut some = [0; 1000];
    assert_eq!((pair.server.read(&mut some), pair.server.read(&mut some)), (Ok(1000), Ok(24)));
    assert_eq!(pair.server.read(&mut some), Ok(0));
}

#[test]
fn a_piece_lies_still_until_it_is_consumed_and_a_rest_is_joined_by_what_follows() {
    let mut pair = Pair::new(12, 17);
    let mut pieces = Pieces::new(PIECE_BYTES).expect("memory");
    let sent = stream(0, 100_000);
    assert_eq!(pair.server.write(&sent), Ok(100_000));
    assert_eq!(pieces.fill(&mut pair.client, 1), Ok(&sent[..PIECE_BYTES]));
    // What is there is enough: nothing is read, and room in the ring stays what it was.
    assert_eq!(pair.client.readable(), Ok(100_000 - PIECE_BYTES));
    pieces.consume(PIECE_BYTES - 10);
    assert_eq!(pieces.fill(&mut pair.client, 10), Ok(&sent[PIECE_BYTES - 10..PIECE_BYTES]));
    assert_eq!(pieces.fill(&mut pair.client, 11), Ok(&sent[PIECE_BYTES - 10..2 * PIECE_BYTES - 10]));
    let mut taken = PIECE_BYTES - 10;
    while taken < sent.len() {
        let held = pieces.fill(&mut pair.client, 16).expect("whole").len();
        assert_eq!(pieces.held(), &sent[taken..taken + held]);
        pieces.consume(held);
        taken += held;
    }
    assert_eq!(pieces.fill(&mut pair.client, 1), Ok(&[][..]));
}

#[test]
#[should_panic = "more than is held"]
fn more_than_is_held_cannot_be_consumed() {
    Pieces::new(10).expect("memory").consume(1);
}

/// What one end does.
#[derive(Debug, Clone, Copy)]
enum Step {
    Write(usize),
    Send(usize),
    Read(usize),
    Receive(usize),
    Piece,
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    // Often nearly as much as one of the smaller rings holds.
    let count = || prop_oneof![0..20usize, 1000..1050usize, 0..5000usize];
    let step = prop_oneof![
        count().prop_map(Step::Write),
        count().prop_map(Step::Send),
        count().prop_map(Step::Read),
        count().prop_map(Step::Receive),
        Just(Step::Piece),
    ];
    vec((any::<bool>(), step), 0..60)
}

/// What an end must do: its rings as queues of bytes, the one that it reads and the one that it writes.
struct Model<'a> {
    inward: &'a mut VecDeque<u8>,
    inward_size: usize,
    outward: &'a mut VecDeque<u8>,
    outward_size: usize,
}

impl Model<'_> {
    /// Has the end do a step, which must have the outcome that it has here. `number` makes steps different.
    fn check(&mut self, step: Step, number: usize, end: &mut End, pieces: &mut Pieces) {
        let room = self.outward_size - self.outward.len();
        match step {
            Step::Write(length) => {
                let bytes = stream(number, length);
                let written = length.min(room);
                assert_eq!(end.write(&bytes), Ok(written));
                self.outward.extend(&bytes[..written]);
            }
            Step::Send(length) => {
                let bytes = stream(number, length);
                assert_eq!(end.send(&bytes), if length > self.outward_size { TOO_LONG } else { Ok(length <= room) });
                self.outward.extend(if length <= room { &bytes[..] } else { &[] });
            }
            Step::Read(length) => {
                let mut bytes = std::vec![0; length];
                let read = length.min(self.inward.len());
                assert_eq!(end.read(&mut bytes), Ok(read));
                assert!(self.inward.drain(..read).eq(bytes[..read].iter().copied()));
            }
            Step::Receive(length) => {
                let mut bytes = std::vec![0; length];
                let whole = length <= self.inward.len();
                assert_eq!(end.receive(&mut bytes), if length > self.inward_size { TOO_LONG } else { Ok(whole) });
                let read = if whole { length } else { 0 };
                assert!(self.inward.drain(..read).eq(bytes[..read].iter().copied()));
            }
            Step::Piece => {
                let held = pieces.fill(end, 1).expect("whole");
                assert_eq!(held.is_empty(), self.inward.is_empty());
                assert!(self.inward.drain(..held.len()).eq(held.iter().copied()));
                let count = held.len();
                pieces.consume(count);
            }
        }
    }
}

proptest! {
    #[test]
    fn two_ends_do_what_two_queues_do(
        (left, right) in proptest::sample::select(layouts().collect::<Vec<_>>()),
        position in any::<u32>(),
        steps in steps(),
    ) {
        let mut pair = Pair::after(left, right, position);
        let (mut to_server, mut to_client) = (VecDeque::new(), VecDeque::new());
        let (to_server_size, to_client_size) = (1 << left, 1 << right);
        let mut pieces = Pieces::new(100).expect("memory");
        for (number, (at_server, step)) in steps.into_iter().enumerate() {
            let (inward, inward_size, outward, outward_size, end) = if at_server {
                (&mut to_server, to_server_size, &mut to_client, to_client_size, &mut pair.server)
            } else {
                (&mut to_client, to_client_size, &mut to_server, to_server_size, &mut pair.client)
            };
            Model { inward, inward_size, outward, outward_size }.check(step, number, end, &mut pieces);
        }
    }
}
