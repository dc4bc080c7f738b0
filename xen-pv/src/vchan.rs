//! Channels to other domains: a stream of bytes each way, over memory that both share.
//!
//! Purpose: what the crate [`channel`] says, said by a guest. The server grants pages of its own to the client, which maps
//! them: so the broker is the server and the task the client, and when a task dies nothing of the broker's stays
//! mapped. Who serves whom is found in xenstore ([`directory`]).
//!
//! A peer that dies sends no event. Who waits is woken by an alarm from time to time, and looks ([`Vchan::wait`]).
//!
//! What is mapped is another domain's, so it must be gone before this one is suspended: a channel is closed then, which the
//! other end is told, and made anew by whoever wants to go on.
//!
//! Source: `xen/include/public/io/libxenvchan.h`.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::ops::{Deref, DerefMut};

use channel::layout::{CLIENT_LIVE, LIVE_GONE, Layout, SERVER_LIVE, Unfit};
use channel::{Channel, Error, Events, Offer, Peer, Wait, Want, server};
use embassy_futures::select::{Either, select};
use xen_sys::types::{Domid, GrantRef, Port};

use crate::event_channel::{self, EventChannel};
use crate::grant_table::{self, Grant, GrantTable, ReadWrite};
use crate::hypervisor::{self, Hypervisor, MapFor, MapPages, NotMapped};
use crate::memory::Page;
use crate::shared_page::Shared;

pub mod directory;
mod memory;
mod stream;

use memory::{FirstPage, Pages};
pub use stream::{Broken, Stream};

/// By what a client finds its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The grant of the first page.
    pub page: GrantRef,
    /// The server's end of the event channel.
    pub port: Port,
}

/// Why there is no channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoChannel {
    /// The guest has no page left.
    NoMemory,
    /// A page could not be granted.
    Grant(grant_table::Error),
    /// A page of the server could not be mapped.
    NotMapped(NotMapped),
    /// The hypervisor forbids the two domains to have an event channel.
    Forbidden(Domid),
    /// There is no event channel between the two.
    Event(hypervisor::Error),
    /// The server's rings cannot be.
    Unfit(Unfit),
}

/// One end of a channel, with its event channel. `S` is what keeps its pages. Dropping it closes it.
#[derive(Debug)]
pub struct Vchan<H: Hypervisor, S: Shared>(Channel<FirstPage<S>, Pages<S>, Line<H>>);

/// The event channel, as the protocol needs it.
#[derive(Debug)]
pub struct Line<H: Hypervisor>(EventChannel<H>);

impl<H: Hypervisor> Events for Line<H> {
    fn send(&self) {
        self.0.notify();
    }

    fn is_bound(&self) -> bool {
        self.0.is_bound()
    }
}

impl NoChannel {
    /// Why there is no event channel to domain `peer`.
    fn event(peer: Domid, error: hypervisor::Error) -> Self {
        match error {
            hypervisor::Error::NotPermitted | hypervisor::Error::Denied => Self::Forbidden(peer),
            error => Self::Event(error),
        }
    }
}

/// The server's end of a new channel to domain `peer`, and where the client finds it.
///
/// # Errors
/// Why it is not to be had; then nothing stays granted.
pub fn serve<H: Hypervisor>(
    events: &event_channel::Events<H>,
    grants: &GrantTable<H>,
    peer: Domid,
    layout: Layout,
) -> Result<(Vchan<H, Grant<ReadWrite>>, Address), NoChannel> {
    let granted = || {
        let page = Page::allocate().ok_or(NoChannel::NoMemory)?;
        grants.grant::<ReadWrite>(page, peer).map_err(NoChannel::Grant)
    };
    let ring = |pages: usize| -> Result<Vec<Grant<ReadWrite>>, NoChannel> { (0..pages).map(|_| granted()).collect() };
    let first = granted()?;
    let (left, right) = (ring(layout.left().pages())?, ring(layout.right().pages())?);
    let references: Vec<u32> = left.iter().chain(&right).map(|grant| grant.reference().0).collect();
    let line = events.allocate(peer).map_err(|error| NoChannel::event(peer, error))?;
    let address = Address { page: first.reference(), port: line.port() };
    let rings = (Pages::new(left), Pages::new(right));
    let first = Rc::new(first);
    close_before_suspension(&line, &first, SERVER_LIVE);
    let channel = server(FirstPage::new(first), rings, Line(line), layout, &references);
    Ok((Vchan(channel), address))
}

