//! The ports that are listened on, and the connections that nobody has accepted yet.
//!
//! `smoltcp` needs one socket, with its buffers, for each connection that may come next. So each listener keeps just
//! one socket that listens, and gets another right after a SYN took that one, before the next frame is looked at. A
//! listener whose backlog is full, or for which there is no memory, has none; [`super::filter`] then hides SYNs to its
//! port.
//!
//! Handshakes that nobody means to finish must not make a listener deaf. So after a SYN that found the backlog full,
//! the oldest unfinished handshake gives way, unless it is so young that its peer's answer may still be on the way (RFC
//! 4987, 3.3).

use alloc::vec::Vec;
use core::cell::Cell;
use core::net::SocketAddr;
use core::task::Waker;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};

use super::closing::Closing;
use super::endpoint::socket_address;
use super::sockets::{Sockets, keep_alive};
use super::wakers::Wakers;
use crate::net::error::Error;

/// How old an unfinished handshake is before it gives way to another: the way there and back in most networks.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(100);

/// All ports that are listened on.
pub(crate) struct Backlogs {
    backlogs: Vec<Backlog>,
    /// The time of the poll loop's last turn.
    now: Instant,
    /// Unfinished handshakes that gave way to others.
    pub(crate) half_open_dropped: u32,
}

impl Default for Backlogs {
    fn default() -> Self {
        Self { backlogs: Vec::new(), now: Instant::ZERO, half_open_dropped: 0 }
    }
}

impl Backlogs {
    /// Listens on a port, which no other socket uses.
    pub(crate) fn open(
        &mut self,
        port: u16,
        limit: usize,
        sockets: &mut Sockets,
        closing: &mut Closing,
    ) -> Result<(), Error> {
        let mut backlog = Backlog {
            port,
            limit,
            waiting: Vec::new(),
            listens: true,
            refused: Cell::new(false),
            accepting: Wakers::default(),
        };
        backlog.add(sockets, closing)?;
        self.backlogs.push(backlog);
        Ok(())
    }

    /// Listens no more, and returns the port's sockets.
    pub(crate) fn close(&mut self, port: u16) -> impl Iterator<Item = SocketHandle> + use<> {
        let closed = self.backlogs.iter().position(|backlog| backlog.port == port);
        let waiting = closed.map(|index| self.backlogs.swap_remove(index).waiting).unwrap_or_default();
        waiting.into_iter().map(|waiting| waiting.socket)
    }

    /// Notes the time, for what is done until the next call.
    pub(crate) fn set_time(&mut self, now: Instant) {
        self.now = now;
    }

    /// Looks after all listeners; called before each frame.
    pub(crate) fn refresh(&mut self, sockets: &mut Sockets, closing: &mut Closing) {
        let Self { backlogs, now, half_open_dropped } = self;
        for backlog in backlogs {
            *half_open_dropped = half_open_dropped.wrapping_add(backlog.refresh(sockets, closing, *now));
        }
    }

    /// Whether no further connection can come to the port, though it is listened on.
    pub(crate) fn is_full(&self, port: u16) -> bool {
        self.backlogs.iter().any(|backlog| backlog.port == port && !backlog.listens)
    }

    /// A SYN to a full port was dropped.
    pub(crate) fn note_refused(&self, port: u16) {
        self.backlogs.iter().filter(|backlog| backlog.port == port).for_each(|backlog| backlog.refused.set(true));
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
    waiting: Vec<Waiting>,
    /// Whether one of them listens.
    listens: bool,
    /// A SYN came while none did.
    refused: Cell<bool>,
    /// Those who wait for a connection.
    accepting: Wakers,
}

/// A socket that nobody has accepted.
struct Waiting {
    socket: SocketHandle,
    /// When its SYN had come.
    since: Option<Instant>,
}

impl Backlog {
    /// Sorts out what became of the sockets, and sees to it that one listens, if possible.
    /// Returns how many unfinished handshakes have given way.
    fn refresh(&mut self, sockets: &mut Sockets, closing: &mut Closing, now: Instant) -> u32 {
        self.listens = false;
        let mut index = 0;
        while let Some(waiting) = self.waiting.get_mut(index) {
            let socket = sockets.tcp(waiting.socket);
            let keep = match socket.state() {
                // A second one comes about when a peer takes its SYN back.
                tcp::State::Listen => !core::mem::replace(&mut self.listens, true),
                // smoltcp gives a SYN to whoever listens, even if there is its connection already.
                tcp::State::SynReceived => match waiting.since {
                    Some(_) => true,
                    None => {
                        waiting.since = Some(now);
                        !sockets.has_twin(waiting.socket)
                    }
                },
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
                sockets.remove(self.waiting.remove(index).socket);
            }
        }
        if self.listens {
            return 0;
        }
        let is_full = self.waiting.len() >= self.limit;
        let gives_way = self.refused.take() && is_full && self.drop_half_open(sockets, now);
        self.listens = self.waiting.len() < self.limit && self.add(sockets, closing).is_ok();
        gives_way.into()
    }

    /// Removes the oldest unfinished handshake, if it is old enough. Its peer is not told: it need not be who asked.
    fn drop_half_open(&mut self, sockets: &mut Sockets, now: Instant) -> bool {
        let is_stale = |waiting: &Waiting| waiting.since.is_some_and(|since| since + HANDSHAKE_GRACE <= now);
        let index = self
            .waiting
            .iter()
            .position(|waiting| is_stale(waiting) && sockets.tcp(waiting.socket).state() == tcp::State::SynReceived);
        let Some(index) = index else { return false };
        let handle = self.waiting.remove(index).socket;
        if let Some(tuple) = sockets.four_tuple(handle) {
            sockets.sequences.forget(&tuple);
        }
        sockets.remove(handle);
        true
    }

    /// Adds a socket that listens.
    fn add(&mut self, sockets: &mut Sockets, closing: &mut Closing) -> Result<(), Error> {
        let socket = closing.make_room(sockets, Sockets::add_tcp)?;
        if sockets.tcp(socket).listen(self.port).is_err() {
            sockets.remove(socket);
            return Err(Error::InvalidAddress);
        }
        self.waiting.push(Waiting { socket, since: None });
        Ok(())
    }

    /// Takes the connection that has waited longest.
    fn take(&mut self, sockets: &mut Sockets) -> Option<(SocketAddr, SocketHandle)> {
        let (index, remote) = self.waiting.iter().enumerate().find_map(|(index, waiting)| {
            let socket = sockets.tcp(waiting.socket);
            let waits = !matches!(socket.state(), tcp::State::Listen | tcp::State::SynReceived | tcp::State::Closed);
            waits.then(|| socket.remote_endpoint()).flatten().map(|remote| (index, remote))
        })?;
        Some((socket_address(remote), self.waiting.remove(index).socket))
    }
}
