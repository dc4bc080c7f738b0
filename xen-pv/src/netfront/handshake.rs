//! The card's way through the handshake: finds it, offers rings to its backend, lets go of them, and starts again.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;

use embassy_futures::select::select3;
use xen_sys::io::xenbus::XenbusState;
use xen_sys::types::Domid;

use super::rx::{self, Receiver};
use super::settings::{DEVICE, Error, Features, Settings, join, state};
use super::tx::{self, FRAMES_PER_PAGE, Transmitter};
use super::{Buffers, Card, Queues};
use crate::decimal;
use crate::event_channel::Events;
use crate::grant_table::{Access, Grant, GrantTable, ReadOnly, ReadWrite};
use crate::hypervisor::Hypervisor;
use crate::memory::Page;
use crate::xenbus::{Action, Ours, step};
use crate::xenstore::{self, Client, Watch};

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
        loop {
            // What changes from here on is either read below or found in the watch again.
            directory.clear();
            match Settings::read(&self.client).await {
                Ok(Some(settings)) => {
                    let outcome = self.serve(&settings, &directory).await;
                    self.release();
                    match outcome {
                        // The card has gone; there may be another already.
                        Ok(()) => continue,
                        Err(error) => report(&error),
                    }
                }
                Ok(None) => {}
                Err(error) => report(&error),
            }
            directory.changed().await;
        }
    }

    /// Follows the backend until the card is gone, or something goes wrong that only a change can mend.
    async fn serve(&self, settings: &Settings, directory: &Watch<H>) -> Result<(), Error> {
        {
            let mut card = self.card.borrow_mut();
            card.address = settings.address;
            card.mtu = settings.mtu;
        }
        let (their_state, online) = (join(&settings.backend, "state"), join(&settings.backend, "online"));
        let watch = self.client.watch(&their_state).await?;
        let mut ours = Ours::Initialising;
        loop {
            watch.clear();
            directory.clear();
            let (theirs, online) = (self.client.read(&their_state), self.client.read(&online));
            let present = self.still_there(settings).await;
            let theirs = theirs.await.map_or(XenbusState::Unknown, |text| state(&text));
            let online = online.await.map_or(true, |text| text != b"0");
            if !present {
                return Ok(());
            }
            let broken = self.card.borrow().broken;
            let action = step(ours, theirs, broken, online);
            if let Err(error) = self.perform(action, settings).await {
                // The card stays out of use until something changes. What was written here before it failed is no such
                // change: its events have come when a later request is answered.
                report(&error);
                self.release();
                ours = Ours::Initialising;
                self.still_there(settings).await;
                directory.clear();
            } else {
                ours = action.leads_to(ours);
                if action == Action::Restart {
                    continue;
                }
            }
            select3(watch.changed(), directory.changed(), self.wait_for_break(ours)).await;
        }
    }

    /// Whether the card's directory still names the same backend.
    async fn still_there(&self, settings: &Settings) -> bool {
        let path = join(DEVICE, "backend");
        self.client.read(&path).await.is_ok_and(|backend| backend == settings.backend.as_bytes())
    }

    /// Waits until the device has found the connection broken.
    async fn wait_for_break(&self, ours: Ours) {
        poll_fn(|context| {
            let mut card = self.card.borrow_mut();
            if card.broken && matches!(ours, Ours::Offered | Ours::Connected) {
                return Poll::Ready(());
            }
            card.driver = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Does what the table of the handshake says.
    async fn perform(&self, action: Action, settings: &Settings) -> Result<(), Error> {
        match action {
            Action::Wait => {}
            Action::Offer => self.offer(settings).await?,
            Action::Up => self.connected(),
            Action::Stop => {
                self.card.borrow_mut().set_link(false);
                self.show(XenbusState::Closed).await?;
            }
            Action::Release => self.release(),
            Action::Restart => {
                self.release();
                self.show(XenbusState::Initialising).await?;
            }
        }
        Ok(())
    }

    /// Makes the rings, publishes them, and shows `Connected`.
    async fn offer(&self, settings: &Settings) -> Result<(), Error> {
        // A backend that keeps what was shared before gets no chance to take all memory, piece by piece.
        self.grants.sweep();
        if self.grants.quarantined() > QUARANTINE_MAX {
            return Err(Error::Quarantine);
        }
        let features = Features::read(&self.client, &settings.backend).await?;
        let mut keys: Vec<(&str, u32)> = Vec::with_capacity(6);
        let queues = self.make_queues(settings.backend_domain, features, &mut keys)?;
        {
            let mut card = self.card.borrow_mut();
            card.queues = Some(queues);
            card.broken = false;
        }
        // The backend would take the two channels of a former connection for those of this one.
        if !features.split_event_channels {
            for leaf in ["event-channel-tx", "event-channel-rx"] {
                match self.client.remove(&join(DEVICE, leaf)).await {
                    Err(error) if error.kind != xenstore::ErrorKind::NotFound => return Err(Error::Store(error)),
                    _ => {}
                }
            }
        }
        keys.extend([("request-rx-copy", 1), ("feature-rx-notify", 1)]);
        self.publish(&keys).await?;
        self.show(XenbusState::Connected).await
    }

    /// Makes rings, buffers and event channels, and lists the keys that tell the backend of them.
    fn make_queues(&self, backend: Domid, features: Features, keys: &mut Vec<(&str, u32)>) -> Result<Queues<H>, Error> {
        let receive_pages = usize::from(self.buffers.receive).min(rx::SLOTS);
        let transmit_pages = usize::from(self.buffers.transmit).min(tx::SLOTS).div_ceil(FRAMES_PER_PAGE);
        let rx_ring = self.grant::<ReadWrite>(backend)?;
        let tx_ring = self.grant::<ReadWrite>(backend)?;
        keys.extend([("rx-ring-ref", rx_ring.reference().0), ("tx-ring-ref", tx_ring.reference().0)]);
        let buffers = (0..receive_pages).map(|_| self.grant::<ReadWrite>(backend)).collect::<Result<_, _>>()?;
        let pages = (0..transmit_pages).map(|_| self.grant::<ReadOnly>(backend)).collect::<Result<_, _>>()?;
        let channel = self.events.allocate(backend)?;
        let tx_channel = if features.split_event_channels { Some(self.events.allocate(backend)?) } else { None };
        match &tx_channel {
            Some(tx_channel) => {
                keys.extend([("event-channel-rx", channel.port().0), ("event-channel-tx", tx_channel.port().0)]);
            }
            None => keys.push(("event-channel", channel.port().0)),
        }
        let mut queues = Queues {
            rx: Receiver::new(rx_ring, buffers),
            tx: Transmitter::new(tx_ring, pages, features.blank_checksums),
            channel,
            tx_channel,
        };
        // The backend finds buffers in place when it connects.
        queues.publish();
        Ok(queues)
    }

    /// A zeroed page, granted.
    fn grant<A: Access>(&self, backend: Domid) -> Result<Grant<A>, Error> {
        let page = Page::allocate().ok_or(Error::NoMemory)?;
        Ok(self.grants.grant(page, backend)?)
    }

    /// Writes numbers below the card's directory, all under way at once.
    async fn publish(&self, keys: &[(&str, u32)]) -> Result<(), Error> {
        let paths: Vec<String> = keys.iter().map(|(leaf, _)| join(DEVICE, leaf)).collect();
        let requests: Vec<_> = paths
            .iter()
            .zip(keys)
            .map(|(path, (_, number))| self.client.write(path, decimal::text(*number).as_bytes()))
            .collect();
        for request in requests {
            request.await?;
        }
        Ok(())
    }

    /// Shows a state to the backend.
    async fn show(&self, state: XenbusState) -> Result<(), Error> {
        self.publish(&[("state", state as u32)]).await
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

/// Says what is wrong with the card.
fn report(error: &Error) {
    kernel::println!("network card: {error}");
}
