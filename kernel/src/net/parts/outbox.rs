//! Datagrams on their way out of UDP sockets.
//!
//! `smoltcp` keeps a datagram in its socket's queue until its destination has answered an ARP request. One that nobody
//! answers would hold up all later datagrams of the socket, to whomever they go, for ever.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use smoltcp::time::{Duration, Instant};

use super::address::Addressing;
use super::deadline::sooner;
use super::sockets::Sockets;

/// How long the first datagram in a socket's queue waits before its destination is asked for.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The pause doubles each time. What still waits after this one, 3.1 seconds in all, is given up.
const LAST_PAUSE: Duration = Duration::from_millis(1600);

/// Watches the queues of all UDP sockets in use.
#[derive(Default)]
pub(crate) struct Outboxes(Vec<Outbox>);

impl Outboxes {
    /// Watches a socket.
    pub(crate) fn add(&mut self, socket: SocketHandle) {
        self.0.push(Outbox {
            socket,
            queued_bytes: 0,
            deadline: None,
            pause: FIRST_PAUSE,
            destination: Ipv4Addr::UNSPECIFIED,
        });
    }

    /// Watches a socket no longer.
    pub(crate) fn remove(&mut self, socket: SocketHandle) {
        self.0.retain(|outbox| outbox.socket != socket);
    }

    /// A datagram was queued.
    pub(crate) fn queued(&mut self, socket: SocketHandle, destination: Ipv4Addr, bytes: usize) {
        if let Some(outbox) = self.0.iter_mut().find(|outbox| outbox.socket == socket) {
            outbox.destination = destination;
            // So that the queue is shorter at the next look only if something has left.
            outbox.queued_bytes += bytes;
        }
    }

    /// Looks after datagrams that have not left. Returns whether there is more for the network to do at once.
    pub(crate) fn poll(&mut self, sockets: &mut Sockets, addressing: &mut Addressing, now: Instant) -> bool {
        self.0.iter_mut().fold(false, |changed, outbox| outbox.poll(sockets, addressing, now) | changed)
    }

    /// When there is something to do for datagrams that have not left by then.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().fold(None, |first, outbox| sooner(first, outbox.deadline))
    }
}

/// Watches whether a UDP socket's datagrams leave.
struct Outbox {
    socket: SocketHandle,
    queued_bytes: usize,
    /// When something is done about datagrams that have not left.
    deadline: Option<Instant>,
    /// The pause that ends then.
    pause: Duration,
    /// Where the last datagram goes, which is nearly always where the first does.
    destination: Ipv4Addr,
}

impl Outbox {
    /// Has the destination asked for if the queue is stuck, and empties it if that does not help. Returns whether it
    /// did either.
    fn poll(&mut self, sockets: &mut Sockets, addressing: &mut Addressing, now: Instant) -> bool {
        let socket = sockets.udp(self.socket);
        let before = core::mem::replace(&mut self.queued_bytes, socket.send_queue());
        if self.queued_bytes == 0 {
            self.deadline = None;
            return false;
        }
        match self.deadline {
            Some(deadline) if self.queued_bytes >= before => {
                if deadline > now {
                    return false;
                }
                self.pause *= 2;
            }
            _ => {
                self.pause = FIRST_PAUSE;
                self.deadline = Some(now + self.pause);
                return false;
            }
        }
        if self.pause <= LAST_PAUSE {
            self.deadline = Some(now + self.pause);
            addressing.request_neighbour(self.destination);
        } else {
            // Datagrams may be lost at any time, so it does not matter that this also forgets what has arrived.
            let endpoint = socket.endpoint();
            socket.close();
            // A closed socket can be bound to what it was bound to before.
            let _ = socket.bind(endpoint);
            self.deadline = None;
        }
        true
    }
}
