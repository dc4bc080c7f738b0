//! Xenstore: a small tree of text shared by all domains, through which devices are configured.
//!
//! Implements the client side of `xen/include/public/io/xs_wire.h` over the page that the toolstack has set up. Several
//! requests may be in flight. A request is sent when it is made; the value returned is the wait for its reply.
//!
//! Transactions, permissions and the listing of a directory have no user among today's drivers but the search for devices.
//! They are what the server of a vchan needs, which offers its ring to another domain: it writes its nodes, and who may read
//! them, in one transaction (`libxenvchan_server_init` in Xen's `tools/libs/vchan/init.c`), and its client finds it by a
//! listing.
//!
//! Paths without a leading slash are relative to the domain's own directory, `/local/domain/<id>`.
//!
//! The store is part of the platform that every domain trusts; even so its replies are checked, and what makes no sense
//! becomes an error or a new connection, never a panic.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};

use xen_sys::io::xs_wire::{ABSOLUTE_PATH_MAX, MessageType, RELATIVE_PATH_MAX};
use xen_sys::types::Port;

mod connection;
mod error;
mod permission;

pub use error::{Error, ErrorKind};
pub use permission::{Permission, Rights};

use crate::decimal;
use crate::event_channel::EventChannel;
use crate::hypervisor::Hypervisor;
use crate::shared_page::SharedPage;
use connection::Connection;

/// How often a transaction is tried when others keep changing what it sees.
const ATTEMPTS: u32 = 16;

/// The connection to the store. A value is a handle: a copy names the same connection, which lasts for ever.
#[derive(Debug)]
pub struct Client<H: Hypervisor> {
    shared: &'static Shared<H>,
}

impl<H: Hypervisor> Clone for Client<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: Hypervisor> Copy for Client<H> {}

#[derive(Debug)]
struct Shared<H: Hypervisor> {
    channel: EventChannel<H>,
    connection: RefCell<Connection>,
}

impl<H: Hypervisor> Client<H> {
    /// A client over the page and the channel that the toolstack has set up. [`run`](Self::run) must be running for any
    /// reply to arrive.
    #[must_use]
    pub fn new(page: SharedPage<'static>, channel: EventChannel<H>) -> Self {
        Self { shared: Box::leak(Box::new(Shared { channel, connection: RefCell::new(Connection::new(page)) })) }
    }

    /// Moves messages, for ever.
    pub async fn run(&self) {
        poll_fn(|context| {
            // Registered before the indices are read: what comes after the reading wakes us.
            self.shared.channel.register(context.waker());
            self.pump();
            Poll::<()>::Pending
        })
        .await;
    }

