//! UDP sockets.

use core::future::poll_fn;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::task::Poll;

use embedded_nal_async::{ConnectedUdp, UdpStack, UnconnectedUdp};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, IpListenEndpoint};

use super::error::Error;
use super::parts::endpoint::{ipv4, socket_address};
use super::parts::sockets::{LARGEST_UDP_BUFFER_BYTES, Sockets};
use super::stack::Stack;
use super::state::State;

/// What IPv4 and UDP put in front of a datagram's data.
const HEADER_BYTES: usize = 20 + 8;

/// A UDP socket that talks to anybody.
pub struct UdpSocket {
    handle: Stack,
    socket: SocketHandle,
    port: u16,
}

/// A UDP socket that talks to one peer, and ignores others.
pub struct ConnectedUdpSocket {
    socket: UdpSocket,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Stack {
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
            let State { sockets, closing, .. } = state;
            let socket = closing.make_room(sockets, |sockets| sockets.add_udp(largest_buffer_bytes))?;
            let addr = (!local.ip().is_unspecified()).then_some(IpAddress::Ipv4(*local.ip()));
            // A new socket that is given a port can be bound.
            let _ = state.sockets.udp(socket).bind(IpListenEndpoint { addr, port });
            state.outboxes.add(socket);
            Ok(UdpSocket { handle: *self, socket, port })
        })
    }
}

impl UdpStack for Stack {
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
                self.outboxes.queued(handle, *remote.ip(), data.len());
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
            state.outboxes.remove(self.socket);
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
