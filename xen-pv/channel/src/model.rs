//! Both ends on two CPUs that reorder accesses to memory.
//!
//! `loom` runs each model with every order of the threads' steps and lets a read find every value that it may find.
//! Indices, live and notify bytes are atomics without an order of their own, as the volatile accesses of a domain are. A
//! ring's bytes change hands as a whole: who touches them after the peer has, without a fence in between that both know
//! of, ends the model.

use core::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, fence};
use loom::thread;

use crate::layout::{CLIENT_LIVE, LEFT_CONS, LEFT_PROD, Layout, Order, SERVER_NOTIFY};
use crate::{Bytes, Channel, ControlPage, Events, Offer, Wait, Want, server};

/// Fences that one side leaves out.
type Without = Option<Ordering>;

/// The left ring lies in the page, and is the only one that is used.
const RING: usize = 1024;

/// One side's view of the page.
#[derive(Clone)]
struct ModelPage {
    shared: Arc<Contents>,
    without: Without,
}

struct Contents {
    /// The words of the left ring's indices.
    words: [AtomicU32; 2],
    /// Live and notify bytes.
    flags: [AtomicU8; 4],
    /// What nobody changes once a model has begun: orders, and what belongs to the right ring.
    constants: Mutex<[u8; RING]>,
    /// Who touches the ring. The lock is no part of the model, and never waited for.
    touched: Mutex<UnsafeCell<()>>,
    ring: Mutex<[u8; RING]>,
}

impl ModelPage {
    fn new() -> Self {
        let shared = Contents {
            words: [AtomicU32::new(0), AtomicU32::new(0)],
            flags: [0; 4].map(AtomicU8::new),
            constants: Mutex::new([0; RING]),
            touched: Mutex::new(UnsafeCell::new(())),
            ring: Mutex::new([0; RING]),
        };
        Self { shared: Arc::new(shared), without: None }
    }

    fn without(&self, without: Without) -> Self {
        Self { shared: Arc::clone(&self.shared), without }
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        const _: () = assert!(LEFT_CONS == 0 && LEFT_PROD == 4);
        self.shared.words.get(offset / 4)
    }

    fn flag(&self, offset: usize) -> &AtomicU8 {
        const _: () = assert!(SERVER_NOTIFY == CLIENT_LIVE + 3);
        &self.shared.flags[offset - CLIENT_LIVE]
    }

    fn constant<const SIZE: usize>(&self, offset: usize) -> [u8; SIZE] {
        let constants = self.shared.constants.lock().expect("no panic meanwhile");
        *constants[offset..].first_chunk().expect("within the page")
    }

    fn set_constant(&self, offset: usize, bytes: &[u8]) {
        self.shared.constants.lock().expect("no panic meanwhile")[offset..][..bytes.len()].copy_from_slice(bytes);
    }
}

impl Bytes for ModelPage {
    fn read(&self, offset: usize, destination: &mut [u8]) {
        self.shared.touched.try_lock().expect("never held across a step").with(|_| ());
        let ring = self.shared.ring.try_lock().expect("never held across a step");
        destination.copy_from_slice(&ring[offset - RING..][..destination.len()]);
    }

    fn write(&self, offset: usize, source: &[u8]) {
        self.shared.touched.try_lock().expect("never held across a step").with_mut(|_| ());
        let mut ring = self.shared.ring.try_lock().expect("never held across a step");
        ring[offset - RING..][..source.len()].copy_from_slice(source);
    }
}

impl ControlPage for ModelPage {
    fn read_u8(&self, offset: usize) -> u8 {
        self.flag(offset).load(Relaxed)
    }

    fn write_u8(&self, offset: usize, value: u8) {
        self.flag(offset).store(value, Relaxed);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.flag(offset).fetch_or(bits, Relaxed);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.flag(offset).fetch_and(!bits, Relaxed)
    }

    fn read_u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.constant(offset))
    }

    fn write_u16(&self, offset: usize, value: u16) {
        self.set_constant(offset, &value.to_le_bytes());
    }

    fn read_u32(&self, offset: usize) -> u32 {
        let constant = || u32::from_le_bytes(self.constant(offset));
        self.word(offset).map_or_else(constant, |word| word.load(Relaxed))
    }

    fn write_u32(&self, offset: usize, value: u32) {
        match self.word(offset) {
            Some(word) => word.store(value, Relaxed),
            None => self.set_constant(offset, &value.to_le_bytes()),
        }
    }

    fn fence(&self, ordering: Ordering) {
        if self.without != Some(ordering) {
            fence(ordering);
        }
    }
}

/// An event channel in which an event is remembered.
#[derive(Clone)]
struct Event(Arc<AtomicBool>);

