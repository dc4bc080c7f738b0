//! The ports that are listened on, and the connections that nobody has accepted yet.
//!
//! `smoltcp` needs one socket, with its buffers, for each connection that may come next. So each listener keeps just one
//! socket that listens, and gets another right after a SYN took that one, before the next frame is looked at. A listener
//! whose backlog is full, or for which there is no memory, has none; [`super::filter`] then hides SYNs to its port.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::task::Waker;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;

use super::endpoint::socket_address;
use super::sockets::{Sockets, keep_alive};
use super::wakers::Wakers;
use crate::net::error::Error;

/// All ports that are listened on.
#[derive(Default)]
pub(crate) struct Backlogs {
    backlogs: Vec<Backlog>,
    /// Ports whose listener has no socket free for another connection.
    full_ports: Vec<u16>,
}

impl Backlogs {
    /// Listens on a port, which no other socket uses.
    pub(crate) fn open(&mut self, port: u16, limit: usize, sockets: &mut Sockets) -> Result<(), Error> {
        let mut backlog = Backlog { port, limit, sockets: Vec::new(), accepting: Wakers::default() };
        backlog.add(sockets)?;
        self.backlogs.push(backlog);
        Ok(())
    }

    /// Listens no more, and returns the port's sockets.
    pub(crate) fn close(&mut self, port: u16) -> Vec<SocketHandle> {
        match self.backlogs.iter().position(|backlog| backlog.port == port) {
            Some(index) => self.backlogs.swap_remove(index).sockets,
            None => Vec::new(),
        }
    }

    /// Looks after all listeners; called after each frame.
    pub(crate) fn refresh(&mut self, sockets: &mut Sockets) {
        self.full_ports.clear();
        for backlog in &mut self.backlogs {
            if !backlog.refresh(sockets) {
                self.full_ports.push(backlog.port);
            }
        }
    }

    /// The ports to which no further connection can come now.
    pub(crate) fn full_ports(&self) -> &[u16] {
        &self.full_ports
    }

    pub(crate) fn is_open(&self, port: u16) -> bool {
        self.backlogs.iter().any(|backlog| backlog.port == port)
    }

    /// Takes the connection that has waited longest for the port's listener, which is woken when there is one.
    pub(crate) fn accept(
        &mut self,
        port: u16,
        sockets: &mut Sockets,
        waker: &Waker,
    ) -> Result<Option<(SocketAddr, SocketHandle)>, Error> {
        let backlog = self.backlogs.iter_mut().find(|backlog| backlog.port == port).ok_or(Error::Closed)?;
        let connection = backlog.take(sockets);
        if connection.is_none() {
            backlog.accepting.register(waker);
        }
        Ok(connection)
    }
}

/// One port that is listened on.
struct Backlog {
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
