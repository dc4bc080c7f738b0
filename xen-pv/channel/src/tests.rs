//! Two ends in one program.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use std::vec::Vec;

use crate::layout::{Layout, PAGE_BYTES};
use crate::{Channel, ControlPage, Events, LocalMemory, Offer, server};

mod exchange;
mod hostile;
mod life;
mod threads;

/// Half of an event channel: sends to one end, and is waited for at the other.
#[derive(Debug, Default)]
struct Line {
    sent: AtomicUsize,
    pending: Mutex<bool>,
    changed: Condvar,
}

/// One end of an event channel.
#[derive(Debug, Clone)]
struct Port {
    to_peer: Arc<Line>,
    from_peer: Arc<Line>,
    bound: Arc<AtomicBool>,
}

impl Port {
    /// Both ends.
    fn pair() -> (Self, Self) {
        let (one, other) = (Arc::<Line>::default(), Arc::<Line>::default());
        let bound = Arc::new(AtomicBool::new(true));
        let first = Self { to_peer: one.clone(), from_peer: other.clone(), bound: bound.clone() };
        (first, Self { to_peer: other, from_peer: one, bound })
    }

    /// How many events this end has sent since the last call.
    fn sent(&self) -> usize {
        self.to_peer.sent.swap(0, SeqCst)
    }

    /// Sleeps until an event has come since the last call.
    fn wait(&self) {
        let pending = self.from_peer.pending.lock().expect("no panic");
        let asleep = self.from_peer.changed.wait_timeout_while(pending, Duration::from_secs(120), |pending| !*pending);
        let (mut pending, timeout) = asleep.expect("no panic");
        assert!(!timeout.timed_out(), "an event is missing");
        *pending = false;
    }
}

impl Events for Port {
    fn send(&self) {
        self.to_peer.sent.fetch_add(1, SeqCst);
        *self.to_peer.pending.lock().expect("no panic") = true;
        self.to_peer.changed.notify_one();
    }

    fn is_bound(&self) -> bool {
        self.bound.load(SeqCst)
    }
}

type End = Channel<LocalMemory, LocalMemory, Port>;

/// Two ends and what they share.
struct Pair {
    page: LocalMemory,
    rings: (Option<LocalMemory>, Option<LocalMemory>),
    server: End,
    client: End,
    server_port: Port,
    client_port: Port,
}

/// Memory for the pages of a ring that has any.
fn pages(count: usize) -> Option<LocalMemory> {
    (count > 0).then(|| LocalMemory::new(count * PAGE_BYTES))
}

impl Pair {
    fn new(left: u16, right: u16) -> Self {
        let layout = Layout::claimed(left, right).expect("they fit");
        let page = LocalMemory::new(PAGE_BYTES);
        let rings = (pages(layout.left().pages()), pages(layout.right().pages()));
        let grants: Vec<u32> = (0..layout.grants() as u32).map(|index| 1000 + index).collect();
        let (server_port, client_port) = Port::pair();
        let server = server(page.clone(), rings.clone(), server_port.clone(), layout, &grants);
        let offer = Offer::read(page.clone()).expect("what the server has written");
        let client = offer.connect(rings.clone(), client_port.clone());
        Self { page, rings, server, client, server_port, client_port }
    }

    /// Rings that have carried so many bytes already, each.
    fn after(left: u16, right: u16, position: u32) -> Self {
        let mut pair = Self::new(left, right);
        for end in [&mut pair.server, &mut pair.client] {
            for half in [&mut end.reads, &mut end.writes] {
                half.position = position;
                pair.page.write_u32(half.ours_at, position);
            }
        }
        pair
    }
}

/// All pairs of orders that go together.
fn layouts() -> impl Iterator<Item = (u16, u16)> {
    let pairs = (10..=20).flat_map(|left| (10..=20).map(move |right| (left, right)));
    pairs.filter(|(left, right)| Layout::claimed(*left, *right).is_ok())
}

/// Bytes that are different at each place of a stream.
fn stream(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}
