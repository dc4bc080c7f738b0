//! The client against a socket that says what a test wants, byte for byte.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;
use xenstore::{Change, Client, Error};

const READ: u32 = 2;
const WATCH: u32 = 4;
const WATCH_EVENT: u32 = 15;
const ERROR: u32 = 16;

fn message(kind: u32, number: u32, payload: &[u8]) -> Vec<u8> {
    let header = [kind, number, 0, u32::try_from(payload.len()).unwrap()];
    [header.into_iter().flat_map(u32::to_ne_bytes).collect(), payload.to_vec()].concat()
}

/// A store that serves each connection with the next of these.
struct Store {
    folder: TempDir,
    thread: JoinHandle<()>,
}

impl Store {
    fn new(serve: Vec<fn(&mut UnixStream)>) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let thread = std::thread::spawn(move || {
            for serve in serve {
                serve(&mut listener.accept().unwrap().0);
            }
        });
        Self { folder, thread }
    }

    fn client(&self) -> Client {
        Client::at(&self.folder.path().join("socket"))
    }
}

/// Takes a request; returns its kind, number and payload.
fn take(stream: &mut UnixStream) -> (u32, u32, Vec<u8>) {
    let mut header = [0; 16];
    stream.read_exact(&mut header).unwrap();
    let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
    let mut payload = vec![0; word(12) as usize];
    stream.read_exact(&mut payload).unwrap();
    (word(0), word(4), payload)
}

fn answer(stream: &mut UnixStream, value: &[u8]) {
    let (kind, number, _) = take(stream);
    stream.write_all(&message(kind, number, value)).unwrap();
}

#[test]
fn a_value_comes_byte_for_byte_and_in_pieces() {
    let store = Store::new(vec![|stream| {
        let (kind, number, payload) = take(stream);
        assert_eq!((kind, payload.as_slice()), (READ, b"data/result\0".as_slice()));
        for byte in message(READ, number, &[0, 255, 10]) {
            stream.write_all(&[byte]).unwrap();
        }
    }]);
    assert_eq!(store.client().read("data/result").unwrap(), Some(vec![0, 255, 10]));
    store.thread.join().unwrap();
}

#[test]
fn what_is_not_there_is_no_error_and_what_is_refused_is() {
    let store = Store::new(vec![|stream| {
        for code in [b"ENOENT\0".as_slice(), b"EACCES\0"] {
            let (_, number, _) = take(stream);
            stream.write_all(&message(ERROR, number, code)).unwrap();
        }
    }]);
    let mut client = store.client();
    assert_eq!(client.read("gone").unwrap(), None);
    assert_eq!(client.read("secret").unwrap_err().to_string(), "xenstore secret: EACCES");
}

#[test]
fn events_between_request_and_answer_are_kept() {
    let store = Store::new(vec![|stream| {
        answer(stream, b"OK\0");
        let (_, number, _) = take(stream);
        stream.write_all(&message(WATCH_EVENT, 0, b"data/a\0data\0")).unwrap();
        stream.write_all(&message(READ, number, b"value")).unwrap();
        take(stream);
    }]);
    let mut client = store.client();
    client.watch("data").unwrap();
    assert_eq!(client.read("x").unwrap().unwrap(), b"value");
    assert!(client.has_event());
    assert_eq!(client.event(Duration::ZERO).unwrap().as_deref(), Some("data"));
    assert_eq!(client.event(Duration::from_millis(1)).unwrap(), None);
}

#[test]
fn garbage_is_an_error_and_the_next_request_has_a_connection_of_its_own() {
    let store = Store::new(vec![
        |stream| {
            let (_, number, _) = take(stream);
            stream.write_all(&message(READ, number + 1, b"of another")).unwrap();
        },
        |stream| {
            let (_, number, _) = take(stream);
            stream.write_all(&message(WATCH, number, b"")).unwrap();
        },
        |stream| {
            take(stream);
            stream.write_all(&[0xff; 16]).unwrap();
        },
        |stream| drop(take(stream)),
        |stream| answer(stream, b"right"),
    ]);
    let mut client = store.client();
    for _ in 0..3 {
        assert!(matches!(client.read("a").unwrap_err(), Error::Protocol(_)));
    }
    assert!(matches!(client.read("a").unwrap_err(), Error::Unreachable { .. }));
    assert_eq!(client.read("a").unwrap().unwrap(), b"right");
}

#[test]
fn a_store_that_is_not_there_is_named_with_its_socket() {
    let error = Client::at("/nowhere/socket".as_ref()).read("a").unwrap_err().to_string();
    assert!(error.starts_with("xenstored (/nowhere/socket): "), "{error}");
}

#[test]
fn changes_are_sent_before_the_first_is_answered_and_the_first_that_is_refused_is_named() {
    let store = Store::new(vec![|stream| {
        let asked: Vec<_> = (0..4).map(|_| take(stream)).collect();
        let payloads: Vec<_> = asked.iter().map(|(kind, _, payload)| (*kind, payload.as_slice())).collect();
        assert_eq!(
            payloads,
            [(11, b"a\0one".as_slice()), (14, b"a\0n0\0r5\0"), (14, b"b\0n5\0"), (8, b"5\x0077\x003\0"),]
        );
        for (place, (kind, number, _)) in asked.iter().enumerate() {
            let refused = message(ERROR, *number, b"EACCES\0");
            let done = message(*kind, *number, b"OK\0");
            stream.write_all(if place == 2 { &refused } else { &done }).unwrap();
        }
        answer(stream, b"after");
    }]);
    let mut client = store.client();
    let changes = [
        Change::Write { path: "a", value: b"one" },
        Change::Permit { path: "a", owner: 0, reader: Some(5) },
        Change::Permit { path: "b", owner: 5, reader: None },
        Change::Introduce { domain: 5, frame: 77, port: 3 },
    ];
    assert_eq!(client.change(&changes).unwrap_err().to_string(), "xenstore b: EACCES");
    assert_eq!(client.read("a").unwrap(), Some(b"after".to_vec()));
    store.thread.join().unwrap();
}
