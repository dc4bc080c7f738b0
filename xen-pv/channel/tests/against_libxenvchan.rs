//! Either end against Xen's own libxenvchan, as Debian has compiled it: its ring code runs in another process, whose
//! memory is the shared one, and our end reaches that memory over a pipe.
//!
//! So both take turns, and every byte that they exchange, in every ring and across every end of one, is compared. What
//! happens at the same time is `src/model.rs`'s.

#[path = "../../sys/tests/c/mod.rs"]
mod c;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use channel::layout::{Layout, PAGE_BYTES};
use channel::{Bytes, Channel, ControlPage, Error, Events, Offer, Peer, Wait, Want, server};

/// What the process is asked; the numbers are those of the enum in against_libxenvchan.c.
#[derive(Debug, Clone, Copy)]
enum Request {
    Server,
    Client,
    Grant,
    Peek,
    Poke,
    Set,
    Clear,
    Read,
    Receive,
    Write,
    Send,
    Readable,
    Writable,
    Open,
    Close,
    Events,
}

/// The process with the library.
#[derive(Debug)]
struct Library {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Library {
    fn start(name: &str) -> Rc<RefCell<Self>> {
        let arguments = ["-Wl,--whole-archive", "-l:libxenvchan.a", "-Wl,--no-whole-archive"];
        let binary = c::compile(name, include_str!("against_libxenvchan.c"), &arguments);
        let mut command = Command::new(binary);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it was just compiled");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Rc::new(RefCell::new(Self { child, input, output }))
    }

    fn ask(&mut self, request: Request, numbers: [usize; 3], bytes: &[u8]) -> (i32, Vec<u8>) {
        let [first, second, third] = numbers;
        let words = [request as usize, first, second, third, bytes.len()];
        let mut message: Vec<u8> = words.into_iter().flat_map(|word| (word as u32).to_ne_bytes()).collect();
        message.extend(bytes);
        self.input.write_all(&message).expect("the library's process lives");
        let (mut result, mut length) = ([0; 4], [0; 4]);
        self.output.read_exact(&mut result).expect("the library's process lives");
        self.output.read_exact(&mut length).expect("the library's process lives");
        let mut answer = vec![0; u32::from_ne_bytes(length) as usize];
        self.output.read_exact(&mut answer).expect("the library's process lives");
        (i32::from_ne_bytes(result), answer)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Granted pages of the process, one behind the other.
#[derive(Clone)]
struct Pages(Rc<RefCell<Library>>, Vec<u32>);

impl Pages {
    fn ask(&self, request: Request, offset: usize, number: usize, bytes: &[u8]) -> (i32, Vec<u8>) {
        let numbers = [self.1[offset / PAGE_BYTES] as usize, offset % PAGE_BYTES, number];
        self.0.borrow_mut().ask(request, numbers, bytes)
    }

    /// The pieces of so many bytes that lie in one page each, by their places among the bytes.
    fn pieces(offset: usize, count: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let end = count.min(start + PAGE_BYTES - (offset + start) % PAGE_BYTES);
            let piece = (start < count).then_some(start..end);
            start = end;
            piece
        })
    }
}

impl Bytes for Pages {
    fn read(&self, offset: usize, destination: &mut [u8]) {
        for piece in Self::pieces(offset, destination.len()) {
            let (_, bytes) = self.ask(Request::Peek, offset + piece.start, piece.len(), &[]);
            destination[piece].copy_from_slice(&bytes);
        }
    }

    fn write(&self, offset: usize, source: &[u8]) {
        for piece in Self::pieces(offset, source.len()) {
            self.ask(Request::Poke, offset + piece.start, 0, &source[piece]);
        }
    }
}

impl ControlPage for Pages {
    fn read_u8(&self, offset: usize) -> u8 {
        self.ask(Request::Peek, offset, 1, &[]).1[0]
    }

    fn write_u8(&self, offset: usize, value: u8) {
        self.ask(Request::Poke, offset, 0, &[value]);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.ask(Request::Set, offset, bits.into(), &[]);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.ask(Request::Clear, offset, bits.into(), &[]).0 as u8
    }

    fn read_u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(*self.ask(Request::Peek, offset, 2, &[]).1.first_chunk().expect("two bytes"))
    }

    fn write_u16(&self, offset: usize, value: u16) {
        self.ask(Request::Poke, offset, 0, &value.to_le_bytes());
    }

    fn read_u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(*self.ask(Request::Peek, offset, 4, &[]).1.first_chunk().expect("four bytes"))
    }

    fn write_u32(&self, offset: usize, value: u32) {
        self.ask(Request::Poke, offset, 0, &value.to_le_bytes());
    }
}

