//! The card's way through the handshake: finds it, offers rings to its backend, lets go of them, and starts again.
//!
//! All decisions are made in plain functions; only [`Driver::ask`] waits for the store. Each wait in a future costs code, and
//! this one has few.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;

use xen_sys::types::Domid;

use super::rx::{self, Receiver};
use super::settings::{DEVICE, Error, Features, Settings, join};
use super::tx::{self, FRAMES_PER_PAGE, Transmitter};
use super::{Buffers, Card, Queues};
use crate::decimal;
use crate::event_channel::Events;
use crate::grant_table::{Access, Grant, GrantTable, ReadOnly, ReadWrite};
use crate::hypervisor::Hypervisor;
use crate::memory::Page;
use crate::xenbus::{Action, Ours, step};
use crate::xenstore::{self, Client, ErrorKind, Watch};

/// Pages that a backend may keep from former connections before it gets no new one.
const QUARANTINE_MAX: usize = 64;

/// The half of the card that follows its backend.
#[derive(Debug)]
pub struct Driver<H: Hypervisor> {
    card: Rc<RefCell<Card<H>>>,
    events: Events<H>,
    grants: GrantTable<H>,
    client: Client<H>,
    buffers: Buffers,
}

/// A card that is there, and how far the frontend has come with it.
struct Session<H: Hypervisor> {
    settings: Settings,
    /// Of the backend's state.
    watch: Watch<H>,
    ours: Ours,
}

