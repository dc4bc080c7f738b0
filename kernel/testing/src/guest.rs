//! The platform, and how a task is run on it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kernel::checkpoint::{Error, MAX_BYTES};
use kernel::feed::Feed;
use kernel::{Fed, Feeding, Memory, Networked, Restored, Stop, System};

use crate::datagrams::Mail;
use crate::feed::{FeedBytes, Feeder};
use crate::peer::{Peer, Progress, Stream};

/// Polls without progress after which a task waits for something that does not come.
const QUIET: u32 = 3;

/// Whether the task has asked to be polled again.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The platform.
#[derive(Debug, Default)]
pub struct Guest {
    pub(crate) progress: Progress,
    /// Those that the task connects to, by their port.
    pub(crate) servers: RefCell<HashMap<u16, Peer>>,
    /// Those that wait to be accepted, by the port that they call.
    pub(crate) clients: RefCell<HashMap<u16, VecDeque<Peer>>>,
    pub(crate) names: RefCell<HashMap<String, IpAddr>>,
    pub(crate) mail: Rc<Mail>,
    feed: RefCell<Option<FeedBytes>>,
    fed: RefCell<FedTasks>,
    stopped: Cell<bool>,
    checkpoints: RefCell<Checkpoints>,
}

/// The tasks that the one under test feeds.
#[derive(Debug, Default)]
struct FedTasks {
    /// Those that are to be fed, and with what.
    listed: BTreeMap<u16, String>,
    /// Those that have come.
    there: HashMap<u16, Peer>,
    /// Who waits for either to change.
    wakers: Vec<Waker>,
}