/// The events that our end has sent.
#[derive(Clone, Default)]
struct Sent(Rc<RefCell<u32>>);

impl Events for Sent {
    fn send(&self) {
        *self.0.borrow_mut() += 1;
    }

    fn is_bound(&self) -> bool {
        true
    }
}

type End = Channel<Pages, Pages, Sent>;

/// Pages with these grants, if there are any.
fn pages(library: &Rc<RefCell<Library>>, grants: &[u32]) -> Option<Pages> {
    (!grants.is_empty()).then(|| Pages(library.clone(), grants.to_vec()))
}

/// Our server, with a client of the library's.
fn our_server(library: &Rc<RefCell<Library>>, layout: Layout) -> (End, Sent) {
    let (_, grants) = library.borrow_mut().ask(Request::Grant, [1 + layout.grants(), 0, 0], &[]);
    let grants: Vec<u32> =
        grants.chunks(4).map(|grant| u32::from_ne_bytes(grant.try_into().expect("four bytes"))).collect();
    let (page, rings) = grants.split_first().expect("at least one");
    let (left, right) = rings.split_at(layout.left().pages());
    let sent = Sent::default();
    let halves = (pages(library, left), pages(library, right));
    let mut end = server(Pages(library.clone(), vec![*page]), halves, sent.clone(), layout, rings);
    assert_eq!(end.peer(), Ok(Peer::Awaited));
    assert_eq!(library.borrow_mut().ask(Request::Client, [*page as usize, 0, 0], &[]).0, 0, "{layout:?} is refused");
    assert_eq!(end.peer(), Ok(Peer::Connected));
    assert_eq!(library.borrow_mut().ask(Request::Events, [0; 3], &[]).0, 1);
    (end, sent)
}

/// Our client, of a server of the library's with rings for so many bytes.
fn our_client(library: &Rc<RefCell<Library>>, sizes: [usize; 2]) -> (End, Sent, Layout) {
    let (page, _) = library.borrow_mut().ask(Request::Server, [sizes[0], sizes[1], 0], &[]);
    assert!(page > 0, "the library makes no rings for {sizes:?}");
    assert_eq!(library.borrow_mut().ask(Request::Open, [0; 3], &[]).0, 2);
    let offer = Offer::read(Pages(library.clone(), vec![page as u32])).expect("the library's rings are right");
    let (layout, sent) = (offer.layout(), Sent::default());
    let halves = (pages(library, offer.left()), pages(library, offer.right()));
    let end = offer.connect(halves, sent.clone());
    assert_eq!(library.borrow_mut().ask(Request::Open, [0; 3], &[]).0, 1);
    assert_eq!(sent.0.take(), 1);
    (end, sent, layout)
}

/// Two ends, and the bytes that have gone each way.
struct Exchange<'a> {
    library: &'a Rc<RefCell<Library>>,
    end: End,
    sent: Sent,
    /// How much our end's rings hold, inward and outward.
    sizes: [usize; 2],
    moved: [usize; 2],
}

