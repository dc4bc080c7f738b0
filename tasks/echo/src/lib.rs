//! Echo: sends every TCP byte (RFC 862) and every UDP datagram back to whoever sent it.
//!
//! Several connections at once, each with its own buffer. Ping is answered by the network stack itself. The task ends
//! when it is asked to, with a report of what it did.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::Display;
use core::future::{Future, pending, poll_fn};
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::pin::Pin;
use core::task::Poll;

use embassy_futures::select::{Either, select};
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
    let served = select(echo_streams(&listener, most, counters), echo_datagrams(datagrams, counters)).await;
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
async fn echo_streams<L: TcpAccept>(listener: &L, most: usize, counters: &Counters) -> L::Error {
    let mut open = Vec::new();
    // After a failure to accept, nothing is accepted until a connection has ended and given back what it held.
    let mut may_accept = true;
    loop {
        let has_room = may_accept && open.len() < most;
        let accepted = async {
            match has_room {
                true => listener.accept().await,
                false => pending().await,
            }
        };
        match select(accepted, one_ended(&mut open)).await {
            Either::First(Ok((_, connection))) => {
                add(&counters.connections, 1);
                open.push(Box::pin(echo_stream(connection, &counters.bytes)));
            }
            Either::First(Err(error)) if open.is_empty() => return error,
            Either::First(Err(_)) => may_accept = false,
            Either::Second(()) => may_accept = true,
        }
    }
}

/// Serves the open connections until one or more have ended, and forgets these.
///
/// Each is asked whenever one has something to do. For the few connections of an echo server that costs less than to keep
/// track of which one it was.
async fn one_ended(open: &mut Vec<Pin<Box<impl Future>>>) {
    poll_fn(|context| {
        let before = open.len();
        open.retain_mut(|connection| connection.as_mut().poll(context).is_pending());
        if open.len() < before { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}

/// Serves one connection until its peer has closed it or is gone.
async fn echo_stream(mut connection: impl Read + Write, bytes: &Cell<u64>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(length @ 1..) = connection.read(&mut chunk).await {
        if connection.write_all(&chunk[..length]).await.is_err() {
            return;
        }
        add(bytes, length as u64);
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
