//! The traits that a task sees of the network.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::task::Poll;

use embedded_nal_async::{AddrType, Dns, TcpConnect, UdpStack};
use kernel::net::{TcpAccept, TcpListen};

use crate::datagrams::Datagrams;
use crate::error::Error;
use crate::guest::Guest;
use crate::peer::Stream;

/// The address of clients, one of those that are reserved for documentation.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Their port.
const CLIENT_PORT: u16 = 50_000;

impl TcpConnect for Guest {
    type Error = Error;
    type Connection<'a> = Stream;

    async fn connect(&self, remote: SocketAddr) -> Result<Stream, Error> {
        self.servers.borrow().get(&remote.port()).map(|server| server.stream()).ok_or(Error::Refused)
    }
}

impl Dns for Guest {
    type Error = Error;

    async fn get_host_by_name(&self, host: &str, _: AddrType) -> Result<IpAddr, Error> {
        self.names.borrow().get(host).copied().ok_or(Error::NoSuchName)
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, Error> {
        Err(Error::NoSuchName)
    }
}

impl TcpListen for Guest {
    type Error = Error;
    type Listener<'a> = Listener<'a>;

    async fn listen(&self, port: u16, _backlog: usize) -> Result<Listener<'_>, Error> {
        Ok(Listener { guest: self, port })
    }
}

/// A port on which the task listens.
#[derive(Debug)]
pub struct Listener<'g> {
    guest: &'g Guest,
    port: u16,
}

impl TcpAccept for Listener<'_> {
    type Error = Error;
    type Connection<'a>
        = Stream
    where
        Self: 'a;

    async fn accept(&self) -> Result<(SocketAddr, Stream), Error> {
        let next = || self.guest.clients.borrow_mut().get_mut(&self.port)?.pop_front();
        let client = poll_fn(|_| next().map_or(Poll::Pending, Poll::Ready)).await;
        Ok((SocketAddr::V4(SocketAddrV4::new(CLIENT, CLIENT_PORT)), client.stream()))
    }
}

impl UdpStack for Guest {
    type Error = Error;
    type Connected = Datagrams;
    type UniquelyBound = Datagrams;
    type MultiplyBound = Datagrams;

    async fn connect_from(&self, local: SocketAddr, remote: SocketAddr) -> Result<(SocketAddr, Datagrams), Error> {
        let socket = Datagrams::new(&self.mail, local, Some(remote));
        Ok((socket.local(), socket))
    }

    async fn bind_single(&self, local: SocketAddr) -> Result<(SocketAddr, Datagrams), Error> {
        let socket = Datagrams::new(&self.mail, local, None);
        Ok((socket.local(), socket))
    }

    async fn bind_multiple(&self, local: SocketAddr) -> Result<Datagrams, Error> {
        Ok(Datagrams::new(&self.mail, local, None))
    }
}
