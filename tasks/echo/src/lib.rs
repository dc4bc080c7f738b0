//! Echo: sends every TCP byte (RFC 862) and every UDP datagram back to whoever sent it.
//!
//! Several connections at once, each with its own buffer. Ping is answered by the network stack itself. The task ends
//! when it is asked to, with a report of what it did.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::Display;
use core::future::{Future, pending, poll_fn};
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::pin::Pin;
use core::task::Poll;

use embassy_futures::select::{Either, Either3, select, select3};
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::{Read, Write};
use embedded_nal_async::UnconnectedUdp;
use kernel::Networked;
use kernel::net::{Network, TcpAccept};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// The port that RFC 862 gives to echo.
const DEFAULT_PORT: u16 = 7;

/// How many connections are served at once if the parameters do not say.
const DEFAULT_CONNECTIONS: u16 = 16;

/// What one connection reads before it writes it back.
const CHUNK_BYTES: usize = 4096;

/// A connection that has sent back less than a chunk for so long gives way to another, if all places are taken.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// The largest datagram that is sent back: what fits an Ethernet frame, and some more for a host's loopback.
const LARGEST_DATAGRAM_BYTES: usize = 2048;

/// What the task is told.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// The port, for TCP and UDP alike; 7 if not given.
    pub port: Option<u16>,
    /// How many connections are served at once, 16 if not given; more wait for their turn.
    pub connections: Option<u16>,
}

/// What the task did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// TCP connections that were accepted.
    pub connections: u64,
    /// Bytes sent back over TCP.
    pub bytes: u64,
    /// UDP datagrams sent back.
    pub datagrams: u64,
}

/// What has been done so far, counted by all connections.
#[derive(Default)]
struct Counters {
    connections: Cell<u64>,
    bytes: Cell<u64>,
    datagrams: Cell<u64>,
}

fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get() + count);
}

/// Serves until the task is asked to end.
///
/// # Errors
///
/// The port cannot be used, or no connection can be accepted.
pub async fn run(parameters: Parameters, system: &impl Networked) -> Result<Report, String> {
    let port = parameters.port.unwrap_or(DEFAULT_PORT);
    let most = usize::from(parameters.connections.unwrap_or(DEFAULT_CONNECTIONS).max(1));
    let counters = Counters::default();
    let served = select(system.stop_requested(), serve(system.network(), port, most, &counters)).await;
    match served {
        Either::Second(Err(error)) => Err(error),
        Either::First(_) | Either::Second(Ok(())) => Ok(Report {
            connections: counters.connections.get(),
            bytes: counters.bytes.get(),
            datagrams: counters.datagrams.get(),
        }),
    }
}

/// Serves for ever.
async fn serve(network: &impl Network, port: u16, most: usize, counters: &Counters) -> Result<(), String> {
    let address = network.configured().await;
    let listener = network.listen(port, most).await.map_err(|error| unusable("TCP", port, &error))?;
    let any = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
    let datagrams = network.bind_multiple(any).await.map_err(|error| unusable("UDP", port, &error))?;
    kernel::println!("echo: listening on {address}:{port}");
    let served = select(echo_streams(&listener, most, IDLE_LIMIT, counters), echo_datagrams(datagrams, counters)).await;
    match served {
        Either::First(error) => Err(unusable("TCP", port, &error)),
        Either::Second(error) => Err(unusable("UDP", port, &error)),
    }
}

/// Says what is wrong with a port.
fn unusable(protocol: &str, port: u16, why: &dyn Display) -> String {
    format!("no {protocol} on port {port}: {why}")
}

