//! Tests of what is a repeat: the rules one by one, and a broker that loses connections at random.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{ASK_AT, REMEMBERED, Session, TooMany, hash};

#[test]
fn the_same_message_again_is_a_repeat_only_if_the_broker_says_so() {
    let mut session = Session::default();
    session.connected(false);
    assert!(session.take(1, false, 7));
    // The same text in another message, and in the same connection.
    assert!(session.take(2, false, 7));
    session.connected(true);
    assert!(!session.take(1, true, 7));
    assert!(!session.take(2, true, 7));
    // A new reading that looks like the last one.
    assert!(session.take(3, false, 7));
    assert!(session.take(1, false, 7));
}

#[test]
fn a_message_that_was_never_received_is_new_whatever_its_flag() {
    let mut session = Session::default();
    assert!(session.take(1, false, 7));
    session.connected(true);
    assert!(session.take(2, true, 7));
    // The broker has seen the acknowledgement of 1, and uses its number again.
    assert!(session.take(1, true, 8));
    assert!(!session.take(1, true, 8));
}

#[test]
fn an_acknowledgement_has_arrived_when_a_later_question_is_answered() {
    let mut session = Session::default();
    assert!(session.take(1, false, 7));
    session.asked(0);
    assert!(session.take(2, false, 7));
    session.answered();
    session.connected(true);
    assert!(session.take(1, true, 7));
    assert!(!session.take(2, true, 7));
}

#[test]
fn an_answer_in_another_connection_confirms_nothing() {
    let mut session = Session::default();
    assert!(session.take(1, false, 7));
    session.asked(0);
    session.connected(true);
    session.answered();
    assert!(!session.take(1, true, 7));
}

#[test]
fn a_broker_without_memory_repeats_nothing() {
    let mut session = Session::default();
    assert!(session.take(1, false, 7));
    assert_eq!(session.hold(2), Ok(true));
    session.connected(false);
    assert!(session.take(1, true, 7));
    assert_eq!(session.hold(2), Ok(true));
}

#[test]
fn with_qos_2_a_number_stands_for_its_message_until_it_is_released() {
    let mut session = Session::default();
    assert_eq!(session.hold(5), Ok(true));
    assert_eq!(session.hold(5), Ok(false));
    session.connected(true);
    assert_eq!(session.hold(5), Ok(false));
    session.release(5);
    assert_eq!(session.hold(5), Ok(true));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut session = Session::default();
    for id in 1..=2000 {
        assert_eq!(session.should_ask(), id > ASK_AT as u16);
        assert!(session.take(id, false, 7));
        assert!(session.unconfirmed.len() <= REMEMBERED);
        assert_eq!(session.hold(id), if id <= REMEMBERED as u16 { Ok(true) } else { Err(TooMany) });
    }
}

/// A message at the broker, which has been sent at least once if it has DUP set.
#[derive(Clone, Copy)]
struct Sent {
    id: u16,
    hash: u32,
    again: bool,
}

/// The broker, and both ways of the wire.
#[derive(Default)]
struct Broker {
    under_way: Vec<Sent>,
    /// Messages, or the answer to a question.
    to_us: VecDeque<Option<Sent>>,
    /// Acknowledgements, or a question.
    from_us: VecDeque<Option<u16>>,
    last: u16,
    sent: u32,
}

impl Broker {
    /// Sends a new message, if it may. Its number is the next one; many messages have the same bytes.
    fn send(&mut self, numbers: u16, hash: u32) {
        let id = self.last % numbers + 1;
        if self.under_way.len() < 8 && self.under_way.iter().all(|other| other.id != id) {
            self.last = id;
            let message = Sent { id, hash, again: false };
            self.under_way.push(Sent { again: true, ..message });
            self.to_us.push_back(Some(message));
            self.sent += 1;
        }
    }

    /// Sees what has come first.
    fn see(&mut self) {
        match self.from_us.pop_front() {
            Some(Some(id)) => self.under_way.retain(|other| other.id != id),
            Some(None) => self.to_us.push_back(None),
            None => {}
        }
    }

    /// Connects again: all that was on the wire is lost, and what is under way is sent again.
    fn reconnect(&mut self) {
        self.from_us.clear();
        self.to_us = self.under_way.iter().copied().map(Some).collect();
    }
}

proptest! {
    /// Whatever is lost with a connection, in either direction, each message is taken once. Many messages have the same
    /// bytes, and numbers come again soon, so that only what the protocol says can tell repeats.
    #[test]
    fn every_message_is_taken_once(
        steps in prop::collection::vec((0u8..16, any::<bool>()), 1..600),
        numbers in 60u16..80,
    ) {
        let mut session = Session::default();
        session.connected(false);
        let mut broker = Broker::default();
        let (mut taken, mut quiet) = (0, true);
        for (step, choice) in steps {
            match step {
                0..=5 => broker.send(numbers, choice.into()),
                6..=10 => match broker.to_us.pop_front() {
                    Some(Some(message)) => {
                        taken += u32::from(session.take(message.id, message.again, message.hash));
                        broker.from_us.push_back(Some(message.id));
                    }
                    Some(None) => {
                        session.answered();
                        quiet = true;
                    }
                    None => {}
                },
                11..=14 => broker.see(),
                _ if choice => {
                    broker.reconnect();
                    session.connected(true);
                    quiet = true;
                }
                _ => {}
            }
            if quiet && (session.should_ask() || step == 14 && choice) {
                session.asked(0);
                broker.from_us.push_back(None);
                quiet = false;
            }
        }
        for message in broker.to_us.into_iter().flatten() {
            taken += u32::from(session.take(message.id, message.again, message.hash));
        }
        prop_assert_eq!(taken, broker.sent);
    }
}

#[test]
fn each_byte_of_a_message_counts_and_where_its_topic_ends() {
    let messages: [(&[u8], &[u8]); 6] =
        [(b"a", b"x"), (b"a", b"y"), (b"b", b"x"), (b"", b"ax"), (b"ax", b""), (b"a", b"")];
    for (index, (topic, payload)) in messages.iter().enumerate() {
        let earlier = messages[..index].iter();
        assert!(earlier.map(|(topic, payload)| hash(topic, payload)).all(|one| one != hash(topic, payload)), "{index}");
    }
    // By an implementation of its own.
    assert_eq!((hash(b"", b""), hash(b"a/x", b"1")), (0x7a0b_824e, 0x7c02_832f));
}
