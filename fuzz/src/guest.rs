//! A platform for tasks whose only network are two servers' streams of bytes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use embedded_io_async::{ErrorType, Read, Write};
use embedded_nal_async::{AddrType, ConnectedUdp, Dns, TcpConnect, UdpStack, UnconnectedUdp};
use kernel::net::{Network, ReadInPlace, TcpAccept, TcpListen};
use kernel::{Memory, Networked, Stop, System};

/// Polls without progress after which a task waits for something that does not come.
const QUIET: u32 = 3;

/// What a connection holds before the guest has to wait until the broker has seen it.
const UNSEEN_MAX: usize = 2048;

/// Whether the task has asked to be polled again.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One broker's end of a connection.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) to_guest: VecDeque<u8>,
    pub(crate) from_guest: Vec<u8>,
    /// Bytes that the guest has written since the broker could last look at them.
    unseen: usize,
    /// Closes the connection when all has been read.
    pub(crate) closes: bool,
}

/// The platform. The port that the guest connects to is the broker's index.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    pub(crate) brokers: [Rc<RefCell<Wire>>; 2],
    /// Bytes and connections so far.
    progress: Rc<Cell<u64>>,
}

impl Guest {
    /// Polls a task until it ends or waits for what does not come; `answer` is called in between.
    ///
    /// # Panics
    /// When the task goes on and on.
    pub(crate) fn run<T>(&self, task: impl Future<Output = T>, mut answer: impl FnMut(&Self)) -> Option<T> {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut task = pin!(task);
        let bytes: usize = self.brokers.iter().map(|wire| wire.borrow().to_guest.len()).sum();
        let mut quiet = 0;
        for _ in 0..1000 + 4 * bytes {
            let before = self.progress.get();
            if let Poll::Ready(outcome) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(outcome);
            }
            answer(self);
            // A task that gives others a turn goes on by itself.
            let goes_on = woken.0.swap(false, Ordering::Relaxed) || self.progress.get() != before;
            quiet = if goes_on { 0 } else { quiet + 1 };
            if quiet == QUIET {
                return None;
            }
        }
        panic!("the task does not come to rest");
    }
}

impl System for Guest {
    fn memory(&self) -> Memory {
        Memory { total_bytes: 0, image_bytes: 0, heap_bytes: 0, heap_used_bytes: 0, heap_peak_bytes: 0 }
    }

    fn random(&self, destination: &mut [u8]) {
        destination.fill(7);
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_700_000_000)
    }

    async fn stop_requested(&self) -> Stop {
        pending().await
    }
}

impl Networked for Guest {
    type Network = Self;

    fn network(&self) -> &Self {
        self
    }
}

impl Network for Guest {
    async fn configured(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }
}

/// The guest's end of a connection.
#[derive(Debug)]
pub(crate) struct Stream {
    wire: Rc<RefCell<Wire>>,
    progress: Rc<Cell<u64>>,
}

impl Stream {
    /// Waits until there are bytes, or will not be any.
    async fn readable(&self) {
        poll_fn(|_| {
            let wire = self.wire.borrow();
            if wire.to_guest.is_empty() && !wire.closes { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    fn moved(&self, count: usize) -> Result<usize, Infallible> {
        self.progress.set(self.progress.get() + count as u64);
        Ok(count)
    }
}

impl ErrorType for Stream {
    type Error = Infallible;
}

impl Read for Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        self.readable().await;
        let mut wire = self.wire.borrow_mut();
        let count = buffer.len().min(wire.to_guest.len());
        buffer.iter_mut().zip(wire.to_guest.drain(..count)).for_each(|(place, byte)| *place = byte);
        self.moved(count)
    }
}

impl ReadInPlace for Stream {
    async fn read_in_place<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Infallible> {
        self.readable().await;
        let mut wire = self.wire.borrow_mut();
        let (count, result) = take(wire.to_guest.make_contiguous());
        let count = count.min(wire.to_guest.len());
        wire.to_guest.drain(..count);
        self.moved(count)?;
        Ok(result)
    }
}

impl Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let unseen = &mut self.wire.borrow_mut().unseen;
            if *unseen < UNSEEN_MAX {
                return Poll::Ready(());
            }
            *unseen = 0;
            Poll::Pending
        })
        .await;
        let mut wire = self.wire.borrow_mut();
        wire.from_guest.extend(bytes);
        wire.unseen += bytes.len();
        self.moved(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl TcpConnect for Guest {
    type Error = Infallible;
    type Connection<'a> = Stream;

    async fn connect(&self, remote: SocketAddr) -> Result<Stream, Infallible> {
        let Some(wire) = self.brokers.get(usize::from(remote.port()) - 1) else { return pending().await };
        let stream = Stream { wire: Rc::clone(wire), progress: Rc::clone(&self.progress) };
        stream.moved(1)?;
        Ok(stream)
    }
}

impl Dns for Guest {
    type Error = Infallible;

    async fn get_host_by_name(&self, _: &str, _: AddrType) -> Result<IpAddr, Infallible> {
        pending().await
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, Infallible> {
        pending().await
    }
}

/// What the tasks here have no use for.
#[derive(Debug)]
pub(crate) enum Unused {}

impl UdpStack for Guest {
    type Error = Infallible;
    type Connected = Unused;
    type UniquelyBound = Unused;
    type MultiplyBound = Unused;

    async fn connect_from(&self, _: SocketAddr, _: SocketAddr) -> Result<(SocketAddr, Unused), Infallible> {
        pending().await
    }

    async fn bind_single(&self, _: SocketAddr) -> Result<(SocketAddr, Unused), Infallible> {
        pending().await
    }

    async fn bind_multiple(&self, _: SocketAddr) -> Result<Unused, Infallible> {
        pending().await
    }
}

impl ConnectedUdp for Unused {
    type Error = Infallible;

    async fn send(&mut self, _: &[u8]) -> Result<(), Infallible> {
        match *self {}
    }

    async fn receive_into(&mut self, _: &mut [u8]) -> Result<usize, Infallible> {
        match *self {}
    }
}

impl UnconnectedUdp for Unused {
    type Error = Infallible;

    async fn send(&mut self, _: SocketAddr, _: SocketAddr, _: &[u8]) -> Result<(), Infallible> {
        match *self {}
    }

    async fn receive_into(&mut self, _: &mut [u8]) -> Result<(usize, SocketAddr, SocketAddr), Infallible> {
        match *self {}
    }
}

impl TcpListen for Guest {
    type Error = Infallible;
    type Listener<'a> = Unused;

    async fn listen(&self, _: u16, _: usize) -> Result<Unused, Infallible> {
        pending().await
    }
}

impl TcpAccept for Unused {
    type Error = Infallible;
    type Connection<'a> = Stream;

    async fn accept(&self) -> Result<(SocketAddr, Stream), Infallible> {
        match *self {}
    }
}