/// Accepts connections and serves them, at most `most` at once, until none can be accepted although none is open; says
/// why.
///
/// Those that only hold their places must not keep others away: while all places are taken and one more connection
/// waits, the one that has done least lately gives way to it.
async fn echo_streams<L: TcpAccept>(listener: &L, most: usize, idle_limit: Duration, counters: &Counters) -> L::Error {
    let idle_at = |served: &Served<_>| served.active_at.get() + idle_limit;
    let mut open = Vec::new();
    let mut waiting = None;
    // After a failure to accept, nothing is accepted until a connection has ended and given back what it held.
    let mut may_accept = true;
    loop {
        if open.len() >= most
            && waiting.is_some()
            && let Some(index) = idle_longest(&open).filter(|index| idle_at(&open[*index]) <= Instant::now())
        {
            drop(open.swap_remove(index));
        }
        if open.len() < most
            && let Some(connection) = waiting.take()
        {
            add(&counters.connections, 1);
            let active_at = Rc::new(Cell::new(Instant::now()));
            let stream = Box::pin(echo_stream(connection, Rc::clone(&active_at), &counters.bytes));
            open.push(Served { stream, active_at });
        }
        let accepted = async {
            match waiting.is_none() && may_accept {
                true => listener.accept().await,
                false => pending().await,
            }
        };
        let gives_way_at = idle_longest(&open).filter(|_| waiting.is_some()).map(|index| idle_at(&open[index]));
        let gives_way = async {
            match gives_way_at {
                Some(time) => Timer::at(time).await,
                None => pending().await,
            }
        };
        match select3(accepted, one_ended(&mut open), gives_way).await {
            Either3::First(Ok((_, connection))) => waiting = Some(connection),
            Either3::First(Err(error)) if open.is_empty() => return error,
            Either3::First(Err(_)) => may_accept = false,
            Either3::Second(()) => may_accept = true,
            Either3::Third(()) => {}
        }
    }
}

/// A connection that is served.
struct Served<F> {
    stream: Pin<Box<F>>,
    /// When it began, or has last sent back so much that it is not slow on purpose.
    active_at: Rc<Cell<Instant>>,
}

/// Which connection has done nothing for the longest time.
fn idle_longest<F>(open: &[Served<F>]) -> Option<usize> {
    (0..open.len()).min_by_key(|index| open[*index].active_at.get())
}

