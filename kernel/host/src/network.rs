//! The machine's own sockets behind the traits that a task sees.
//!
//! UDP and names are those of `std-embedded-nal-async`; TCP is ours.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;

use async_io::Async;
use embedded_nal_async::{AddrType, Dns, TcpConnect, UdpStack};
use kernel::net::{Network, TcpAccept, TcpListen};
use kernel::stream::ReadInPlace;
use std_embedded_nal_async::Stack;

/// An address outside, of those that are reserved for documentation: a socket connected to it, which sends nothing,
/// knows which of the machine's addresses it would send from.
const OUTSIDE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The machine's network.
#[derive(Clone, Default)]
pub struct HostNetwork {
    stack: Stack,
}

impl Network for HostNetwork {
    /// The address of the machine that it uses to the outside, or that of its loopback.
    async fn configured(&self) -> Ipv4Addr {
        let own = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|socket| socket.connect(OUTSIDE).and_then(|()| socket.local_addr()));
        match own.map(|own| own.ip()) {
            Ok(IpAddr::V4(address)) => address,
            _ => Ipv4Addr::LOCALHOST,
        }
    }
}

impl TcpConnect for HostNetwork {
    type Error = io::Error;
    type Connection<'a> = Connection;

    async fn connect(&self, remote: SocketAddr) -> io::Result<Connection> {
        Connection::new(Async::<TcpStream>::connect(remote).await?)
    }
}

impl UdpStack for HostNetwork {
    type Error = io::Error;
    type Connected = <Stack as UdpStack>::Connected;
    type UniquelyBound = <Stack as UdpStack>::UniquelyBound;
    type MultiplyBound = <Stack as UdpStack>::MultiplyBound;

    async fn connect_from(&self, local: SocketAddr, remote: SocketAddr) -> io::Result<(SocketAddr, Self::Connected)> {
        self.stack.connect_from(local, remote).await
    }

    async fn bind_single(&self, local: SocketAddr) -> io::Result<(SocketAddr, Self::UniquelyBound)> {
        self.stack.bind_single(local).await
    }

    async fn bind_multiple(&self, local: SocketAddr) -> io::Result<Self::MultiplyBound> {
        self.stack.bind_multiple(local).await
    }
}

impl Dns for HostNetwork {
    type Error = io::Error;

    async fn get_host_by_name(&self, host: &str, addr_type: AddrType) -> io::Result<IpAddr> {
        self.stack.get_host_by_name(host, addr_type).await
    }

    async fn get_host_by_address(&self, addr: IpAddr, result: &mut [u8]) -> io::Result<usize> {
        self.stack.get_host_by_address(addr, result).await
    }
}

impl TcpListen for HostNetwork {
    type Error = io::Error;
    type Listener<'a> = Listener;

    /// Listens on all IPv4 addresses. The operating system chooses the backlog itself.
    async fn listen(&self, port: u16, _backlog: usize) -> io::Result<Listener> {
        // The standard library lets a port be used again right after a program that listened on it has ended.
        Ok(Listener(Async::new(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?)?))
    }
}

/// A port that is listened on.
pub struct Listener(Async<TcpListener>);

impl TcpAccept for Listener {
    type Error = io::Error;
    type Connection<'a> = Connection;

    async fn accept(&self) -> io::Result<(SocketAddr, Connection)> {
        let (stream, remote) = self.0.accept().await?;
        Ok((remote, Connection::new(stream)?))
    }
}

/// How much is read ahead for [`ReadInPlace`].
const AHEAD_BYTES: usize = 128 * 1024;

/// A connection.
pub struct Connection {
    stream: Async<TcpStream>,
    /// For [`ReadInPlace`], of which this part has not been taken yet.
    ahead: Vec<u8>,
    unread: Range<usize>,
}

impl Connection {
    fn new(stream: Async<TcpStream>) -> io::Result<Self> {
        // As in a guest: what is written goes out at once.
        stream.get_ref().set_nodelay(true)?;
        Ok(Self { stream, ahead: Vec::new(), unread: 0..0 })
    }
}

impl embedded_io_async::ErrorType for Connection {
    type Error = io::Error;
}

impl embedded_io_async::Read for Connection {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            return self.stream.read_with(|mut stream| stream.read(buffer)).await;
        }
        let length = Read::read(&mut &self.ahead[self.unread.clone()], buffer)?;
        self.unread.start += length;
        Ok(length)
    }
}

impl ReadInPlace for Connection {
    async fn read_in_place<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> io::Result<R> {
        if self.unread.is_empty() {
            let Self { stream, ahead, .. } = self;
            ahead.resize(AHEAD_BYTES, 0);
            self.unread = 0..stream.read_with(|mut stream| stream.read(ahead)).await?;
        }
        let (length, result) = take(&self.ahead[self.unread.clone()]);
        self.unread.start += length.min(self.unread.len());
        Ok(result)
    }
}

impl embedded_io_async::Write for Connection {
    async fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.stream.write_with(|mut stream| stream.write(data)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
