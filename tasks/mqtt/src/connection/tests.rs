//! Tests of a connection against a broker that is a list of bytes.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embassy_time::{Duration, Instant};
use embedded_io_async::{ErrorType, Read, Write};

use super::{Connection, Event};
use crate::packet::{Publish, Version};
use crate::reason::Reason;
use crate::watch::Due;
use crate::write::Connect;
use crate::{Fault, Session, watch};

/// What a broker has sent and what it has got.
#[derive(Default)]
struct Wire {
    to_us: VecDeque<u8>,
    from_us: Vec<u8>,
    closed: bool,
    /// How many bytes go through at once.
    pieces: usize,
}

/// Our end of the wire.
#[derive(Clone)]
struct Stream(Rc<RefCell<Wire>>);

impl ErrorType for Stream {
    type Error = Infallible;
}

impl Read for Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let waiting = self.0.borrow().to_us.is_empty();
        if waiting && !self.0.borrow().closed {
            pending::<()>().await;
        }
        let wire = &mut *self.0.borrow_mut();
        let count = buffer.len().min(wire.to_us.len()).min(wire.pieces);
        buffer.iter_mut().zip(wire.to_us.drain(..count)).for_each(|(place, byte)| *place = byte);
        Ok(count)
    }
}

impl Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let wire = &mut *self.0.borrow_mut();
        let count = bytes.len().min(wire.pieces);
        wire.from_us.extend(&bytes[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Stream {
    fn new(pieces: usize) -> Self {
        Self(Rc::new(RefCell::new(Wire { pieces, ..Wire::default() })))
    }

    fn say(&self, bytes: &[u8]) {
        self.0.borrow_mut().to_us.extend(bytes);
    }

    fn heard(&self) -> Vec<u8> {
        core::mem::take(&mut self.0.borrow_mut().from_us)
    }
}

/// The future's output, if it has one by now.
fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

const GREETING: Connect<'_> = Connect {
    version: Version::V5,
    client: "c",
    login: None,
    will: None,
    clean_start: true,
    session_s: 0,
    keepalive_s: 30,
    receive_maximum: 8,
};

const MESSAGE: Publish<'_> =
    Publish { topic: "t", qos: 1, id: 1, again: false, retained: false, subscriptions: 0, payload: b"1" };

/// Room for a connection.
struct Room {
    stream: Stream,
    input: [u8; 64],
    session: Session,
}

impl Room {
    /// With a wire that takes so many bytes at once.
    fn new(pieces: usize) -> Self {
        Self { stream: Stream::new(pieces), input: [0; 64], session: Session::default() }
    }

    /// What comes of a broker's first words.
    fn greet(&mut self, answer: &[u8]) -> Result<Connection<'_, Stream>, Fault> {
        self.stream.say(answer);
        let connection = poll(Connection::open(self.stream.clone(), &mut self.input, &mut self.session, GREETING));
        self.stream.heard();
        connection.unwrap()
    }

    /// A connection to a broker with these properties, which has kept the session or not.
    fn open(&mut self, resumed: bool, properties: &[u8]) -> Connection<'_, Stream> {
        let head = [0x20, 3 + properties.len() as u8, resumed.into(), 0, properties.len() as u8];
        self.greet(&[&head, properties].concat()).unwrap_or_else(|fault| panic!("{fault}"))
    }
}

fn message(id: u8) -> Vec<u8> {
    vec![0x32, 7, 0, 1, b't', 0, id, 0, b'0' + id]
}

fn taken(id: u8, payload: &[u8]) -> Option<Result<Event<'_>, Fault>> {
    Some(Ok(Event::Message(Publish { id: id.into(), payload, ..MESSAGE })))
}

#[test]
fn messages_are_acknowledged_after_they_were_taken() {
    for pieces in [1, 3, 1000] {
        let mut room = Room::new(pieces);
        let stream = room.stream.clone();
        let mut connection = room.open(false, &[]);
        stream.say(&[message(1), message(2)].concat());
        assert_eq!(poll(connection.next()), taken(1, b"1"));
        assert!(stream.heard().is_empty());
        assert_eq!(poll(connection.next()), taken(2, b"2"));
        assert_eq!(stream.heard(), [0x40, 2, 0, 1]);
        assert_eq!(poll(connection.next()), None);
        assert_eq!(stream.heard(), [0x40, 2, 0, 2]);
    }
}