/// Serves the open connections until one or more have ended, and forgets these.
///
/// Each is asked whenever one has something to do. For the few connections of an echo server that costs less than to
/// keep track of which one it was.
async fn one_ended(open: &mut Vec<Served<impl Future>>) {
    poll_fn(|context| {
        let before = open.len();
        open.retain_mut(|served| served.stream.as_mut().poll(context).is_pending());
        if open.len() < before { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}

/// Serves one connection until its peer has closed it or is gone.
async fn echo_stream(mut connection: impl Read + Write, active_at: Rc<Cell<Instant>>, bytes: &Cell<u64>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut since_active = 0;
    while let Ok(length @ 1..) = connection.read(&mut chunk).await {
        if connection.write_all(&chunk[..length]).await.is_err() {
            return;
        }
        add(bytes, length as u64);
        since_active += length;
        if since_active >= CHUNK_BYTES {
            since_active = 0;
            active_at.set(Instant::now());
        }
    }
    // A peer that is gone takes no more bytes; there is nobody to tell.
    let _ = connection.flush().await;
}

/// Sends datagrams back until the socket fails, and says why it did.
async fn echo_datagrams<S: UnconnectedUdp>(mut socket: S, counters: &Counters) -> S::Error {
    let mut datagram = vec![0; LARGEST_DATAGRAM_BYTES];
    loop {
        let (length, local, remote) = match socket.receive_into(&mut datagram).await {
            Ok(received) => received,
            Err(error) => return error,
        };
        // One echo server must not answer another, or a forged datagram would bounce between them for ever.
        if length > datagram.len() || remote.port() == local.port() {
            continue;
        }
        // One peer that cannot be reached is no reason to end.
        if socket.send(local, remote, &datagram[..length]).await.is_ok() {
            add(&counters.datagrams, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use core::cell::{Cell, RefCell};
    use core::convert::Infallible;
    use core::pin::pin;
    use core::task::{Context, Waker};

    use embassy_futures::yield_now;
    use embedded_io_async::ErrorType;
    use kernel::stream::ReadInPlace;

    use super::*;

    /// So many connections come, and say nothing; those that are listened to are noted.
    struct Silent {
        to_come: Cell<usize>,
        served: Rc<RefCell<Vec<usize>>>,
    }

    struct Connection {
        number: usize,
        served: Rc<RefCell<Vec<usize>>>,
    }

    impl TcpAccept for Silent {
        type Error = Infallible;
        type Connection<'a> = Connection;

        async fn accept(&self) -> Result<(SocketAddr, Connection), Infallible> {
            // So that those which are open are served in between.
            yield_now().await;
            let Some(number) = self.to_come.get().checked_sub(1) else { return pending().await };
            self.to_come.set(number);
            let address = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
            Ok((address, Connection { number, served: Rc::clone(&self.served) }))
        }
    }

    impl ErrorType for Connection {
        type Error = Infallible;
    }

    impl Read for Connection {
        async fn read(&mut self, _: &mut [u8]) -> Result<usize, Infallible> {
            self.served.borrow_mut().push(self.number);
            pending().await
        }
    }

    impl ReadInPlace for Connection {
        async fn read_in_place<R>(&mut self, _: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Infallible> {
            pending().await
        }
    }

    impl Write for Connection {
        async fn write(&mut self, data: &[u8]) -> Result<usize, Infallible> {
            Ok(data.len())
        }

        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    /// Which of five silent connections are served when there are places for two.
    fn served(idle_limit: Duration) -> Vec<usize> {
        let served = Rc::new(RefCell::new(Vec::new()));
        let listener = Silent { to_come: Cell::new(5), served: Rc::clone(&served) };
        let counters = Counters::default();
        let mut streams = pin!(echo_streams(&listener, 2, idle_limit, &counters));
        // More often than there is anything to do.
        for _ in 0..50 {
            assert!(streams.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        served.take()
    }

    /// Says so much in each of its pieces, which come back, and then nothing.
    struct Talker {
        piece_bytes: usize,
        pieces: usize,
    }

    impl ErrorType for Talker {
        type Error = Infallible;
    }

    impl Read for Talker {
        async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
            let Some(left) = self.pieces.checked_sub(1) else { return pending().await };
            self.pieces = left;
            Ok(self.piece_bytes.min(buffer.len()))
        }
    }

    impl Write for Talker {
        async fn write(&mut self, data: &[u8]) -> Result<usize, Infallible> {
            Ok(data.len())
        }

        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    #[test]
    fn a_connection_is_active_when_a_whole_chunk_went_back_in_however_many_pieces() {
        for (piece_bytes, pieces, is_active) in [
            (CHUNK_BYTES, 1, true),
            (CHUNK_BYTES - 1, 1, false),
            (CHUNK_BYTES / 4, 3, false),
            (CHUNK_BYTES / 4, 4, true),
            (1, CHUNK_BYTES - 1, false),
        ] {
            let (active_at, bytes) = (Rc::new(Cell::new(Instant::MAX)), Cell::new(0));
            let talker = Talker { piece_bytes, pieces };
            let mut stream = pin!(echo_stream(talker, Rc::clone(&active_at), &bytes));
            assert!(stream.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(active_at.get() < Instant::MAX, is_active, "{pieces} pieces of {piece_bytes} bytes");
            assert_eq!(bytes.get(), (pieces * piece_bytes) as u64);
        }
    }

    #[test]
    fn connections_that_only_hold_their_places_give_way() {
        let all = served(Duration::from_ticks(0));
        assert_eq!(all, [4, 3, 2, 1, 0]);
    }

    #[test]
    fn connections_that_were_active_lately_keep_their_places() {
        assert_eq!(served(Duration::from_secs(3600)), [4, 3]);
    }
}
