//! TCP connections, and how a client gets one.

use core::future::poll_fn;
use core::net::{Ipv4Addr, SocketAddr};
use core::task::Poll;

use embassy_futures::select::{Either, select};
use embedded_nal_async::TcpConnect;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::time::Duration;

use super::error::Error;
use super::parts::sockets::{Sockets, keep_alive};
use super::stack::Stack;
use super::state::State;
use super::timeout::Timeout;
use crate::stream::ReadInPlace;

/// How long a client waits for the answer to its SYN, which is repeated after 1, 3 and 7 seconds: 15 seconds, in parts.
/// Before each but the first it has the neighbour asked for that the SYN has to go through; nearly always the answer is
/// there before.
const PATIENCE_MS: [u64; 8] = [100, 200, 400, 800, 1500, 3000, 4000, 5000];

/// A TCP connection.
///
/// Dropping it closes it in order: what was written is still sent, and so is the end of the stream.
pub struct TcpConnection {
    handle: Stack,
    socket: SocketHandle,
}

impl TcpConnection {
    pub(super) fn new(handle: Stack, socket: SocketHandle) -> Self {
        Self { handle, socket }
    }

    /// Ends the stream to the peer after what was written; the other direction stays open.
    ///
    /// Later writes fail with [`Error::Closed`].
    pub fn close_write(&mut self) {
        self.handle.with(|state| {
            state.sockets.tcp(self.socket).close();
            state.wake_poll_loop();
        });
    }
}

impl Drop for TcpConnection {
    fn drop(&mut self) {
        self.handle.with(|state| {
            state.closing.close(&mut state.sockets, self.socket);
            state.wake_poll_loop();
        });
    }
}

impl State {
    /// Sends the first SYN.
    fn start_connecting(&mut self, remote: Ipv4Addr, port: u16) -> Result<SocketHandle, Error> {
        let source = self.source_address(remote)?;
        if port == 0 || remote.is_broadcast() || remote.is_multicast() {
            return Err(Error::InvalidAddress);
        }
        let local_port = self.ephemeral_port(Sockets::tcp_port_in_use)?;
        let handle = self.closing.make_room(&mut self.sockets, Sockets::add_tcp)?;
        let socket = self.sockets.tcp(handle);
        // The time limit of the call replaces the socket's own, which could not be told from a refusal.
        socket.set_timeout(None);
        if socket.connect(self.interface.context(), (remote, port), (source, local_port)).is_err() {
            self.sockets.remove(handle);
            return Err(Error::InvalidAddress);
        }
        self.wake_poll_loop();
        Ok(handle)
    }
}

/// A connection that is not established. Dropping it gives it up.
struct Connecting<'a> {
    handle: &'a Stack,
    socket: Option<SocketHandle>,
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket {
            self.handle.with(|state| state.abort(socket));
        }
    }
}

impl TcpConnect for Stack {
    type Error = Error;
    type Connection<'a> = TcpConnection;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpConnection, Error> {
        let SocketAddr::V4(remote) = remote else { return Err(Error::Unsupported) };
        let socket = self.with(|state| state.start_connecting(*remote.ip(), remote.port()))?;
        let mut connecting = Connecting { handle: self, socket: Some(socket) };
        let mut connected = poll_fn(|context| {
            self.with(|state| {
                let Some(handle) = connecting.socket else { return Poll::Ready(Err(Error::Closed)) };
                let socket = state.sockets.tcp(handle);
                match socket.state() {
                    tcp::State::SynSent | tcp::State::SynReceived => {
                        socket.register_send_waker(context.waker());
                        Poll::Pending
                    }
                    tcp::State::Closed => Poll::Ready(Err(match state.addressing.address() {
                        Some(_) => Error::Refused,
                        None => Error::NoAddress,
                    })),
                    _ => {
                        keep_alive(socket);
                        connecting.socket = None;
                        Poll::Ready(Ok(TcpConnection::new(*self, handle)))
                    }
                }
            })
        });
        for (part, pause_ms) in PATIENCE_MS.into_iter().enumerate() {
            if part > 0 {
                self.with(|state| {
                    state.addressing.request_neighbour(*remote.ip());
                    state.wake_poll_loop();
                });
            }
            let timeout = Timeout::new(self, Duration::from_millis(pause_ms));
            if let Either::First(result) = select(&mut connected, timeout.passed()).await {
                return result;
            }
        }
        Err(Error::TimedOut)
    }
}

