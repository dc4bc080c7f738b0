//! Sockets whose users are gone: what was written still goes out, then they are removed.
//!
//! A peer decides how long that takes, and peers may be many. So these sockets live within the budget of all buffers:
//! when a new socket is wanted while they hold more than half of it, the oldest are reset, and when there is no room for
//! it, the oldest is removed at once. A peer of a removed one is told when it next says something, as for any connection
//! that is not known. While nobody else wants the room, all are delivered.

use alloc::vec::Vec;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};

use super::deadline::sooner;
use super::sequence::FourTuple;
use super::sockets::Sockets;
use super::wakers::Wakers;
use crate::net::error::Error;

/// How long a connection may take to deliver what was written and to close; then it is reset.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the reset of a connection, or a last datagram, may wait for its destination to be found.
const LAST_PACKET_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a closed connection stays to repeat its last acknowledgement. RFC 9293 asks for minutes; all that is at
/// risk here is that a peer which lost the acknowledgement sees a reset after all data was delivered, while the buffers
/// are worth more.
const TIME_WAIT: Duration = Duration::from_secs(1);

/// The part of the budget, one in this many, that connections without users may hold when another one comes.
const CLOSING_SHARE: usize = 2;

/// The sockets without users.
#[derive(Default)]
pub(crate) struct Closing {
    /// The oldest first.
    sockets: Vec<Entry>,
    /// Those who wait until nothing is left to send.
    pub(crate) settled: Wakers,
    /// A socket was added since the poll loop's last turn.
    wanted: bool,
    /// Connections that were reset or removed to make room, before all was delivered.
    pub(crate) evicted: u32,
}

struct Entry {
    socket: SocketHandle,
    /// A TCP socket's addresses and ports, which it forgets at its own end.
    tuple: Option<FourTuple>,
    stage: Stage,
    /// When the stage ends. Only the poll loop knows the time, so its next turn sets this.
    until: Option<Instant>,
    /// Nothing of ours is under way any more, though the peer may not be done.
    delivered: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// A TCP socket that sends the rest of its data and closes.
    Delivering,
    /// A TCP socket that has told its peer to forget the connection.
    Resetting,
    /// A TCP socket that is done and may have to repeat its last acknowledgement.
    TimeWait,
    /// A UDP socket with datagrams to send.
    Datagrams,
}

impl Stage {
    fn duration(self) -> Duration {
        match self {
            Stage::Delivering => CLOSING_TIMEOUT,
            Stage::Resetting | Stage::Datagrams => LAST_PACKET_TIMEOUT,
            Stage::TimeWait => TIME_WAIT,
        }
    }
}

impl Closing {
    /// Closes a connection in order.
    pub(crate) fn close(&mut self, sockets: &mut Sockets, socket: SocketHandle) {
        let tuple = sockets.four_tuple(socket);
        sockets.tcp(socket).close();
        self.push(socket, tuple, Stage::Delivering);
    }

    /// Resets a connection.
    pub(crate) fn abort(&mut self, sockets: &mut Sockets, socket: SocketHandle) {
        let tuple = sockets.four_tuple(socket);
        sockets.tcp(socket).abort();
        self.push(socket, tuple, Stage::Resetting);
    }

    /// Removes a UDP socket when its datagrams are sent.
    pub(crate) fn finish_datagrams(&mut self, socket: SocketHandle) {
        self.push(socket, None, Stage::Datagrams);
    }

    fn push(&mut self, socket: SocketHandle, tuple: Option<FourTuple>, stage: Stage) {
        self.sockets.push(Entry { socket, tuple, stage, until: None, delivered: false });
    }

    /// Removes a socket. Its connection is forgotten, so that its peer may use the same port for another.
    fn remove(&mut self, index: usize, sockets: &mut Sockets) {
        let Entry { socket, tuple, .. } = self.sockets.remove(index);
        if let Some(tuple) = tuple {
            sockets.sequences.forget(&tuple);
        }
        sockets.remove(socket);
    }

