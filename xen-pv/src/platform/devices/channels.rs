//! Channels to other domains, as a guest's code gets at them.

use core::cell::Cell;

use channel::layout::Layout;
use xen_sys::types::Domid;

use crate::event_channel::Events;
use crate::foreign::ForeignPage;
use crate::grant_table::{Grant, GrantTable, ReadWrite};
use crate::vchan::{self, Address, NoChannel, Vchan};
use crate::xen::Xen;
use crate::xenstore::Client;

/// What channels are made of.
#[derive(Debug)]
pub struct Channels {
    pub(super) events: Events<Xen>,
    grants: GrantTable<Xen>,
    pub(super) store: Client<Xen>,
    /// The task has its feed.
    pub(super) feed_taken: Cell<bool>,
}

impl Channels {
    /// There is none yet.
    pub(super) fn new(events: Events<Xen>, grants: GrantTable<Xen>, store: Client<Xen>) -> Self {
        Self { events, grants, store, feed_taken: Cell::new(false) }
    }

    /// The server's end of a new channel to domain `peer`. See [`vchan::serve`].
    ///
    /// # Errors
    /// Why it is not to be had.
    pub fn serve(&self, peer: Domid, layout: Layout) -> Result<(Vchan<Xen, Grant<ReadWrite>>, Address), NoChannel> {
        vchan::serve(&self.events, &self.grants, peer, layout)
    }

    /// The client's end of a channel that domain `peer` serves. See [`vchan::connect`].
    ///
    /// # Errors
    /// Why it is not to be had.
    pub fn connect(&self, peer: Domid, address: Address) -> Result<Vchan<Xen, ForeignPage>, NoChannel> {
        vchan::connect(&Xen, &self.events, peer, address)
    }

    /// The store, in which clients find their servers. See [`vchan::directory`].
    pub fn store(&self) -> &Client<Xen> {
        &self.store
    }

    /// Pages that a client has not let go of, though the server is done with them.
    #[must_use]
    pub fn kept_by_others(&self) -> usize {
        self.grants.sweep();
        self.grants.quarantined()
    }
}
