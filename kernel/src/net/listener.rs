//! TCP servers: how a task listens on a port and accepts connections.

use core::net::SocketAddr;
use core::task::Poll;

use super::error::Error;
use super::stack::Stack;
use super::tcp::TcpConnection;
use super::traits::{TcpAccept, TcpListen};

impl TcpListen for Stack {
    type Error = Error;
    type Listener<'a> = TcpListener;

    async fn listen(&self, port: u16, backlog: usize) -> Result<TcpListener, Error> {
        self.with(|state| {
            if port == 0 {
                return Err(Error::InvalidAddress);
            }
            if state.backlogs.is_open(port) || state.sockets.tcp_port_in_use(port) {
                return Err(Error::PortInUse);
            }
            state.backlogs.open(port, backlog.max(1), &mut state.sockets, &mut state.closing)?;
            Ok(TcpListener { handle: *self, port })
        })
    }
}

/// A port that is listened on. Dropping it resets the connections that nobody accepted.
pub struct TcpListener {
    handle: Stack,
    port: u16,
}

impl TcpAccept for TcpListener {
    type Error = Error;
    type Connection<'a> = TcpConnection;

    async fn accept(&self) -> Result<(SocketAddr, TcpConnection), Error> {
        core::future::poll_fn(|context| {
            self.handle.with(|state| match state.backlogs.accept(self.port, &mut state.sockets, context.waker()) {
                Ok(Some((remote, socket))) => {
                    state.refresh_backlogs();
                    Poll::Ready(Ok((remote, TcpConnection::new(self.handle, socket))))
                }
                Ok(None) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            })
        })
        .await
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.handle.with(|state| {
            for socket in state.backlogs.close(self.port) {
                state.abort(socket);
            }
            state.refresh_backlogs();
        });
    }
}