    /// True if nothing is left to send.
    pub(crate) fn is_settled(&self) -> bool {
        self.sockets.iter().all(|entry| entry.delivered)
    }

    /// Moves every socket on. Returns whether there is more for the network to do at once.
    // Within its only caller, both would want more registers than there are.
    #[inline(never)]
    pub(crate) fn poll(&mut self, sockets: &mut Sockets, now: Instant) -> bool {
        let mut changed = false;
        let mut index = 0;
        while let Some(entry) = self.sockets.get_mut(index) {
            let expired = *entry.until.get_or_insert(now + entry.stage.duration()) <= now;
            let next = match entry.stage {
                Stage::Datagrams => (!expired && sockets.udp(entry.socket).send_queue() > 0).then_some(entry.stage),
                stage => {
                    let socket = sockets.tcp(entry.socket);
                    let next = next_stage(socket, stage, expired, &mut changed);
                    entry.delivered = matches!(socket.state(), tcp::State::FinWait2 | tcp::State::TimeWait);
                    next
                }
            };
            match next {
                Some(stage) => {
                    if stage != entry.stage {
                        changed = true;
                        entry.stage = stage;
                        entry.until = Some(now + stage.duration());
                    }
                    index += 1;
                }
                None => self.remove(index, sockets),
            }
        }
        if core::mem::take(&mut self.wanted) {
            changed |= self.reset_oldest(sockets, now);
        }
        if self.is_settled() {
            self.settled.wake();
        }
        changed
    }

    /// Resets the oldest connections, if all hold more than their part of the budget. Returns whether there was one.
    fn reset_oldest(&mut self, sockets: &mut Sockets, now: Instant) -> bool {
        let (mut bytes, mut changed) = (0, false);
        for entry in self.sockets.iter_mut().rev().filter(|entry| entry.stage != Stage::Datagrams) {
            bytes += sockets.tcp_bytes(entry.socket);
            if bytes > sockets.budget_bytes() / CLOSING_SHARE && entry.stage == Stage::Delivering {
                sockets.tcp(entry.socket).abort();
                entry.stage = Stage::Resetting;
                entry.until = Some(now + Stage::Resetting.duration());
                self.evicted = self.evicted.wrapping_add(1);
                changed = true;
            }
        }
        changed
    }

    /// Adds a socket, to which the oldest of those without users give way if there is no room.
    pub(crate) fn make_room<S>(
        &mut self,
        sockets: &mut Sockets,
        add: impl Fn(&mut Sockets) -> Result<S, Error>,
    ) -> Result<S, Error> {
        self.wanted = true;
        loop {
            match add(sockets) {
                Err(Error::OutOfMemory) if !self.sockets.is_empty() => {
                    self.remove(0, sockets);
                    self.evicted = self.evicted.wrapping_add(1);
                }
                done => return done,
            }
        }
    }

    /// When the next stage ends.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.sockets.iter().fold(None, |first, entry| sooner(first, entry.until))
    }
}

/// What becomes of a TCP socket; `None` if it is done.
fn next_stage(socket: &mut tcp::Socket<'_>, stage: Stage, expired: bool, discarded: &mut bool) -> Option<Stage> {
    match socket.state() {
        // A closed socket that still knows its peer has a reset to send.
        tcp::State::Closed if socket.remote_endpoint().is_none() => return None,
        tcp::State::TimeWait if stage == Stage::Delivering => return Some(Stage::TimeWait),
        _ => {}
    }
    if expired {
        return (stage == Stage::Delivering).then(|| {
            socket.abort();
            Stage::Resetting
        });
    }
    if stage == Stage::Delivering && socket.can_recv() {
        // Nobody will read this. While our own data is under way it is thrown away, because a reset could overtake our
        // data at the peer; when all has arrived, the peer is told that it talks to nobody.
        if socket.state() == tcp::State::FinWait2 {
            socket.abort();
            return Some(Stage::Resetting);
        }
        // The socket can receive, so this does not fail.
        let _ = socket.recv(|data| (data.len(), ()));
        *discarded = true;
    }
    Some(stage)
}
