//! What the peer of a channel writes, anywhere and at any time, also while it is being read.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use channel::layout::{
    CLIENT_LIVE, CLIENT_NOTIFY, GRANTS, LEFT_CONS, LEFT_ORDER, LEFT_PROD, Layout, PAGE_BYTES, RIGHT_CONS, RIGHT_ORDER,
    RIGHT_PROD, SERVER_LIVE, SERVER_NOTIFY,
};
use channel::{Bytes, Channel, ControlPage, Error, Events, LocalMemory, Offer, Pieces, Want, server};

use crate::input::Input;

/// How often one call touches the shared memory at most: the peer's live byte, its index, a ring in two parts, our
/// index, and what is asked for and taken back.
const ACCESSES_MAX: usize = 7;
/// A size that goes beyond the smaller rings.
const BYTES_MAX: usize = 5000;

/// Memory that says what the peer likes, and counts how often it is asked.
#[derive(Clone)]
struct Memory {
    bytes: LocalMemory,
    asked: Rc<Cell<usize>>,
    /// What the next numbers that are read shall be, whatever was there before.
    lies: Rc<RefCell<VecDeque<Option<u32>>>>,
}

impl Memory {
    fn count(&self) {
        self.asked.set(self.asked.get() + 1);
    }

    fn lie(&self) -> Option<u32> {
        self.count();
        self.lies.borrow_mut().pop_front().flatten()
    }
}

impl Bytes for Memory {
    fn read(&self, offset: usize, destination: &mut [u8]) {
        self.count();
        self.bytes.read(offset, destination);
    }

    fn write(&self, offset: usize, source: &[u8]) {
        self.count();
        self.bytes.write(offset, source);
    }
}

impl ControlPage for Memory {
    fn read_u8(&self, offset: usize) -> u8 {
        self.lie().map_or_else(|| self.bytes.read_u8(offset), |lie| lie as u8)
    }

    fn write_u8(&self, offset: usize, value: u8) {
        self.count();
        self.bytes.write_u8(offset, value);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.count();
        self.bytes.set_bits(offset, bits);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        let was = self.bytes.clear_bits(offset, bits);
        self.lie().map_or(was, |lie| lie as u8)
    }

    fn read_u16(&self, offset: usize) -> u16 {
        self.lie().map_or_else(|| self.bytes.read_u16(offset), |lie| lie as u16)
    }

    fn write_u16(&self, offset: usize, value: u16) {
        self.count();
        self.bytes.write_u16(offset, value);
    }

    fn read_u32(&self, offset: usize) -> u32 {
        self.lie().unwrap_or_else(|| self.bytes.read_u32(offset))
    }

    fn write_u32(&self, offset: usize, value: u32) {
        self.count();
        self.bytes.write_u32(offset, value);
    }
}

/// An event channel that may lose its other end.
#[derive(Clone)]
struct Port(Rc<Cell<bool>>);

impl Events for Port {
    fn send(&self) {}

    fn is_bound(&self) -> bool {
        self.0.get()
    }
}

type End = Channel<Memory, Memory, Port>;

/// A page, and the pages of two rings.
struct Shared {
    page: Memory,
    rings: (Option<Memory>, Option<Memory>),
    layout: Layout,
    port: Port,
}

impl Shared {
    fn new(layout: Layout) -> Self {
        let (asked, lies) = (Rc::default(), Rc::default());
        let memory = |pages| Memory {
            bytes: LocalMemory::new(pages * PAGE_BYTES),
            asked: Rc::clone(&asked),
            lies: Rc::clone(&lies),
        };
        let ring = |pages| (pages > 0).then(|| memory(pages));
        let rings = (ring(layout.left().pages()), ring(layout.right().pages()));
        Self { page: memory(1), rings, layout, port: Port(Rc::new(Cell::new(true))) }
    }

    /// Both ends; what was written there before makes no difference.
    fn connect(&self) -> (End, End) {
        self.page.lies.borrow_mut().clear();
        self.port.0.set(true);
        let grants = vec![9; self.layout.grants()];
        let server = server(self.page.clone(), self.rings.clone(), self.port.clone(), self.layout, &grants);
        let offer = Offer::read(self.page.clone()).expect("what our own server has written");
        (server, offer.connect(self.rings.clone(), self.port.clone()))
    }
}