#[test]
fn a_message_that_comes_again_is_acknowledged_and_no_event_of_its_own() {
    let mut room = Room::new(1000);
    let stream = room.stream.clone();
    stream.say(&[0x20, 3, 0, 0, 0]);
    stream.say(&message(1));
    let opened = poll(Connection::open(stream.clone(), &mut room.input, &mut room.session, GREETING)).unwrap();
    assert_eq!(poll(opened.unwrap().next()), taken(1, b"1"));
    stream.0.borrow_mut().to_us.clear();
    let mut again = message(1);
    again[0] |= 8;
    // The broker has kept the session; the second message looks the same, and is not.
    let mut connection = room.open(true, &[]);
    stream.say(&[again, message(1)].concat());
    assert_eq!(poll(connection.next()), Some(Ok(Event::Repeat)));
    assert_eq!(poll(connection.next()), taken(1, b"1"));
    assert_eq!(poll(connection.next()), None);
    assert_eq!(stream.heard(), [0x40, 2, 0, 1, 0x40, 2, 0, 1]);
}

#[test]
fn a_message_with_qos_2_is_taken_once_and_released() {
    let mut room = Room::new(1000);
    let stream = room.stream.clone();
    let mut connection = room.open(false, &[]);
    let message = [0x34, 7, 0, 1, b't', 0, 5, 0, b'x'];
    stream.say(&[&message[..], &message, &[0x62, 2, 0, 5], &message].concat());
    let event = || Some(Ok(Event::Message(Publish { qos: 2, id: 5, payload: b"x", ..MESSAGE })));
    assert_eq!(poll(connection.next()), event());
    assert_eq!(poll(connection.next()), Some(Ok(Event::Repeat)));
    assert_eq!(poll(connection.next()), event());
    assert_eq!(poll(connection.next()), None);
    assert_eq!(stream.heard(), [[0x50, 2, 0, 5], [0x50, 2, 0, 5], [0x70, 2, 0, 5], [0x50, 2, 0, 5]].concat());
}

#[test]
fn a_message_that_is_too_large_costs_itself() {
    for (first, answer) in [(0x30, &[][..]), (0x32, &[0x40, 2, 1, 9]), (0x34, &[0x50, 2, 1, 9])] {
        for (pieces, topic, payload) in [(1, 5, 200), (7, 60, 1), (1000, 200, 0), (50, 64, 20_000)] {
            let mut room = Room::new(pieces);
            let stream = room.stream.clone();
            let mut connection = room.open(false, &[]);
            let mut large = vec![first];
            let id: &[u8] = if first == 0x30 { &[] } else { &[1, 9] };
            let body = [&[0, topic as u8], &vec![b't'; topic][..], id, &[0], &vec![b'x'; payload]].concat();
            large.extend([body.len() as u8 | 0x80, (body.len() >> 7) as u8 | 0x80, (body.len() >> 14) as u8]);
            large.extend(&body);
            stream.say(&large);
            stream.say(&message(1));
            // What the buffer has room for, behind what comes before a topic.
            let topic = "t".repeat(topic.min(64 - 7));
            let event = Event::TooLarge { topic, length: large.len() };
            assert_eq!(poll(connection.next()), Some(Ok(event)));
            assert_eq!(poll(connection.next()), taken(1, b"1"));
            assert_eq!(stream.heard(), answer);
        }
    }
}

#[test]
fn a_message_that_cannot_be_read_costs_itself() {
    let topic = || "t".to_owned();
    for (what, body, topic) in [
        ("a topic that is no text", &[0, 1, 0xff, 0, 9, 0][..], "\u{fffd}".to_owned()),
        ("an unknown property", &[0, 1, b't', 0, 9, 2, 0x7f, 0], topic()),
        ("more properties than there is room", &[0, 1, b't', 0, 9, 100, 1], topic()),
        ("nothing behind its number", &[0, 1, b't', 0, 9], topic()),
    ] {
        let mut room = Room::new(1000);
        let stream = room.stream.clone();
        let mut connection = room.open(false, &[]);
        stream.say(&[&[0x32, body.len() as u8], body, &message(1)].concat());
        assert_eq!(poll(connection.next()), Some(Ok(Event::Malformed { topic })), "{what}");
        assert_eq!(poll(connection.next()), taken(1, b"1"), "{what}");
        assert_eq!(stream.heard(), [0x40, 2, 0, 9], "{what}");
    }
}

#[test]
fn a_message_that_cannot_be_taken_is_known_when_it_comes_again() {
    let large = [&[0, 1, b't', 1, 9, 0][..], &[b'x'; 90]].concat();
    let unreadable = [0, 1, b't', 1, 9, 2, 0x7f, 0];
    for body in [&large[..], &unreadable] {
        let mut room = Room::new(1000);
        let stream = room.stream.clone();
        let mut connection = room.open(false, &[]);
        for (first, is_new) in [(0x32, true), (0x3a, false), (0x32, true)] {
            stream.say(&[&[first, body.len() as u8], body].concat());
            let event = poll(connection.next()).unwrap();
            assert_eq!(matches!(event, Ok(Event::TooLarge { .. } | Event::Malformed { .. })), is_new, "{event:?}");
            assert_eq!(event == Ok(Event::Repeat), !is_new);
        }
        assert_eq!(poll(connection.next()), None);
        assert_eq!(stream.heard(), [0x40, 2, 1, 9].repeat(3));
    }
}