impl FedTasks {
    /// What there is, or the wait for it.
    fn poll<T>(&mut self, found: impl FnOnce(&Self) -> Option<T>, context: &Context<'_>) -> Poll<T> {
        match found(self) {
            Some(found) => Poll::Ready(found),
            None => {
                self.wakers.push(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// What the task saves.
#[derive(Debug, Default)]
struct Checkpoints {
    are_kept: bool,
    are_refused: bool,
    last: Vec<u8>,
}

impl Guest {
    /// A guest whose network nobody else is on yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the task reaches when it connects to this port, whatever the address. All of its connections are to this
    /// one peer, one after the other. A connection to a port that has no server is refused.
    pub fn server(&self, port: u16) -> Peer {
        self.servers.borrow_mut().entry(port).or_insert_with(|| Peer::new(&self.progress)).clone()
    }

    /// Somebody who connects to this port of the task, as soon as the task accepts a connection there. Clients are
    /// accepted in the order in which they came.
    pub fn client(&self, port: u16) -> Peer {
        let peer = Peer::new(&self.progress);
        self.clients.borrow_mut().entry(port).or_default().push_back(peer.clone());
        peer
    }

    /// Lets a name lead to an address. Others lead nowhere.
    pub fn name(&self, name: &str, address: IpAddr) {
        self.names.borrow_mut().insert(name.to_owned(), address);
    }

    /// Sends a datagram to this port of the task.
    pub fn send_datagram(&self, port: u16, from: SocketAddr, data: &[u8]) {
        self.mail.incoming.borrow_mut().entry(port).or_default().push_back((from, data.to_vec()));
    }

    /// The datagrams that the task has sent since this was last asked, each with its destination.
    pub fn sent_datagrams(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.mail.outgoing.take()
    }

    /// Feeds the task with this, and then ends the feed.
    pub fn feed(&self, feed: Feeder) {
        self.feed_bytes(feed.whole());
    }

    /// Feeds the task with this, and then with nothing more for ever: a live feed.
    pub fn feed_live(&self, feed: Feeder) {
        self.feed.replace(Some(FeedBytes { bytes: feed.interrupted(), here: 0..0, is_live: true }));
    }

    /// Feeds the task with any bytes, whatever they are.
    pub fn feed_bytes(&self, bytes: Vec<u8>) {
        self.feed.replace(Some(FeedBytes { bytes, here: 0..0, is_live: false }));
    }

    /// Says which tasks the one under test is to feed from now on, by their numbers, each with what it may have.
    pub fn list_tasks(&self, tasks: &[(u16, &str)]) {
        let mut fed = self.fed.borrow_mut();
        fed.listed = tasks.iter().map(|(task, text)| (*task, (*text).to_owned())).collect();
        fed.wake();
    }

    /// A task that comes to be fed by the one under test: what it is fed with is heard here.
    pub fn fed_task(&self, number: u16) -> Peer {
        let (peer, mut fed) = (Peer::new(&self.progress), self.fed.borrow_mut());
        fed.there.insert(number, peer.clone());
        fed.wake();
        peer
    }

    /// Asks the task to end, as `xl shutdown` does.
    pub fn stop(&self) {
        self.stopped.set(true);
    }

    /// Keeps what the task saves, beginning with this state of an earlier run; an empty one is none.
    pub fn keep_checkpoints(&self, restored: &[u8]) {
        *self.checkpoints.borrow_mut() = Checkpoints { are_kept: true, are_refused: false, last: restored.to_vec() };
    }

    /// Refuses what the task saves from now on.
    pub fn refuse_checkpoints(&self) {
        self.checkpoints.borrow_mut().are_refused = true;
    }

    /// What the task has saved last; empty when that is nothing.
    pub fn saved(&self) -> Vec<u8> {
        self.checkpoints.borrow().last.clone()
    }

    /// Polls a task until it ends, and returns what it returns; `None` when it waits for what does not come. `script`
    /// is called after each poll: there the peers answer.
    ///
    /// # Panics
    /// When the task does not come to rest: it does something again and again that moves nobody closer to an end.
    pub fn run<T>(&self, task: impl Future<Output = T>, mut script: impl FnMut(&Self)) -> Option<T> {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut task = pin!(task);
        let unread = || self.servers.borrow().values().map(Peer::unread).sum::<usize>();
        let mut quiet = 0;
        let mut polls_left = 1000 + 4 * unread();
        while polls_left > 0 {
            polls_left -= 1;
            let before = self.moved();
            if let Poll::Ready(outcome) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(outcome);
            }
            let known = unread();
            script(self);
            polls_left += 4 * unread().saturating_sub(known);
            // A task that gives others a turn goes on by itself.
            let goes_on = woken.0.swap(false, Ordering::Relaxed) || self.moved() != before;
            quiet = if goes_on { 0 } else { quiet + 1 };
            if quiet == QUIET {
                return None;
            }
        }
        panic!("the task does not come to rest");
    }

    /// How much has moved so far.
    fn moved(&self) -> u64 {
        self.progress.get() + self.mail.moved.get()
    }
}

impl System for Guest {
    fn memory(&self) -> Memory {
        Memory { total_bytes: 0, image_bytes: 0, heap_bytes: 0, heap_used_bytes: 0, heap_peak_bytes: 0 }
    }

    /// The same bytes each time, so that a test takes the same course each time.
    fn random(&self, destination: &mut [u8]) {
        destination.fill(7);
    }

    /// Always the same time, in November 2023.
    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_700_000_000)
    }

    async fn restored(&self) -> Restored {
        let checkpoints = self.checkpoints.borrow();
        match (checkpoints.are_kept, &*checkpoints.last) {
            (false, _) => Restored::Unkept,
            (true, []) => Restored::Nothing,
            (true, state) => Restored::State(state.to_vec()),
        }
    }

    async fn checkpoint(&self, state: &[u8]) -> Result<(), Error> {
        let mut checkpoints = self.checkpoints.borrow_mut();
        match (state.len() > MAX_BYTES, checkpoints.are_refused) {
            (true, _) => Err(Error::TooLarge(state.len())),
            (false, true) => Err(Error::NotTaken),
            (false, false) => {
                if checkpoints.are_kept {
                    checkpoints.last = state.to_vec();
                }
                Ok(())
            }
        }
    }

    async fn stop_requested(&self) -> Stop {
        poll_fn(|_| if self.stopped.get() { Poll::Ready(Stop::PowerOff) } else { Poll::Pending }).await
    }
}

impl Fed for Guest {
    type Source = FeedBytes;

    async fn feed(&self) -> Result<Feed<FeedBytes>, kernel::feed::Error> {
        Ok(Feed::new(self.feed.take().ok_or(kernel::feed::Error::Taken)?))
    }
}

impl Feeding for Guest {
    type Channel = Stream;

    async fn serve(&self, task: u16) -> Result<Stream, kernel::feed::Error> {
        let come = |fed: &FedTasks| fed.there.get(&task).cloned();
        Ok(poll_fn(|context| self.fed.borrow_mut().poll(come, context)).await.stream())
    }

    async fn tasks(&self, known: &BTreeMap<u16, String>) -> BTreeMap<u16, String> {
        let other = |fed: &FedTasks| Some(fed.listed.clone()).filter(|listed| listed != known);
        poll_fn(|context| self.fed.borrow_mut().poll(other, context)).await
    }
}

impl Networked for Guest {
    type Network = Self;

    fn network(&self) -> &Self {
        self
    }
}

impl kernel::net::Network for Guest {
    async fn configured(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }
}