/// The peer writes to the page.
fn meddle(shared: &Shared, input: &mut Input<'_>) {
    let bytes = &shared.page.bytes;
    match input.below(5) {
        0 | 1 => {
            let at = input.choose(&[LEFT_CONS, LEFT_PROD, RIGHT_CONS, RIGHT_PROD]);
            // Near what is there, or anywhere.
            let near = bytes.read_u32(at).wrapping_add(u32::from(input.word())).wrapping_sub(0x8000);
            bytes.write_u32(at, if input.byte() & 3 == 0 { input.long() } else { near });
        }
        2 => bytes.write_u8(input.choose(&[CLIENT_LIVE, SERVER_LIVE, CLIENT_NOTIFY, SERVER_NOTIFY]), input.byte() % 5),
        3 => bytes.write_u16(input.choose(&[LEFT_ORDER, RIGHT_ORDER]), input.word()),
        _ => bytes.write_u32(usize::from(input.word()) % (PAGE_BYTES / 4) * 4, input.long()),
    }
}

/// Our end does something, and is judged.
fn act(end: &mut End, pieces: &mut Pieces, shared: &Shared, broken: &mut Option<Error>, input: &mut Input<'_>) {
    let (what, length) = (input.below(8), usize::from(input.word()) % BYTES_MAX);
    let mut bytes = vec![0; length];
    shared.page.asked.set(0);
    let outcome = match what {
        0 => end.read(&mut bytes).map(|count| assert!(count <= length)),
        1 => end.receive(&mut bytes).map(|_| ()),
        2 => end.write(&bytes).map(|count| assert!(count <= length)),
        3 => end.send(&bytes).map(|_| ()),
        4 => end.prepare_wait(Want::Data(length)).map(|_| ()),
        5 => end.prepare_wait(Want::Room(length)).map(|_| ()),
        6 => end.peer().map(|_| ()),
        _ => {
            let count = pieces.fill(end, length).map(<[u8]>::len);
            count.map(|count| pieces.consume(count))
        }
    };
    let asked = shared.page.asked.get();
    assert!(asked <= ACCESSES_MAX, "call {what} touched the memory {asked} times");
    match (*broken, outcome) {
        // Neither says anything about the peer.
        (_, Err(Error::TooLong)) => {}
        // A piece that is held costs no look at the ring.
        (Some(_), Ok(())) if what == 7 => {}
        (Some(before), outcome) => assert_eq!(outcome, Err(before), "a broken channel goes on"),
        (None, Err(error @ Error::Broken(_))) => *broken = Some(error),
        (None, _) => {}
    }
}

/// Has a peer do what the bytes say to one of our ends; afterwards the same memory must serve two ends that behave.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let claimed = [input.byte(), input.byte()].map(|order| u16::from(order % 13) + 9);
    let layout = Layout::claimed(claimed[0], claimed[1]);
    let Ok(layout) = layout.or_else(|_| Layout::claimed(10, 13)) else { return };
    let shared = Shared::new(layout);
    let (server, client) = shared.connect();
    let (mut ours, mut peer) = if input.byte() & 1 == 0 { (server, client) } else { (client, server) };
    let Some(mut pieces) = Pieces::new(3000) else { return };
    let mut broken = None;
    while !input.is_empty() {
        match input.below(8) {
            0 | 1 => meddle(&shared, &mut input),
            2 => shared.page.lies.borrow_mut().extend([None, Some(input.long()), None, Some(input.byte().into())]),
            // The peer as it should be, as far as it can go on.
            3 => drop(peer.write(&vec![input.byte(); usize::from(input.word()) % BYTES_MAX])),
            4 => drop(peer.read(&mut vec![0; usize::from(input.word()) % BYTES_MAX])),
            5 if input.byte() == 0 => shared.port.0.set(false),
            _ => act(&mut ours, &mut pieces, &shared, &mut broken, &mut input),
        }
    }
    // What it offers to the next client is judged as well.
    if let Ok(offer) = Offer::read(shared.page.clone()) {
        assert_eq!(offer.left().len() + offer.right().len(), offer.layout().grants());
        assert!(GRANTS + 4 * offer.layout().grants() <= PAGE_BYTES);
    }
    drop((ours, peer));
    let (mut server, mut client) = shared.connect();
    let mut text = [0; 5];
    assert_eq!((client.send(b"hello"), server.receive(&mut text), &text), (Ok(true), Ok(true), b"hello"));
    assert_eq!((server.send(b"there"), client.receive(&mut text), &text), (Ok(true), Ok(true), b"there"));
}