impl Exchange<'_> {
    fn ask(&self, request: Request, number: usize, bytes: &[u8]) -> (i32, Vec<u8>) {
        self.library.borrow_mut().ask(request, [number, 0, 0], bytes)
    }

    fn theirs_sent(&self) -> i32 {
        self.ask(Request::Events, 0, &[]).0
    }

    fn stream(from: usize, count: usize) -> Vec<u8> {
        (from..from + count).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
    }

    /// Both agree on how much there is, and how much room.
    fn assert_agreed(&mut self, inward: usize, outward: usize) {
        assert_eq!((self.end.readable(), self.end.writable()), (Ok(inward), Ok(self.sizes[1] - outward)));
        assert_eq!(self.ask(Request::Readable, 0, &[]).0, outward as i32);
        assert_eq!(self.ask(Request::Writable, 0, &[]).0, (self.sizes[0] - inward) as i32);
    }

    /// Bytes go each way, as a stream: as much as finds room of what is offered.
    fn stream_both_ways(&mut self, offered: [usize; 2]) {
        let bytes = Self::stream(self.moved[1], offered[1]);
        let written = self.end.write(&bytes).expect("open");
        assert_eq!(written, offered[1].min(self.sizes[1]));
        let answered = Self::stream(self.moved[0], offered[0]);
        assert_eq!(self.ask(Request::Write, 0, &answered).0, offered[0].min(self.sizes[0]) as i32);
        let read = offered[0].min(self.sizes[0]);
        self.assert_agreed(read, written);
        let mut arrived = vec![0; offered[0]];
        assert_eq!(self.end.read(&mut arrived), Ok(read));
        assert!(arrived[..read] == answered[..read]);
        assert!(self.ask(Request::Read, offered[1], &[]) == (written as i32, bytes[..written].to_vec()));
        self.assert_agreed(0, 0);
        self.moved = [self.moved[0] + read, self.moved[1] + written];
    }

    /// A packet goes each way, whole.
    fn packets(&mut self, length: usize) {
        let bytes = Self::stream(self.moved[1], length);
        assert_eq!(self.end.send(&bytes), Ok(true));
        assert!(self.ask(Request::Receive, length, &[]) == (length as i32, bytes));
        let bytes = Self::stream(self.moved[0], length);
        assert_eq!(self.ask(Request::Send, 0, &bytes).0, length as i32);
        let mut arrived = vec![0; length];
        assert_eq!(self.end.receive(&mut arrived), Ok(true));
        assert!(arrived == bytes);
        self.moved = self.moved.map(|moved| moved + length);
    }

    /// What does not fit or is not whole stays where it is.
    fn all_or_nothing(&mut self) {
        let [inward, outward] = self.sizes;
        assert_eq!(self.end.send(&vec![0; outward - 5]), Ok(true));
        assert_eq!(self.end.send(&[0; 6]), Ok(false));
        assert_eq!(self.ask(Request::Receive, outward - 4, &[]).0, 0);
        assert_eq!(self.ask(Request::Receive, outward - 5, &[]).0, outward as i32 - 5);
        assert_eq!(self.ask(Request::Send, 0, &vec![0; inward - 5]).0, inward as i32 - 5);
        assert_eq!(self.ask(Request::Send, 0, &[0; 6]).0, 0);
        assert_eq!(self.end.receive(&mut vec![0; inward - 4]), Ok(false));
        assert_eq!(self.end.receive(&mut vec![0; inward - 5]), Ok(true));
        // Where ours says that it will never fit, the library says "not now".
        assert_eq!(self.ask(Request::Send, 0, &vec![0; inward + 1]).0, 0);
        assert_eq!(self.end.send(&vec![0; outward + 1]), Err(Error::TooLong));
    }

    /// Who has asked is told once, by either end.
    fn events(&mut self) {
        // What was asked for before is told.
        self.packets(1);
        self.packets(1);
        self.sent.0.take();
        self.theirs_sent();
        self.packets(3);
        assert_eq!((self.sent.0.take(), self.theirs_sent()), (0, 0));
        // The library asks when it finds too little, our end when it is about to sleep.
        assert_eq!(self.ask(Request::Read, 1, &[]).0, 0);
        assert_eq!(self.end.send(&[1]), Ok(true));
        assert_eq!((self.end.send(&[1]), self.sent.0.take()), (Ok(true), 1));
        assert_eq!(self.ask(Request::Send, 0, &vec![0; self.sizes[0]]).0, self.sizes[0] as i32);
        assert_eq!(self.ask(Request::Send, 0, &[0]).0, 0);
        assert_eq!(self.end.read(&mut vec![0; self.sizes[0]]), Ok(self.sizes[0]));
        assert_eq!(self.sent.0.take(), 1);
        self.theirs_sent();
        assert_eq!(self.end.prepare_wait(Want::Data(1)), Ok(Wait::Sleep));
        assert_eq!(self.end.prepare_wait(Want::Room(self.sizes[1])), Ok(Wait::Sleep));
        assert_eq!((self.ask(Request::Send, 0, &[0]).0, self.theirs_sent()), (1, 1));
        assert_eq!((self.ask(Request::Send, 0, &[0]).0, self.theirs_sent()), (1, 0));
        assert_eq!((self.ask(Request::Receive, 2, &[]).0, self.theirs_sent()), (2, 1));
        assert_eq!(self.end.receive(&mut [0; 2]), Ok(true));
    }

    /// Everything, several times around both rings.
    fn run(&mut self) {
        self.all_or_nothing();
        self.events();
        let largest = self.sizes[0].max(self.sizes[1]);
        for round in 1..=7 {
            self.stream_both_ways([self.sizes[0] / 3 + round, self.sizes[1] / 2 + 2 * round]);
            self.packets(1 + 97 * round);
        }
        self.stream_both_ways([largest + 1, largest + 1]);
    }
}

/// The library's end finds that ours is gone.
fn assert_left(library: &Rc<RefCell<Library>>, end: End, sent: &Sent) {
    sent.0.take();
    drop(end);
    assert_eq!(sent.0.take(), 1);
    assert_eq!(library.borrow_mut().ask(Request::Open, [0; 3], &[]).0, 0);
    library.borrow_mut().ask(Request::Close, [0; 3], &[]);
}