    /// Whether no message is under way in either direction.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.connection.borrow().is_idle()
    }

    /// Goes on in a domain that was resumed, where the store knows of no watch, over the same page and another port.
    /// Replies of the store before that were not taken yet say nothing about this one: their requests fail.
    pub fn resume(&self, port: Port) {
        self.shared.channel.rebind(port);
        self.shared.connection.borrow_mut().resume();
        self.pump();
    }

    /// Moves the messages that can be moved now.
    pub fn pump(&self) {
        if self.shared.connection.borrow_mut().pump() {
            self.shared.channel.notify();
        }
    }

    /// Reads the value of a node.
    ///
    /// # Errors
    /// As the store says.
    pub fn read<'p>(&self, path: &'p str) -> Request<'p, H> {
        self.request(MessageType::Read, 0, path, &[])
    }

    /// Reads the value of a node that holds text.
    ///
    /// # Errors
    /// As the store says, and [`ErrorKind::Malformed`] for a value that is not text.
    pub async fn read_text(&self, path: &str) -> Result<String, Error> {
        text(self.read(path).await?, path)
    }

    /// Writes the value of a node; it and its parents are created where needed.
    ///
    /// # Errors
    /// As the store says.
    pub fn write<'p>(&self, path: &'p str, value: &[u8]) -> Request<'p, H> {
        self.request(MessageType::Write, 0, path, &[value])
    }

    /// The names of a node's children.
    ///
    /// # Errors
    /// As the store says.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        names(self.request(MessageType::Directory, 0, path, &[]).await?, path)
    }

    /// Creates a node, with its parents, unless it exists.
    ///
    /// # Errors
    /// As the store says.
    pub fn make_directory<'p>(&self, path: &'p str) -> Request<'p, H> {
        self.request(MessageType::MakeDirectory, 0, path, &[])
    }

    /// Removes a node and all that is below it.
    ///
    /// # Errors
    /// As the store says.
    pub fn remove<'p>(&self, path: &'p str) -> Request<'p, H> {
        self.request(MessageType::Remove, 0, path, &[])
    }

    /// Who may do what with a node. The first entry names the owner, and its rights are those of all domains that are
    /// not named.
    ///
    /// # Errors
    /// As the store says.
    pub async fn permissions(&self, path: &str) -> Result<Vec<Permission>, Error> {
        let names = names(self.request(MessageType::GetPermissions, 0, path, &[]).await?, path)?;
        let permissions = names.iter().map(|name| Permission::parse(name)).collect::<Option<_>>();
        permissions.ok_or_else(|| Error::new(ErrorKind::Malformed, path))
    }

    /// Sets who may do what with a node, in the order of [`permissions`](Self::permissions).
    ///
    /// # Errors
    /// As the store says.
    pub fn set_permissions<'p>(&self, path: &'p str, permissions: &[Permission]) -> Request<'p, H> {
        let mut value = String::new();
        for permission in permissions {
            permission.append(&mut value);
            value.push('\0');
        }
        self.request(MessageType::SetPermissions, 0, path, &[value.as_bytes()])
    }

    /// Watches a node and all that is below it. The first event comes at once.
    ///
    /// # Errors
    /// As the store says.
    pub async fn watch(&self, path: &str) -> Result<Watch<H>, Error> {
        // From here on the watch is forgotten when this future is dropped.
        let (watch, registered) = self.start_watch(path);
        registered.await?;
        Ok(watch)
    }

    /// A watch, and the wait for the store's word that it knows of it.
    pub fn start_watch<'p>(&self, path: &'p str) -> (Watch<H>, Request<'p, H>) {
        let watch = self.prepare_watch(path);
        let request = self.request(MessageType::Watch, 0, path, &[decimal::text(watch.token).as_bytes(), b"\0"]);
        (watch, request)
    }

    /// A watch that the store does not know of yet: who has prepared it sends the request as well.
    pub(crate) fn prepare_watch(&self, path: &str) -> Watch<H> {
        Watch { client: *self, token: self.shared.connection.borrow_mut().add_watch(path) }
    }

    /// Queues a request whose error will name no path. It leaves with the next [`pump`](Self::pump): one event for
    /// many.
    pub(crate) fn prepare(&self, kind: MessageType, path: &str, parts: &[&[u8]]) -> Request<'static, H> {
        Request { client: *self, path: "", sent: self.queue(kind, 0, path, parts) }
    }

    /// Starts a transaction: what is read in it stays the same, and what is written appears at once or not at all.
    ///
    /// # Errors
    /// As the store says.
    pub async fn transaction(&self) -> Result<Transaction<H>, Error> {
        let reply = self.request(MessageType::TransactionStart, 0, "", &[]).await?;
        match decimal::parse(reply.strip_suffix(b"\0").unwrap_or(&reply)) {
            Some(id) if id != 0 => Ok(Transaction { client: *self, id }),
            _ => Err(Error::new(ErrorKind::Malformed, "")),
        }
    }

    /// Runs `body` in a transaction, again when others changed what it saw, up to 16 times.
    ///
    /// # Errors
    /// The error of `body` or of the store; [`ErrorKind::Again`] when the last attempt failed as well.
    pub async fn transact<T>(
        &self,
        mut body: impl AsyncFnMut(&Transaction<H>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut attempt = 1;
        loop {
            let transaction = self.transaction().await?;
            let outcome = match body(&transaction).await {
                Ok(value) => transaction.commit().await.map(|()| value),
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.kind == ErrorKind::Again && attempt < ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    /// Messages of the store that belonged to nothing that was asked for.
    #[must_use]
    pub fn unexpected_messages(&self) -> u32 {
        self.shared.connection.borrow().unexpected()
    }

    /// Sends a request of a path, a zero byte and further parts.
    fn request<'p>(&self, kind: MessageType, tx_id: u32, path: &'p str, parts: &[&[u8]]) -> Request<'p, H> {
        let sent = self.queue(kind, tx_id, path, parts);
        self.pump();
        Request { client: *self, path, sent }
    }

    /// Queues a request and returns its id.
    fn queue(&self, kind: MessageType, tx_id: u32, path: &str, parts: &[&[u8]]) -> Result<u32, ErrorKind> {
        let longest = if path.starts_with('/') { ABSOLUTE_PATH_MAX } else { RELATIVE_PATH_MAX };
        if path.as_bytes().contains(&0) {
            return Err(ErrorKind::ZeroByte);
        }
        let mut all: heapless::Vec<&[u8], 4> = heapless::Vec::new();
        if path.len() > longest
            || all.extend_from_slice(&[path.as_bytes(), b"\0"]).is_err()
            || all.extend_from_slice(parts).is_err()
        {
            return Err(ErrorKind::TooLong);
        }
        self.shared.connection.borrow_mut().request(kind, tx_id, &all, false)
    }

    /// Sends a request whose reply nobody waits for.
    fn tell(&self, kind: MessageType, tx_id: u32, parts: &[&[u8]]) {
        // The only errors are a message that is too long, which none of these is, and a lost connection.
        let _ = self.shared.connection.borrow_mut().request(kind, tx_id, parts, true);
        self.pump();
    }
}

/// The wait for the reply to a request that was sent. Dropping it does not take the request back.
#[derive(Debug)]
#[must_use = "the outcome of a request is known only after waiting for it"]
pub struct Request<'p, H: Hypervisor> {
    client: Client<H>,
    path: &'p str,
    sent: Result<u32, ErrorKind>,
}