#[test]
fn the_alias_of_somebody_elses_topic_does_no_harm() {
    let mut room = Room::new(1000);
    let stream = room.stream.clone();
    let mut connection = room.open(false, &[]);
    stream.say(&[0x32, 10, 0, 1, b't', 0, 1, 3, 0x23, 0, 7, b'1']);
    assert_eq!(poll(connection.next()), taken(1, b"1"));
}

#[test]
fn a_wait_that_is_given_up_loses_nothing() {
    let mut room = Room::new(1000);
    let stream = room.stream.clone();
    let mut connection = room.open(false, &[]);
    for byte in message(5) {
        assert_eq!(poll(connection.next()), None);
        stream.say(&[byte]);
    }
    assert_eq!(poll(connection.next()), taken(5, b"5"));
}

#[test]
fn many_messages_go_through_a_small_buffer() {
    let mut room = Room::new(7);
    let stream = room.stream.clone();
    stream.say(&[0x20, 3, 0, 0, 0]);
    let opened = Connection::open(stream.clone(), &mut room.input[..13], &mut room.session, GREETING);
    let mut connection = poll(opened).unwrap().unwrap_or_else(|fault| panic!("{fault}"));
    stream.heard();
    for _ in 0..25 {
        stream.say(&message(3));
    }
    for _ in 0..25 {
        assert_eq!(poll(connection.next()), taken(3, b"3"));
    }
    assert_eq!(poll(connection.next()), None);
    assert_eq!(stream.heard().len(), 25 * 4);
}

#[test]
fn after_many_acknowledgements_the_broker_is_asked_once() {
    let mut room = Room::new(1000);
    let stream = room.stream.clone();
    let mut connection = room.open(false, &[]);
    for id in 1..=40 {
        stream.say(&message(id));
        assert!(matches!(poll(connection.next()), Some(Ok(Event::Message(_)))));
    }
    assert_eq!(poll(connection.next()), None);
    let heard = stream.heard();
    assert_eq!(heard.len(), 40 * 4 + 2);
    assert_eq!(heard[32 * 4..33 * 4 - 2], [0xc0, 0]);
    stream.say(&[0xd0, 0]);
    assert_eq!(poll(connection.next()), Some(Ok(Event::Alive)));
}

#[test]
fn no_more_goes_out_than_the_broker_takes() {
    let mut room = Room::new(1000);
    let stream = room.stream.clone();
    // At most two at once, of at most 13 bytes.
    let mut connection = room.open(false, &[0x21, 0, 2, 0x27, 0, 0, 0, 13]);
    assert!(!connection.publish("t", 1, b"longer"));
    assert!(!connection.is_waiting());
    assert!(connection.may_publish() && connection.publish("t", 1, b"short"));
    assert!(connection.may_publish() && connection.publish("t", 2, b"short"));
    assert!(!connection.may_publish() && connection.is_waiting());
    stream.say(&[0x40, 2, 0, 1, 0x40, 3, 0, 2, 0x97]);
    assert_eq!(poll(connection.next()), Some(Ok(Event::Published { id: 1, refused: None })));
    assert_eq!(stream.heard().len(), 2 * 13);
    assert!(connection.may_publish());
    assert_eq!(poll(connection.next()), Some(Ok(Event::Published { id: 2, refused: Some(Reason(0x97)) })));
}

#[test]
fn each_subscription_has_its_answer() {
    let mut room = Room::new(1000);
    let stream = room.stream.clone();
    let mut connection = room.open(false, &[]);
    connection.subscribe(["a", "b"].into_iter());
    stream.say(&[0xd0, 0, 0x90, 4, 0, 2, 0, 0x87, 0x90, 4, 0, 1, 0, 2]);
    assert_eq!(poll(connection.next()), Some(Ok(Event::Alive)));
    assert_eq!(poll(connection.next()), Some(Ok(Event::Subscribed { id: 2, granted: Err(Reason(0x87)) })));
    assert_eq!(poll(connection.next()), Some(Ok(Event::Subscribed { id: 1, granted: Ok(2) })));
    assert_eq!(stream.heard(), b"\x82\x09\0\x01\x02\x0b\x01\0\x01a\x22\x82\x09\0\x02\x02\x0b\x02\0\x01b\x22");
}