impl Event {
    fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Whether an event came.
    fn came(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Events for Event {
    fn send(&self) {
        self.0.store(true, Relaxed);
    }

    fn is_bound(&self) -> bool {
        true
    }
}

type End = Channel<ModelPage, ModelPage, Event>;

/// A client that writes and a server that reads, whose first bytes went through the ring; and the events that each sent
/// after that.
fn pair(client_without: Without, server_without: Without) -> ((End, Event), (End, Event)) {
    let page = ModelPage::new();
    let events = [Event::new(), Event::new()];
    let layout = Layout::new(Order::SMALLEST, Order::new(11).expect("an order")).expect("they fit");
    let server_page = page.without(server_without);
    let mut server = server(server_page, (None, None), events[1].clone(), layout, &[]);
    let offer = Offer::read(page.without(client_without)).expect("what the server has written");
    let mut client = offer.connect((None, None), events[0].clone());
    assert_eq!(client.write(&[1]), Ok(1));
    assert_eq!(server.read(&mut [0; 2]), Ok(1));
    events.iter().for_each(|event| event.0.store(false, Relaxed));
    let [client_sent, server_sent] = events;
    ((client, client_sent), (server, server_sent))
}

/// The ring is filled, emptied and filled again, as far as each side comes.
fn data(client_without: Without, server_without: Without) {
    let ((mut client, _), (mut server, _)) = pair(client_without, server_without);
    let reader = thread::spawn(move || {
        for round in 0..2 {
            let mut packet = [0; RING];
            if !server.receive(&mut packet).expect("whole") {
                break;
            }
            assert_eq!(packet, [round; RING]);
        }
        server
    });
    for round in 0..2 {
        if !client.send(&[round; RING]).expect("whole") {
            break;
        }
    }
    let _server = reader.join().expect("no fault");
}

/// Something is written while the reader goes to sleep.
fn sleep_of_the_reader(client_without: Without, server_without: Without) {
    let ((mut client, client_sent), (mut server, _)) = pair(client_without, server_without);
    let writer = thread::spawn(move || {
        assert_eq!(client.write(&[2]), Ok(1));
        client
    });
    let found = server.prepare_wait(Want::Data(1)).expect("whole") == Wait::Ready;
    let _client = writer.join().expect("no fault");
    assert!(found || client_sent.came(), "bytes that nobody looks for");
}

/// Something is read while the writer goes to sleep.
fn sleep_of_the_writer(client_without: Without, server_without: Without) {
    let ((mut client, _), (mut server, server_sent)) = pair(client_without, server_without);
    assert_eq!(client.send(&[2; RING]), Ok(true));
    let reader = thread::spawn(move || {
        assert_eq!(server.receive(&mut [0; RING]), Ok(true));
        server
    });
    let found = client.prepare_wait(Want::Room(RING)).expect("whole") == Wait::Ready;
    let _server = reader.join().expect("no fault");
    assert!(found || server_sent.came(), "room that nobody looks for");
}

/// Something is written and the writer closes, while the reader goes to sleep.
fn end_of_the_writer(client_without: Without, server_without: Without) {
    let ((mut client, client_sent), (mut server, _)) = pair(client_without, server_without);
    let writer = thread::spawn(move || assert_eq!(client.write(&[2]), Ok(1)));
    let outcome = server.prepare_wait(Want::Data(2)).expect("whole");
    if outcome == Wait::Closed {
        assert_eq!(server.readable(), Ok(1), "the last bytes were not seen");
    }
    writer.join().expect("no fault");
    assert!(outcome == Wait::Closed || client_sent.came(), "an end that nobody looks for");
}

/// A model whose client and server leave out fences.
type Model = fn(Without, Without);

/// Whether a model finds a fault.
fn fails(model: impl Fn() + Send + Sync + 'static) -> bool {
    catch_unwind(AssertUnwindSafe(|| loom::model(model))).is_err()
}

#[test]
fn bytes_are_there_when_the_index_says_so_and_are_not_overwritten_before_they_were_read() {
    loom::model(|| data(None, None));
}

#[test]
fn who_goes_to_sleep_while_the_peer_moves_bytes_finds_them_or_is_told() {
    loom::model(|| sleep_of_the_reader(None, None));
    loom::model(|| sleep_of_the_writer(None, None));
}

#[test]
fn who_finds_the_peer_gone_finds_its_last_bytes() {
    loom::model(|| end_of_the_writer(None, None));
}

#[test]
fn every_fence_is_needed() {
    let models: [(Model, Without, Without); 9] = [
        (data, Some(Release), None),
        (data, None, Some(Release)),
        (data, Some(Acquire), None),
        (data, None, Some(Acquire)),
        (sleep_of_the_reader, Some(SeqCst), None),
        (sleep_of_the_reader, None, Some(SeqCst)),
        (sleep_of_the_writer, Some(SeqCst), None),
        (sleep_of_the_writer, None, Some(SeqCst)),
        (end_of_the_writer, None, Some(Acquire)),
    ];
    let needless: Vec<_> = models
        .iter()
        .enumerate()
        .filter(|(_, (model, client, server))| {
            let (model, client, server) = (*model, *client, *server);
            !fails(move || model(client, server))
        })
        .map(|(index, (_, client, server))| (index, client, server))
        .collect();
    assert!(needless.is_empty(), "no model fails without these fences of the client or the server: {needless:?}");
}