impl<H: Hypervisor> Future for Request<'_, H> {
    type Output = Result<Vec<u8>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match self.sent {
            Ok(id) => match self.client.shared.connection.borrow_mut().poll(id, context.waker()) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => return Poll::Pending,
            },
            Err(kind) => Err(kind),
        };
        Poll::Ready(outcome.map_err(|kind| Error::new(kind, self.path)))
    }
}

impl<H: Hypervisor> Drop for Request<'_, H> {
    fn drop(&mut self) {
        if let Ok(id) = self.sent {
            self.client.shared.connection.borrow_mut().abandon(id);
        }
    }
}

/// A watch; it ends when dropped.
#[derive(Debug)]
pub struct Watch<H: Hypervisor> {
    client: Client<H>,
    token: u32,
}

impl<H: Hypervisor> Watch<H> {
    /// Waits for the next change and returns its path, which is below the watched one, or the watched one itself when
    /// there were more changes than are kept.
    pub async fn changed(&self) -> String {
        poll_fn(|context| self.poll_changed(context)).await
    }

    /// As [`changed`](Self::changed), for futures that wait for several things.
    pub fn poll_changed(&self, context: &Context<'_>) -> Poll<String> {
        self.client.shared.connection.borrow_mut().poll_watch(self.token, context.waker())
    }

    /// What the store calls it.
    pub(crate) fn token(&self) -> u32 {
        self.token
    }

    /// Forgets the changes up to now, for who is about to read everything anyway. Returns how many there were since the
    /// last call, those that were kept as one or were already taken among them.
    pub fn clear(&self) -> u32 {
        self.client.shared.connection.borrow_mut().clear_watch(self.token)
    }
}

impl<H: Hypervisor> Drop for Watch<H> {
    fn drop(&mut self) {
        let removed = self.client.shared.connection.borrow_mut().remove_watch(self.token);
        if let Some(path) = removed {
            let token = decimal::text(self.token);
            self.client.tell(MessageType::Unwatch, 0, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"]);
        }
    }
}

/// A transaction. Dropping it without [`commit`](Self::commit) undoes what was written in it.
#[derive(Debug)]
pub struct Transaction<H: Hypervisor> {
    client: Client<H>,
    id: u32,
}

impl<H: Hypervisor> Transaction<H> {
    /// Reads the value of a node.
    ///
    /// # Errors
    /// As the store says.
    pub fn read<'p>(&self, path: &'p str) -> Request<'p, H> {
        self.client.request(MessageType::Read, self.id, path, &[])
    }

    /// Writes the value of a node.
    ///
    /// # Errors
    /// As the store says.
    pub fn write<'p>(&self, path: &'p str, value: &[u8]) -> Request<'p, H> {
        self.client.request(MessageType::Write, self.id, path, &[value])
    }

    /// The names of a node's children.
    ///
    /// # Errors
    /// As the store says.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        names(self.client.request(MessageType::Directory, self.id, path, &[]).await?, path)
    }

    /// Removes a node and all that is below it.
    ///
    /// # Errors
    /// As the store says.
    pub fn remove<'p>(&self, path: &'p str) -> Request<'p, H> {
        self.client.request(MessageType::Remove, self.id, path, &[])
    }

    /// Makes all that was written in the transaction visible at once.
    ///
    /// # Errors
    /// [`ErrorKind::Again`] when others changed what it saw; then nothing was written.
    pub async fn commit(mut self) -> Result<(), Error> {
        let id = core::mem::take(&mut self.id);
        self.client
            .request(MessageType::TransactionEnd, id, "T", &[])
            .await
            .map(|_| ())
            .map_err(|error| Error { kind: error.kind, path: String::new() })
    }
}

impl<H: Hypervisor> Drop for Transaction<H> {
    fn drop(&mut self) {
        if self.id != 0 {
            self.client.tell(MessageType::TransactionEnd, self.id, &[b"F\0"]);
        }
    }
}

/// A reply as text.
fn text(reply: Vec<u8>, path: &str) -> Result<String, Error> {
    String::from_utf8(reply).map_err(|_| Error::new(ErrorKind::Malformed, path))
}

/// A reply as a list of texts, each with a zero byte behind it.
fn names(reply: Vec<u8>, path: &str) -> Result<Vec<String>, Error> {
    let reply = text(reply, path)?;
    Ok(reply.split_terminator('\0').map(String::from).collect())
}
