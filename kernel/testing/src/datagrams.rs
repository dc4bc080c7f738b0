//! Datagrams on their way, and the task's sockets for them.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;

use embedded_nal_async::{ConnectedUdp, UnconnectedUdp};

use crate::error::Error;

/// The first port that a socket gets which asks for none.
const FIRST_PORT: u16 = 49_152;

/// A datagram and where it comes from or goes to.
type Datagram = (SocketAddr, Vec<u8>);

/// All datagrams under way.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// To the task, by its port.
    pub(crate) incoming: RefCell<HashMap<u16, VecDeque<Datagram>>>,
    /// From the task.
    pub(crate) outgoing: RefCell<Vec<Datagram>>,
    /// How many datagrams the task has received and sent.
    pub(crate) moved: Cell<u64>,
    /// How many sockets have got a port of our choice.
    chosen: Cell<u16>,
}

/// A socket of the task.
#[derive(Debug)]
pub struct Datagrams {
    mail: Rc<Mail>,
    port: u16,
    /// Of a connected socket, which hears nobody else.
    remote: Option<SocketAddr>,
}

impl Datagrams {
    pub(crate) fn new(mail: &Rc<Mail>, local: SocketAddr, remote: Option<SocketAddr>) -> Self {
        let port = match local.port() {
            0 => FIRST_PORT + mail.chosen.replace(mail.chosen.get() + 1),
            port => port,
        };
        Self { mail: Rc::clone(mail), port, remote }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    fn put(&self, remote: SocketAddr, data: &[u8]) {
        self.mail.outgoing.borrow_mut().push((remote, data.to_vec()));
        self.moved();
    }

    /// The next datagram that this socket hears; its length may be larger than what fits the buffer.
    async fn take(&self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        let next = || {
            let incoming = &mut *self.mail.incoming.borrow_mut();
            let queue = incoming.get_mut(&self.port)?;
            queue.retain(|(from, _)| self.remote.is_none_or(|remote| remote == *from));
            queue.pop_front()
        };
        let (from, data) = poll_fn(|_| next().map_or(Poll::Pending, Poll::Ready)).await;
        let length = data.len().min(buffer.len());
        buffer[..length].copy_from_slice(&data[..length]);
        self.moved();
        (data.len(), from)
    }

    fn moved(&self) {
        self.mail.moved.set(self.mail.moved.get() + 1);
    }
}

impl ConnectedUdp for Datagrams {
    type Error = Error;

    async fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        self.put(self.remote.ok_or(Error::Refused)?, data);
        Ok(())
    }

    async fn receive_into(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(self.take(buffer).await.0)
    }
}

impl UnconnectedUdp for Datagrams {
    type Error = Error;

    async fn send(&mut self, _: SocketAddr, remote: SocketAddr, data: &[u8]) -> Result<(), Error> {
        self.put(remote, data);
        Ok(())
    }

    async fn receive_into(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr, SocketAddr), Error> {
        let (length, from) = self.take(buffer).await;
        Ok((length, self.local(), from))
    }
}