impl embedded_io_async::ErrorType for TcpConnection {
    type Error = Error;
}

impl embedded_io_async::Read for TcpConnection {
    /// Reads what has arrived, waiting only while there is nothing; 0 is the end of the peer's stream.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        poll_fn(|context| {
            self.handle.with(|state| {
                let socket = state.sockets.tcp(self.socket);
                Poll::Ready(match socket.recv_slice(buffer) {
                    Ok(0) => {
                        socket.register_recv_waker(context.waker());
                        return Poll::Pending;
                    }
                    Ok(length) => {
                        // The peer may have to be told that there is room again.
                        state.wake_poll_loop();
                        Ok(length)
                    }
                    Err(tcp::RecvError::Finished) => Ok(0),
                    Err(tcp::RecvError::InvalidState) => Err(Error::Reset),
                })
            })
        })
        .await
    }
}

impl ReadInPlace for TcpConnection {
    async fn read_in_place<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
        let ended = poll_fn(|context| {
            self.handle.with(|state| {
                let socket = state.sockets.tcp(self.socket);
                Poll::Ready(match socket.peek(1) {
                    Ok([]) => {
                        socket.register_recv_waker(context.waker());
                        return Poll::Pending;
                    }
                    Ok(_) => Ok(false),
                    Err(tcp::RecvError::Finished) => Ok(true),
                    Err(tcp::RecvError::InvalidState) => Err(Error::Reset),
                })
            })
        })
        .await?;
        if ended {
            return Ok(take(&[]).1);
        }
        self.handle.with(|state| {
            let taken = state.sockets.tcp(self.socket).recv(|data| {
                let (length, result) = take(data);
                (length.min(data.len()), result)
            });
            // The peer may have to be told that there is room again.
            state.wake_poll_loop();
            // What was there a moment ago is still there.
            taken.map_err(|_| Error::Reset)
        })
    }
}

impl embedded_io_async::Write for TcpConnection {
    /// Takes as much as there is room for, waiting only while there is none.
    async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        if data.is_empty() {
            return Ok(0);
        }
        poll_fn(|context| {
            self.handle.with(|state| {
                let socket = state.sockets.tcp(self.socket);
                Poll::Ready(match socket.send_slice(data) {
                    Ok(0) => {
                        socket.register_send_waker(context.waker());
                        return Poll::Pending;
                    }
                    Ok(length) => {
                        state.wake_poll_loop();
                        Ok(length)
                    }
                    Err(tcp::SendError::InvalidState) => Err(closed_or_reset(socket)),
                })
            })
        })
        .await
    }

    /// Returns at once: what was written is sent without being asked for, even when the connection is dropped next.
    ///
    /// Waiting for the peer's acknowledgement, which many peers delay, would cost protocol clients that flush after
    /// each message up to 40 ms a message. [`Stack::settled`] is there for a guest that is about to end.
    async fn flush(&mut self) -> Result<(), Error> {
        self.handle.with(|state| {
            let socket = state.sockets.tcp(self.socket);
            if socket.state() == tcp::State::Closed && socket.send_queue() > 0 { Err(Error::Reset) } else { Ok(()) }
        })
    }
}

/// Why a socket takes no more data.
fn closed_or_reset(socket: &tcp::Socket<'_>) -> Error {
    match socket.state() {
        tcp::State::Closed => Error::Reset,
        _ => Error::Closed,
    }
}