/// The client's end of a channel that domain `peer` serves.
///
/// # Errors
/// Why it is not to be had; then nothing stays mapped.
pub fn connect<H: MapPages>(
    hypervisor: &H,
    events: &event_channel::Events<H>,
    peer: Domid,
    address: Address,
) -> Result<Vchan<H, H::Mapped>, NoChannel> {
    let map = |references: &[GrantRef], access| hypervisor.map(peer, references, access).map_err(NoChannel::NotMapped);
    let ring = |references: &[u32], access| {
        let references: Vec<_> = references.iter().map(|reference| GrantRef(*reference)).collect();
        map(&references, access).map(Pages::new)
    };
    let line = events.bind_interdomain(peer, address.port).map_err(|error| NoChannel::event(peer, error))?;
    let Some(first) = map(&[address.page], MapFor::Writing)?.pop() else { return Err(NoChannel::NoMemory) };
    let first = Rc::new(first);
    close_before_suspension(&line, &first, CLIENT_LIVE);
    let offer = Offer::read(FirstPage::new(first)).map_err(NoChannel::Unfit)?;
    let rings = (ring(offer.left(), MapFor::Writing)?, ring(offer.right(), MapFor::Reading)?);
    Ok(Vchan(offer.connect(rings, Line(line))))
}

/// Has this end closed before the domain is suspended: the other could not tell.
fn close_before_suspension<H: Hypervisor, S: Shared + 'static>(line: &EventChannel<H>, page: &Rc<S>, live: usize) {
    let page = Rc::clone(page);
    line.set_farewell(Rc::new(move || page.shared().write(live, LIVE_GONE)));
}

impl<H: Hypervisor, S: Shared> Vchan<H, S> {
    /// Waits until what is wanted is there and says so, or that it never will be, because the peer is gone.
    ///
    /// A peer that dies says nothing: whenever an `alarm` goes off that is set anew for each sleep, the hypervisor is
    /// asked.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Broken`].
    pub async fn wait<A: Future<Output = ()>>(&mut self, want: Want, alarm: impl Fn() -> A) -> Result<bool, Error> {
        loop {
            match self.0.prepare_wait(want)? {
                Wait::Ready => return Ok(true),
                Wait::Closed => return Ok(false),
                Wait::Sleep => {
                    if let Either::Second(()) = select(self.0.events().0.wait(), alarm()).await {
                        // A peer that is gone is remembered.
                        self.0.peer()?;
                    }
                }
            }
        }
    }

    /// Waits for the client, and says whether it is still there by then. As long as nobody has come there is nobody to
    /// look after.
    ///
    /// # Errors
    /// [`Error::Broken`].
    pub async fn accept(&mut self) -> Result<bool, Error> {
        loop {
            match self.0.peer()? {
                Peer::Awaited => self.0.events().0.wait().await,
                peer => return Ok(peer == Peer::Connected),
            }
        }
    }
}

/// What can be done without waiting.
impl<H: Hypervisor, S: Shared> Deref for Vchan<H, S> {
    type Target = Channel<FirstPage<S>, Pages<S>, Line<H>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<H: Hypervisor, S: Shared> DerefMut for Vchan<H, S> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl fmt::Display for NoChannel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => formatter.write_str("no memory for a channel"),
            Self::Grant(error) => write!(formatter, "a page of the channel cannot be granted: {error:?}"),
            Self::NotMapped(NotMapped(status)) => write!(formatter, "the server's page cannot be mapped: {status}"),
            Self::Forbidden(Domid(peer)) => write!(
                formatter,
                "Xen forbids this guest a channel to domain {peer}: its security module, SILO for example, lets guests \
                 talk to domain 0 only; xsm=dummy on Xen's command line allows it, or domain 0 relays"
            ),
            Self::Event(error) => write!(formatter, "no event channel: {error}"),
            Self::Unfit(unfit) => write!(formatter, "the server's channel: {unfit}"),
        }
    }
}
