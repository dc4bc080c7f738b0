//! Tests of a connection against a broker that is a list of bytes.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};

use super::{Connection, Event};
use crate::link::Fault;
use crate::mqtt::packet::Connect;

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

const GREETING: Connect<'_> =
    Connect { client: "c", clean_start: true, session_s: 0, keepalive_s: 30, packet_bytes: 64, receive_maximum: 8 };

/// A connection to a broker with these properties.
fn open<'b>(stream: &Stream, input: &'b mut [u8], properties: &[u8]) -> Result<Connection<'b, Stream>, Fault> {
    stream.say(&[&[0x20, 3 + properties.len() as u8, 0, 0, properties.len() as u8], properties].concat());
    let connection = poll(Connection::open(stream.clone(), input, GREETING)).unwrap();
    stream.heard();
    connection
}

fn message(id: u8) -> Vec<u8> {
    vec![0x32, 7, 0, 1, b't', 0, id, 0, b'0' + id]
}

#[test]
fn messages_are_acknowledged_after_they_were_taken() {
    for pieces in [1, 3, 1000] {
        let stream = Stream::new(pieces);
        let mut input = [0; 64];
        let mut connection = open(&stream, &mut input, &[]).unwrap();
        stream.say(&[message(1), message(2)].concat());
        assert_eq!(poll(connection.next()), Some(Ok(Event::Message { topic: "t", payload: b"1" })));
        assert!(stream.heard().is_empty());
        assert_eq!(poll(connection.next()), Some(Ok(Event::Message { topic: "t", payload: b"2" })));
        assert_eq!(stream.heard(), [0x40, 2, 0, 1]);
        assert_eq!(poll(connection.next()), None);
        assert_eq!(stream.heard(), [0x40, 2, 0, 2]);
    }
}

#[test]
fn a_wait_that_is_given_up_loses_nothing() {
    let stream = Stream::new(1000);
    let mut input = [0; 64];
    let mut connection = open(&stream, &mut input, &[]).unwrap();
    for byte in message(5) {
        assert_eq!(poll(connection.next()), None);
        stream.say(&[byte]);
    }
    assert_eq!(poll(connection.next()), Some(Ok(Event::Message { topic: "t", payload: b"5" })));
}

#[test]
fn many_messages_go_through_a_small_buffer() {
    let stream = Stream::new(7);
    let mut input = [0; 13];
    let mut connection = open(&stream, &mut input, &[]).unwrap();
    for _ in 0..50 {
        stream.say(&message(3));
    }
    for _ in 0..50 {
        assert_eq!(poll(connection.next()), Some(Ok(Event::Message { topic: "t", payload: b"3" })));
    }
    assert_eq!(poll(connection.next()), None);
    assert_eq!(stream.heard().len(), 50 * 4);
}

#[test]
fn no_more_goes_out_than_the_broker_takes() {
    let stream = Stream::new(1000);
    let mut input = [0; 64];
    // At most two at once, of at most 13 bytes.
    let mut connection = open(&stream, &mut input, &[0x21, 0, 2, 0x27, 0, 0, 0, 13]).unwrap();
    assert!(!connection.publish("t", 1, b"longer"));
    assert!(connection.may_publish() && connection.publish("t", 1, b"short"));
    assert!(connection.may_publish() && connection.publish("t", 2, b"short"));
    assert!(!connection.may_publish());
    stream.say(&[0x40, 2, 0, 1, 0x40, 3, 0, 2, 0x97]);
    assert_eq!(poll(connection.next()), Some(Ok(Event::Published { id: 1, refused: false })));
    assert_eq!(stream.heard().len(), 2 * 13);
    assert!(connection.may_publish());
    assert_eq!(poll(connection.next()), Some(Ok(Event::Published { id: 2, refused: true })));
}

#[test]
fn subscriptions_are_accepted_or_refused() {
    for (reason, event) in [(1, Ok(Event::Subscribed)), (0, Ok(Event::Subscribed)), (0x87, Err(Fault::Refused))] {
        let stream = Stream::new(1000);
        let mut input = [0; 64];
        let mut connection = open(&stream, &mut input, &[]).unwrap();
        connection.subscribe(["a"].into_iter());
        stream.say(&[0xd0, 0, 0x90, 4, 0, 1, 0, reason]);
        assert_eq!(poll(connection.next()), Some(event));
        assert_eq!(stream.heard()[0], 0x82);
    }
}

#[test]
fn every_end_has_its_reason() {
    for (bytes, fault) in [
        (&[0xe0, 1, 0x8b][..], Fault::Closed),
        (&[0x20, 3, 0, 0, 0], Fault::Protocol),
        (&[0x30, 0xff, 0xff, 0xff, 0xff], Fault::Protocol),
        (&[0x30, 63], Fault::Protocol),
        (&[0x00, 0], Fault::Protocol),
    ] {
        let stream = Stream::new(1000);
        let mut input = [0; 64];
        let mut connection = open(&stream, &mut input, &[]).unwrap();
        stream.say(bytes);
        assert_eq!(poll(connection.next()), Some(Err(fault)), "{bytes:?}");
    }
    let stream = Stream::new(1000);
    let mut input = [0; 64];
    let mut connection = open(&stream, &mut input, &[]).unwrap();
    stream.0.borrow_mut().closed = true;
    assert_eq!(poll(connection.next()), Some(Err(Fault::Closed)));
}

#[test]
fn a_broker_that_lets_nobody_in_refuses() {
    for answer in [&[0x20, 3, 0, 0x87, 0][..], &[0x20, 5, 0, 0, 2, 0x24, 0]] {
        let stream = Stream::new(1000);
        stream.say(answer);
        let mut input = [0; 64];
        let opened = poll(Connection::open(stream, &mut input, GREETING)).unwrap();
        assert_eq!(opened.err(), Some(Fault::Refused));
    }
    let stream = Stream::new(1000);
    stream.say(&[0xd0, 0]);
    let mut input = [0; 64];
    assert_eq!(poll(Connection::open(stream, &mut input, GREETING)).unwrap().err(), Some(Fault::Protocol));
}

#[test]
fn the_end_is_said() {
    let stream = Stream::new(3);
    let mut input = [0; 64];
    let connection = open(&stream, &mut input, &[]).unwrap();
    poll(connection.close()).unwrap();
    assert_eq!(stream.heard(), [0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]);
}