#[test]
fn every_end_has_its_reason() {
    for (bytes, fault) in [
        (&[0xe0, 1, 0x8e][..], Fault::Ended(Reason::TAKEN_OVER)),
        (&[0xe0, 0], Fault::Closed),
        (&[0x20, 3, 0, 0, 0], Fault::Protocol),
        (&[0x30, 0xff, 0xff, 0xff, 0xff], Fault::Protocol),
        // Too large, and no message, or one whose topic does not fit it.
        (&[0x40, 100, 0, 0, 0, 0], Fault::Protocol),
        (&[0x32, 100, 0, 97, 0, 0], Fault::Protocol),
        (&[0x00, 0], Fault::Protocol),
    ] {
        let mut room = Room::new(1000);
        let stream = room.stream.clone();
        let mut connection = room.open(false, &[]);
        stream.say(bytes);
        assert_eq!(poll(connection.next()), Some(Err(fault)), "{bytes:?}");
    }
    let mut room = Room::new(1000);
    let stream = room.stream.clone();
    let mut connection = room.open(false, &[]);
    stream.0.borrow_mut().closed = true;
    assert_eq!(poll(connection.next()), Some(Err(Fault::Closed)));
}

#[test]
fn a_broker_that_lets_nobody_in_says_why() {
    for (answer, fault) in [
        (&[0x20, 3, 0, 0x87, 0][..], Fault::Refused(Reason(0x87))),
        (&[0x20, 2, 0, 5], Fault::Refused(Reason(0x87))),
        (&[0x20, 2, 0, 1], Fault::Refused(Reason::VERSION)),
        (&[0xd0, 0], Fault::Protocol),
        (b"HTTP/1.1 400 Bad Request\r\n", Fault::Protocol),
        // An alert of TLS: the connection cannot begin so.
        (&[0x15, 3, 1, 0, 2, 2, 70], Fault::Tls),
    ] {
        assert_eq!(Room::new(1000).greet(answer).err(), Some(fault), "{answer:?}");
    }
    for (answer, fault) in [(&[][..], Fault::Unanswered), (&[0x20], Fault::Closed), (&[0x15, 3], Fault::Tls)] {
        let mut room = Room::new(1000);
        room.stream.0.borrow_mut().closed = true;
        assert_eq!(room.greet(answer).err(), Some(fault), "{answer:?}");
    }
}

#[test]
fn the_keepalive_is_the_brokers_if_it_has_one() {
    // Ours is 30 s.
    for (properties, seconds) in [(&[][..], 30), (&[0x13, 0, 10], 10), (&[0x13, 0, 0], 30)] {
        let mut room = Room::new(1000);
        let connection = room.open(false, properties);
        let due = |after| connection.watch.due(Instant::now() + after);
        let patience = watch::patience(Duration::from_secs(seconds));
        assert_eq!(due(patience), Due::Silent, "{properties:?}");
        assert_eq!(due(patience - Duration::from_secs(1)), Due::Ask, "{properties:?}");
        assert!(matches!(due(Duration::from_secs(0)), Due::Nothing(_)), "{properties:?}");
    }
}

#[test]
fn what_a_broker_says_of_itself_is_kept() {
    for resumed in [false, true] {
        assert_eq!(Room::new(1000).open(resumed, &[]).is_resumed(), resumed);
    }
    for (properties, acknowledges, packet_bytes) in
        [(&[][..], true, u32::MAX), (&[0x24, 0], false, u32::MAX), (&[0x27, 0, 0, 1, 0], true, 256)]
    {
        let mut room = Room::new(1000);
        let connection = room.open(false, properties);
        assert_eq!((connection.acknowledges(), connection.packet_bytes()), (acknowledges, packet_bytes));
    }
}

#[test]
fn an_older_broker_is_told_what_need_not_be_kept() {
    let filter = ["a".to_owned()];
    for (ends, bytes) in
        [(Some(&filter[..]), &b"\xa2\x05\0\x01\0\x01a\xe0\0"[..]), (Some(&[]), &b"\xe0\0"[..]), (None, &b"\xe0\0"[..])]
    {
        let mut room = Room::new(1000);
        let stream = room.stream.clone();
        stream.say(&[0x20, 2, 0, 0]);
        let greeting = Connect { version: Version::V311, ..GREETING };
        let connection = poll(Connection::open(stream.clone(), &mut room.input, &mut room.session, greeting));
        let connection = connection.unwrap().unwrap_or_else(|fault| panic!("{fault}"));
        stream.heard();
        poll(connection.close(ends)).unwrap();
        assert_eq!(stream.heard(), bytes);
    }
}

#[test]
fn the_end_is_said() {
    let mut room = Room::new(3);
    let stream = room.stream.clone();
    poll(room.open(false, &[]).close(Some(&[]))).unwrap();
    assert_eq!(stream.heard(), [0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]);
    poll(room.open(false, &[]).close(None)).unwrap();
    assert_eq!(stream.heard(), [0xe0, 0]);
}