/// Something to be done in a directory of the store.
enum Operation {
    Read(&'static str),
    Write(&'static str, u32),
    Remove(&'static str),
}

use Operation::{Read, Remove, Write};

impl<H: Hypervisor> Driver<H> {
    pub(super) fn new(
        card: Rc<RefCell<Card<H>>>,
        events: Events<H>,
        grants: GrantTable<H>,
        client: Client<H>,
        buffers: Buffers,
    ) -> Self {
        Self { card, events, grants, client, buffers }
    }

    /// Serves the card for as long as the domain lives. What is wrong with it goes to the console, and is tried again when
    /// it changes.
    ///
    /// Returns only when the store itself refuses to be watched.
    pub async fn run(&self) -> xenstore::Error {
        let directory = match self.client.watch("device/vif").await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        let mut session = None;
        loop {
            // What changes from here on is either read in this turn or found in a watch again.
            directory.clear();
            if let Some(Session { watch, .. }) = &session {
                watch.clear();
            }
            match self.turn(&mut session).await {
                Ok(true) => continue,
                Ok(false) => {}
                // Says nothing about the card: what works goes on, and the watches report once the store is back.
                Err(Error::Store(error)) if error.kind == ErrorKind::Disconnected => {}
                Err(error) => {
                    // The card stays out of use until something changes. What was written here before it failed is no such
                    // change: its events have come when a later request is answered.
                    kernel::println!("network card: {error}");
                    self.release();
                    if let Some(session) = &mut session {
                        session.ours = Ours::Initialising;
                    }
                    let _ = self.ask(DEVICE, &[Read("backend")]).await;
                    directory.clear();
                }
            }
            self.wait(&directory, session.as_ref()).await;
        }
    }

    /// Looks at the card and does the next thing; says whether to look again at once.
    async fn turn(&self, session: &mut Option<Session<H>>) -> Result<bool, Error> {
        let card = self.ask(DEVICE, &Settings::KEYS.map(Read)).await?;
        if session.as_ref().is_some_and(|session| card[0].as_deref() != Some(session.settings.backend.as_bytes())) {
            self.release();
            *session = None;
        }
        if session.is_none() {
            let Some(settings) = Settings::parse(&card)? else { return Ok(false) };
            let watch = self.client.watch(&join(&settings.backend, "state")).await?;
            *session = Some(Session { settings, watch, ours: Ours::Initialising });
        }
        let Some(session) = session else { return Ok(false) };
        let backend = self.ask(&session.settings.backend, &Features::KEYS.map(Read)).await?;
        let features = Features::parse(&backend);
        let broken = self.card.borrow().broken;
        let action = step(session.ours, features.state, broken, features.online);
        let mut operations = Vec::new();
        self.perform(action, &session.settings, &features, &mut operations)?;
        self.ask(DEVICE, &operations).await?;
        let ours = action.leads_to(session.ours);
        if ours.shown() != session.ours.shown() {
            // Last, so that the backend finds all that belongs to the state.
            self.ask(DEVICE, &[Write("state", ours.shown() as u32)]).await?;
        }
        session.ours = ours;
        Ok(action == Action::Restart)
    }

    /// Waits until something changes: the card, its backend, or that the connection is broken.
    async fn wait(&self, directory: &Watch<H>, session: Option<&Session<H>>) {
        poll_fn(|context| {
            let mut changed = directory.poll_changed(context).is_ready();
            let mut card = self.card.borrow_mut();
            if let Some(Session { watch, ours, .. }) = session {
                changed |= watch.poll_changed(context).is_ready();
                changed |= card.broken && matches!(ours, Ours::Offered | Ours::Connected);
            }
            if changed {
                return Poll::Ready(());
            }
            card.driver = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Does all operations in a directory of the store, all under way at once, and returns what was read. What is not
    /// there, or not for us, is `None`.
    async fn ask(&self, directory: &str, operations: &[Operation]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut paths: Vec<String> = Vec::with_capacity(operations.len());
        for Read(leaf) | Write(leaf, _) | Remove(leaf) in operations {
            paths.push(join(directory, leaf));
        }
        let mut requests = Vec::with_capacity(operations.len());
        for (operation, path) in operations.iter().zip(&paths) {
            requests.push(match operation {
                Read(_) => self.client.read(path),
                Write(_, number) => self.client.write(path, decimal::text(*number).as_bytes()),
                Remove(_) => self.client.remove(path),
            });
        }
        let mut answers = Vec::with_capacity(operations.len());
        for (request, operation) in requests.into_iter().zip(operations) {
            answers.push(match request.await {
                Ok(value) => Some(value),
                Err(error) => match (error.kind, operation) {
                    (ErrorKind::NotFound | ErrorKind::Denied, Read(_) | Remove(_)) => None,
                    _ => return Err(Error::Store(error)),
                },
            });
        }
        Ok(answers)
    }

    /// Does what the table of the handshake says, but for showing the new state, and lists what is to be done in the card's
    /// directory before that.
    fn perform(
        &self,
        action: Action,
        settings: &Settings,
        features: &Features,
        operations: &mut Vec<Operation>,
    ) -> Result<(), Error> {
        match action {
            Action::Wait => {}
            Action::Offer => self.offer(settings, features, operations)?,
            Action::Up => self.connected(),
            Action::Stop => self.card.borrow_mut().set_link(false),
            Action::Release | Action::Restart => self.release(),
        }
        Ok(())
    }

    /// Makes rings, buffers and event channels, and lists the keys that tell the backend of them.
    fn offer(&self, settings: &Settings, features: &Features, keys: &mut Vec<Operation>) -> Result<(), Error> {
        // A backend that keeps what was shared before gets no chance to take all memory, piece by piece.
        self.grants.sweep();
        if self.grants.quarantined() > QUARANTINE_MAX {
            return Err(Error::Quarantine);
        }
        let abilities = features.abilities(&settings.backend)?;
        let backend = settings.backend_domain;
        let receive_pages = usize::from(self.buffers.receive).min(rx::SLOTS);
        let transmit_pages = usize::from(self.buffers.transmit).min(tx::SLOTS).div_ceil(FRAMES_PER_PAGE);
        let rx_ring = self.grant::<ReadWrite>(backend)?;
        let tx_ring = self.grant::<ReadWrite>(backend)?;
        keys.push(Write("rx-ring-ref", rx_ring.reference().0));
        keys.push(Write("tx-ring-ref", tx_ring.reference().0));
        let mut buffers = Vec::with_capacity(receive_pages);
        for _ in 0..receive_pages {
            buffers.push(self.grant::<ReadWrite>(backend)?);
        }
        let mut pages = Vec::with_capacity(transmit_pages);
        for _ in 0..transmit_pages {
            pages.push(self.grant::<ReadOnly>(backend)?);
        }
        let channel = self.events.allocate(backend)?;
        let tx_channel = if abilities.split_event_channels { Some(self.events.allocate(backend)?) } else { None };
        match &tx_channel {
            Some(tx_channel) => {
                keys.push(Write("event-channel-rx", channel.port().0));
                keys.push(Write("event-channel-tx", tx_channel.port().0));
            }
            None => {
                keys.push(Write("event-channel", channel.port().0));
                // The backend would take the two channels of a former connection for those of this one.
                keys.push(Remove("event-channel-rx"));
                keys.push(Remove("event-channel-tx"));
            }
        }
        keys.push(Write("request-rx-copy", 1));
        keys.push(Write("feature-rx-notify", 1));
        let mut queues = Queues {
            rx: Receiver::new(rx_ring, buffers),
            tx: Transmitter::new(tx_ring, pages, abilities.blank_checksums),
            channel,
            tx_channel,
        };
        // The backend finds buffers in place when it connects.
        queues.publish();
        let mut card = self.card.borrow_mut();
        card.address = settings.address;
        card.mtu = settings.mtu;
        card.queues = Some(queues);
        card.broken = false;
        Ok(())
    }

    /// A zeroed page, granted.
    fn grant<A: Access>(&self, backend: Domid) -> Result<Grant<A>, Error> {
        let page = Page::allocate().ok_or(Error::NoMemory)?;
        Ok(self.grants.grant(page, backend)?)
    }

    /// Lets data flow.
    fn connected(&self) {
        let mut card = self.card.borrow_mut();
        if let Some(queues) = &card.queues {
            // The backend may have looked at the rings before it could be told of what is in them.
            queues.channel.notify();
            queues.tx_channel().notify();
        }
        card.counters.connections += 1;
        card.set_link(true);
    }

    /// Ends what is shared. Pages that the backend still uses are quarantined.
    fn release(&self) {
        let mut card = self.card.borrow_mut();
        card.set_link(false);
        card.queues = None;
        self.grants.sweep();
        #[cfg(target_os = "none")]
        if self.grants.quarantined() > 0 {
            defmt::warn!("netfront: {} pages are still in use by the backend", self.grants.quarantined());
        }
    }
}
