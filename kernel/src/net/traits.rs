//! What a task sees of the network.
//!
//! Purpose: a task is written against [`Network`] and so runs unchanged on the stack of [`super::Runner`] in a guest
//! and on ordinary sockets on the developer's machine. The client side is `embedded-nal-async`, so that the ecosystem's
//! protocol clients fit; it has no TCP server, so [`TcpListen`] and [`TcpAccept`] add one in the same style.

// The futures need not be `Send`: a guest has one thread, and so has a task's executor on a host.
#![allow(async_fn_in_trait)]

use core::net::{Ipv4Addr, SocketAddr};

use crate::stream::ReadInPlace;

/// A network with TCP both ways, UDP and name resolution.
pub trait Network:
    for<'a> embedded_nal_async::TcpConnect<Connection<'a>: ReadInPlace>
    + embedded_nal_async::UdpStack
    + embedded_nal_async::Dns
    + TcpListen
{
    /// Resolves when the interface has an IPv4 address, and returns it.
    async fn configured(&self) -> Ipv4Addr;

    /// Sets how large the two buffers of a TCP connection are: for connections that begin from now on, and where there
    /// is memory for it. A platform whose operating system sizes them does nothing.
    fn set_buffers(&self, _buffers: Buffers) {}
}

/// The buffers of a TCP connection, which bound what can be under way in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffers {
    /// What has arrived and was not read, in bytes.
    pub receive: usize,
    /// What was written and is not acknowledged, in bytes.
    pub send: usize,
}

/// A network on which a task can wait for TCP connections.
pub trait TcpListen {
    /// What goes wrong with a listener or one of its connections.
    type Error: embedded_io_async::Error;

    /// A port that is being listened on. Dropping it stops listening and resets the connections nobody accepted.
    type Listener<'a>: TcpAccept<Error = Self::Error>
    where
        Self: 'a;

    /// Listens on `port`.
    ///
    /// `backlog` is how many connections may be in their handshake or waiting to be accepted at once; more than these
    /// are told to try again by silence, not refused.
    ///
    /// # Errors
    ///
    /// The port is 0 or in use, or there is no memory for the backlog's buffers.
    async fn listen(&self, port: u16, backlog: usize) -> Result<Self::Listener<'_>, Self::Error>;
}

/// A port that is being listened on.
pub trait TcpAccept {
    /// What goes wrong with the listener or one of its connections.
    type Error: embedded_io_async::Error;

    /// An established connection. Dropping it sends what was written, then closes.
    type Connection<'a>: ReadInPlace<Error = Self::Error> + embedded_io_async::Write<Error = Self::Error>
    where
        Self: 'a;

    /// Waits for the next connection, and returns it with its peer's address.
    ///
    /// Dropping the future loses no connection.
    ///
    /// # Errors
    ///
    /// The platform cannot give another connection now. The listener stays usable.
    async fn accept(&self) -> Result<(SocketAddr, Self::Connection<'_>), Self::Error>;
}