/// Our end finds that the library's is gone, after what it has said.
fn assert_found_gone(library: &Rc<RefCell<Library>>, mut end: End) {
    assert_eq!(library.borrow_mut().ask(Request::Write, [0; 3], b"bye").0, 3);
    library.borrow_mut().ask(Request::Close, [0; 3], &[]);
    assert!(library.borrow_mut().ask(Request::Events, [0; 3], &[]).0 > 0);
    assert_eq!(end.peer(), Ok(Peer::Gone));
    let mut text = [0; 9];
    assert_eq!((end.read(&mut text), &text[..3]), (Ok(3), &b"bye"[..]));
    assert_eq!(end.prepare_wait(Want::Data(1)), Ok(Wait::Closed));
}

/// Every order beside its like, and beside those that lie in the first page or have one page.
fn layouts() -> impl Iterator<Item = Layout> {
    let pairs = (10..=20).flat_map(|left| (10..=20).map(move |right| (left, right)));
    let pairs = pairs.filter(|(left, right)| left == right || left.min(right) <= &12);
    pairs.filter_map(|(left, right)| Layout::claimed(left, right).ok())
}

fn sizes(layout: Layout) -> [usize; 2] {
    [layout.left(), layout.right()].map(|order| order.size_bytes() as usize)
}

#[test]
fn our_server_and_the_librarys_client_exchange_every_byte() {
    let library = Library::start("our_server");
    for (number, layout) in layouts().enumerate() {
        let (end, sent) = our_server(&library, layout);
        let mut exchange = Exchange { library: &library, end, sent: sent.clone(), sizes: sizes(layout), moved: [0; 2] };
        exchange.run();
        match number % 2 {
            0 => assert_left(&library, exchange.end, &sent),
            _ => assert_found_gone(&library, exchange.end),
        }
    }
}

#[test]
fn our_client_and_the_librarys_server_exchange_every_byte() {
    let library = Library::start("our_client");
    let mut seen = std::collections::BTreeSet::new();
    for (number, wanted) in layouts().enumerate() {
        let (end, sent, layout) = our_client(&library, sizes(wanted));
        seen.insert((layout.left(), layout.right()));
        let [left, right] = sizes(layout);
        let mut exchange = Exchange { library: &library, end, sent: sent.clone(), sizes: [right, left], moved: [0; 2] };
        exchange.run();
        match number % 2 {
            0 => assert_left(&library, exchange.end, &sent),
            _ => assert_found_gone(&library, exchange.end),
        }
    }
    // The library makes a ring of 1 KiB beside one of 2 KiB only.
    assert_eq!(seen.len(), 2 + 2 * 9 + 17 + 8, "{seen:?}");
}

#[test]
fn a_packet_of_the_librarys_arrives_from_every_place_of_a_ring() {
    let library = Library::start("every_place");
    for (left, right) in [(10, 11), (11, 10), (12, 12)] {
        let layout = Layout::claimed(left, right).expect("they fit");
        let (end, sent) = our_server(&library, layout);
        let mut exchange = Exchange { library: &library, end, sent, sizes: sizes(layout), moved: [0; 2] };
        for _ in 0..1 << left.max(right) {
            exchange.packets(7);
        }
        library.borrow_mut().ask(Request::Close, [0; 3], &[]);
    }
}

#[test]
fn the_library_refuses_what_we_refuse() {
    let library = Library::start("refused");
    let pairs = (8..=22).flat_map(|left| (8..=22).map(move |right| (left, right)));
    for (left, right) in pairs {
        let whole = Layout::claimed(20, 20).expect("they fit");
        let (_, grants) = library.borrow_mut().ask(Request::Grant, [1 + whole.grants(), 0, 0], &[]);
        let page = u32::from_ne_bytes(*grants.first_chunk().expect("a grant"));
        let memory = Pages(library.clone(), vec![page]);
        memory.write_u16(channel::layout::LEFT_ORDER, left);
        memory.write_u16(channel::layout::RIGHT_ORDER, right);
        memory.write(channel::layout::GRANTS, &grants[4..]);
        let connected = library.borrow_mut().ask(Request::Client, [page as usize, 0, 0], &[]).0 == 0;
        let ours = Layout::claimed(left, right);
        // It does not see that the grants of the largest ring reach into the smallest.
        let overlap = matches!((left, right), (10, 20) | (20, 10));
        assert_eq!(connected, ours.is_ok() || overlap, "orders {left} and {right}: {ours:?}");
        if connected {
            library.borrow_mut().ask(Request::Close, [0; 3], &[]);
        }
    }
}
