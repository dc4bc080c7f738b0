//! TCP servers.
//!
//! `smoltcp` needs one socket, with its buffers, for each connection that may come next. So each listener keeps just one
//! socket that listens, and gets another right after a SYN took that one, before the next frame is looked at. A listener
//! whose backlog is full, or for which there is no memory, has none; [`super::filter`] then hides SYNs to its port.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::task::Poll;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::sockets::{Sockets, keep_alive};
use super::state::State;
use super::tcp::TcpConnection;
use super::wakers::Wakers;
use super::{Error, Handle, TcpAccept, TcpListen};

/// One port that is listened on.
pub(super) struct Backlog {
    port: u16,
    limit: usize,
    /// In the order in which the connections came; the one that still listens is the last.
    sockets: Vec<SocketHandle>,
    /// Those who wait for a connection.
    accepting: Wakers,
}

impl Backlog {
    /// Sorts out what became of the sockets, and sees to it that one listens. Returns false if none does.
    fn refresh(&mut self, sockets: &mut Sockets) -> bool {
        let mut listens = false;
        let mut index = 0;
        while let Some(handle) = self.sockets.get(index).copied() {
            let socket = sockets.tcp(handle);
            let keep = match socket.state() {
                // A second one comes about when a peer takes its SYN back.
                tcp::State::Listen => !core::mem::replace(&mut listens, true),
                tcp::State::SynReceived => true,
                tcp::State::Closed => false,
                _ => {
                    keep_alive(socket);
                    self.accepting.wake();
                    true
                }
            };
            if keep {
                index += 1;
            } else {
                sockets.remove(handle);
                self.sockets.remove(index);
            }
        }
        if !listens && self.sockets.len() < self.limit && self.add(sockets).is_ok() {
            listens = true;
        }
        listens
    }

    /// Adds a socket that listens.
    fn add(&mut self, sockets: &mut Sockets) -> Result<(), Error> {
        let handle = sockets.add_tcp()?;
        if sockets.tcp(handle).listen(self.port).is_err() {
            sockets.remove(handle);
            return Err(Error::InvalidAddress);
        }
        self.sockets.push(handle);
        Ok(())
    }

    /// Takes the connection that has waited longest.
    fn take(&mut self, sockets: &mut Sockets) -> Option<(SocketAddr, SocketHandle)> {
        let (index, remote) = self.sockets.iter().enumerate().find_map(|(index, handle)| {
            let socket = sockets.tcp(*handle);
            let waits = !matches!(socket.state(), tcp::State::Listen | tcp::State::SynReceived | tcp::State::Closed);
            waits.then(|| socket.remote_endpoint()).flatten().map(|remote| (index, remote))
        })?;
        Some((socket_address(remote), self.sockets.remove(index)))
    }
}

impl State {
    /// Looks after all listeners; called after each frame.
    pub(super) fn refresh_backlogs(&mut self) {
        self.full_ports.clear();
        for backlog in &mut self.backlogs {
            if !backlog.refresh(&mut self.sockets) {
                self.full_ports.push(backlog.port);
            }
        }
    }

    fn backlog(&mut self, port: u16) -> Option<&mut Backlog> {
        self.backlogs.iter_mut().find(|backlog| backlog.port == port)
    }
}

impl TcpListen for Handle {
    type Error = Error;
    type Listener<'a> = TcpListener;

    async fn listen(&self, port: u16, backlog: usize) -> Result<TcpListener, Error> {
        self.with(|state| {
            if port == 0 {
                return Err(Error::InvalidAddress);
            }
            if state.backlog(port).is_some() || state.sockets.tcp_port_in_use(port) {
                return Err(Error::PortInUse);
            }
            let mut backlog =
                Backlog { port, limit: backlog.max(1), sockets: Vec::new(), accepting: Wakers::default() };
            backlog.add(&mut state.sockets)?;
            state.backlogs.push(backlog);
            Ok(TcpListener { handle: *self, port })
        })
    }
}

/// A port that is listened on. Dropping it resets the connections that nobody accepted.
pub struct TcpListener {
    handle: Handle,
    port: u16,
}

impl TcpAccept for TcpListener {
    type Error = Error;
    type Connection<'a> = TcpConnection;

    async fn accept(&self) -> Result<(SocketAddr, TcpConnection), Error> {
        core::future::poll_fn(|context| {
            self.handle.with(|state| {
                // The backlog lives as long as this listener.
                let State { backlogs, sockets, .. } = state;
                let Some(backlog) = backlogs.iter_mut().find(|backlog| backlog.port == self.port) else {
                    return Poll::Ready(Err(Error::Closed));
                };
                match backlog.take(sockets) {
                    Some((remote, socket)) => {
                        state.refresh_backlogs();
                        Poll::Ready(Ok((remote, TcpConnection::new(self.handle, socket))))
                    }
                    None => {
                        backlog.accepting.register(context.waker());
                        Poll::Pending
                    }
                }
            })
        })
        .await
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.handle.with(|state| {
            let Some(index) = state.backlogs.iter().position(|backlog| backlog.port == self.port) else { return };
            for socket in state.backlogs.swap_remove(index).sockets {
                state.abort(socket);
            }
            state.refresh_backlogs();
        });
    }
}

/// The address, of which only one kind is spoken.
pub(super) fn ipv4(address: IpAddress) -> Ipv4Addr {
    match address {
        IpAddress::Ipv4(address) => address,
        // Compiled in for segmentation offload; the filter hides its frames.
        #[cfg(feature = "segmentation-offload")]
        IpAddress::Ipv6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// `smoltcp`'s endpoint in the standard library's terms.
pub(super) fn socket_address(endpoint: IpEndpoint) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(ipv4(endpoint.addr), endpoint.port))
}
