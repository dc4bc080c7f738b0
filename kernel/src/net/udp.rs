//! UDP sockets.

use core::future::poll_fn;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::task::Poll;

use embedded_nal_async::{ConnectedUdp, UdpStack, UnconnectedUdp};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpAddress, IpListenEndpoint};

use super::address::Addressing;
use super::deadline::sooner;
use super::listener::{ipv4, socket_address};
use super::sockets::{LARGEST_UDP_BUFFER_BYTES, Sockets};
use super::state::State;
use super::{Error, Handle};

/// What IPv4 and UDP put in front of a datagram's data.
const HEADER_BYTES: usize = 20 + 8;

/// How long the first datagram in a socket's queue waits before its destination is asked for.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The pause doubles each time. What still waits after this one, 3.1 seconds in all, is given up.
const LAST_PAUSE: Duration = Duration::from_millis(1600);

/// Watches whether a UDP socket's datagrams leave.
///
/// `smoltcp` keeps a datagram in the queue until its destination has answered an ARP request. One that nobody answers
/// would hold up all later datagrams of the socket, to whomever they go, for ever.
pub(super) struct Outbox {
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
    /// Has the destination asked for if the queue is stuck, and empties it if that does not help. Returns whether it did either.
    fn turn(&mut self, sockets: &mut Sockets, addressing: &mut Addressing, now: Instant) -> bool {
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
            addressing.wanted(self.destination);
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

/// A UDP socket that talks to anybody.
pub struct UdpSocket {
    handle: Handle,
    socket: SocketHandle,
    port: u16,
}

/// A UDP socket that talks to one peer, and ignores others.
pub struct ConnectedUdpSocket {
    socket: UdpSocket,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Handle {
    /// A socket bound to a port (a free one for 0), and to an address unless it is 0.0.0.0.
    pub(super) fn bind(&self, local: SocketAddr, largest_buffer_bytes: usize) -> Result<UdpSocket, Error> {
        let SocketAddr::V4(local) = local else { return Err(Error::Unsupported) };
        self.with(|state| {
            let port = match local.port() {
                0 => state.ephemeral_port(Sockets::udp_port_in_use)?,
                port if state.sockets.udp_port_in_use(port) => return Err(Error::PortInUse),
                port => port,
            };
            if !local.ip().is_unspecified() && state.addressing.address().map(|own| own.address()) != Some(*local.ip())
            {
                return Err(Error::NoAddress);
            }
            let socket = state.sockets.add_udp(largest_buffer_bytes)?;
            let addr = (!local.ip().is_unspecified()).then_some(IpAddress::Ipv4(*local.ip()));
            // A new socket that is given a port can be bound.
            let _ = state.sockets.udp(socket).bind(IpListenEndpoint { addr, port });
            let destination = Ipv4Addr::UNSPECIFIED;
            state.outboxes.push(Outbox { socket, queued_bytes: 0, deadline: None, pause: FIRST_PAUSE, destination });
            Ok(UdpSocket { handle: *self, socket, port })
        })
    }
}

impl UdpStack for Handle {
    type Error = Error;
    type Connected = ConnectedUdpSocket;
    type UniquelyBound = UdpSocket;
    type MultiplyBound = UdpSocket;

    async fn connect_from(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(SocketAddr, ConnectedUdpSocket), Error> {
        let SocketAddr::V4(to) = remote else { return Err(Error::Unsupported) };
        if to.port() == 0 {
            return Err(Error::InvalidAddress);
        }
        let own = self.with(|state| state.source_address(*to.ip()))?;
        let socket = self.bind(local, LARGEST_UDP_BUFFER_BYTES)?;
        let local = SocketAddr::V4(SocketAddrV4::new(own, socket.port));
        Ok((local, ConnectedUdpSocket { socket, local, remote }))
    }

    async fn bind_single(&self, local: SocketAddr) -> Result<(SocketAddr, UdpSocket), Error> {
        let own = self.with(|state| state.addressing.address()).ok_or(Error::NoAddress)?;
        // Bound to the port alone, the socket survives a change of our address.
        let socket = self.bind(local, LARGEST_UDP_BUFFER_BYTES)?;
        Ok((SocketAddr::V4(SocketAddrV4::new(own.address(), socket.port)), socket))
    }

    async fn bind_multiple(&self, local: SocketAddr) -> Result<UdpSocket, Error> {
        self.bind(local, LARGEST_UDP_BUFFER_BYTES)
    }
}

impl State {
    /// Looks after datagrams that have not left. Returns whether there is more for the network to do at once.
    pub(super) fn look_after_datagrams(&mut self, now: Instant) -> bool {
        let Self { outboxes, sockets, addressing, .. } = self;
        outboxes.iter_mut().fold(false, |changed, outbox| outbox.turn(sockets, addressing, now) | changed)
    }

    /// When there is something to do for datagrams that have not left by then.
    pub(super) fn next_undelivered(&self) -> Option<Instant> {
        self.outboxes.iter().fold(None, |first, outbox| sooner(first, outbox.deadline))
    }

    /// Queues a datagram; `None` if there is no room.
    fn send_datagram(
        &mut self,
        handle: SocketHandle,
        local: Option<Ipv4Addr>,
        remote: SocketAddrV4,
        data: &[u8],
    ) -> Result<Option<()>, Error> {
        self.source_address(*remote.ip())?;
        if remote.port() == 0 {
            return Err(Error::InvalidAddress);
        }
        let socket = self.sockets.udp(handle);
        let largest = self.mtu_bytes.saturating_sub(HEADER_BYTES).min(socket.payload_send_capacity());
        if data.len() > largest {
            return Err(Error::TooLarge);
        }
        let mut metadata = udp::UdpMetadata::from((*remote.ip(), remote.port()));
        metadata.local_address = local.map(IpAddress::Ipv4);
        match socket.send_slice(data, metadata) {
            Ok(()) => {
                if let Some(outbox) = self.outboxes.iter_mut().find(|outbox| outbox.socket == handle) {
                    outbox.destination = *remote.ip();
                    // So that the queue is shorter at the next look only if something has left.
                    outbox.queued_bytes += data.len();
                }
                self.wake_poll_loop();
                Ok(Some(()))
            }
            Err(udp::SendError::BufferFull) => Ok(None),
            Err(udp::SendError::Unaddressable) => Err(Error::InvalidAddress),
        }
    }
}

impl UnconnectedUdp for UdpSocket {
    type Error = Error;

    async fn send(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8]) -> Result<(), Error> {
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote) else {
            return Err(Error::Unsupported);
        };
        poll_fn(|context| {
            self.handle.with(|state| {
                // A local address that is no longer ours is replaced by the one that is.
                let own = state.addressing.address().map(|own| own.address());
                let local = own.filter(|own| own == local.ip());
                match state.send_datagram(self.socket, local, remote, data) {
                    Ok(Some(())) => Poll::Ready(Ok(())),
                    Ok(None) => {
                        state.sockets.udp(self.socket).register_send_waker(context.waker());
                        Poll::Pending
                    }
                    Err(error) => Poll::Ready(Err(error)),
                }
            })
        })
        .await
    }

    async fn receive_into(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr, SocketAddr), Error> {
        poll_fn(|context| {
            self.handle.with(|state| {
                let socket = state.sockets.udp(self.socket);
                let Ok((data, metadata)) = socket.recv() else {
                    socket.register_recv_waker(context.waker());
                    return Poll::Pending;
                };
                let fits = data.len().min(buffer.len());
                buffer[..fits].copy_from_slice(&data[..fits]);
                let local = metadata.local_address.map_or(Ipv4Addr::UNSPECIFIED, ipv4);
                let local = SocketAddr::V4(SocketAddrV4::new(local, self.port));
                Poll::Ready(Ok((data.len(), local, socket_address(metadata.endpoint))))
            })
        })
        .await
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.handle.with(|state| {
            if let Some(index) = state.outboxes.iter().position(|outbox| outbox.socket == self.socket) {
                state.outboxes.swap_remove(index);
            }
            state.closing.finish_datagrams(self.socket);
            state.wake_poll_loop();
        });
    }
}

impl ConnectedUdp for ConnectedUdpSocket {
    type Error = Error;

    async fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        self.socket.send(self.local, self.remote, data).await
    }

    async fn receive_into(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            let (length, _, from) = self.socket.receive_into(buffer).await?;
            if from == self.remote {
                return Ok(length);
            }
        }
    }
}
