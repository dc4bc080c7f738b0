//! The card's way through the handshake: finds it, offers rings to its backend, lets go of them, and starts again.
//!
//! All decisions are made in plain functions; only [`Driver::ask`] waits for the store. Each wait in a future costs code, and
//! this one has few.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Display;
use core::future::poll_fn;
use core::task::Poll;

use xen_sys::io::xs_wire::MessageType;
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
use crate::xenstore::{Client, ErrorKind, Watch};

/// Pages that a backend may keep from former connections before it gets no new one.
const QUARANTINE_MAX: usize = 64;

/// How often it is said that something is wrong with the card, until it works again.
const COMPLAINTS_MAX: u32 = 16;

/// The half of the card that follows its backend.
#[derive(Debug)]
pub struct Driver<H: Hypervisor> {
    card: &'static RefCell<Card<H>>,
    events: Events<H>,
    grants: GrantTable<H>,
    client: Client<H>,
    buffers: Buffers,
    /// How often it may still be said that something is wrong with the card.
    complaints: Cell<u32>,
}

/// A card that is there, and how far the frontend has come with it.
struct Session<H: Hypervisor> {
    settings: Settings,
    /// Of the backend's state.
    watch: Watch<H>,
    /// The store knows of the watch.
    watched: bool,
    ours: Ours,
    /// What is being done, and is done once the store has taken it.
    action: Action,
}

/// One exchange with the store. They follow each other in this order, as far as there is something to do; after a new card was found, or
/// the old connection ended, comes another look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Read the card's settings and, of a card that is known, what its backend shows, and have the store watch what is not watched yet.
    Look,
    /// Write what belongs to the new state.
    Keys,
    /// Show the new state: last, so that the backend finds all that belongs to it.
    State,
    /// Wait until the events of what was written before have come.
    Settle,
}

/// A directory of the store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// That of all kinds of devices.
    Devices,
    Card,
    Backend,
}

/// A request to the store for one leaf of a directory.
struct Operation {
    kind: MessageType,
    place: Place,
    leaf: &'static str,
    /// What is written, or the token of a watch.
    number: u32,
}

impl Operation {
    fn read(place: Place, leaf: &'static str) -> Self {
        Self { kind: MessageType::Read, place, leaf, number: 0 }
    }

    fn write(leaf: &'static str, number: u32) -> Self {
        Self { kind: MessageType::Write, place: Place::Card, leaf, number }
    }

    fn watch<H: Hypervisor>(place: Place, leaf: &'static str, watch: &Watch<H>) -> Self {
        Self { kind: MessageType::Watch, place, leaf, number: watch.token() }
    }

    fn remove(leaf: &'static str) -> Self {
        Self { kind: MessageType::Remove, place: Place::Card, leaf, number: 0 }
    }
}

impl<H: Hypervisor> Driver<H> {
    pub(super) fn new(
        card: &'static RefCell<Card<H>>,
        events: Events<H>,
        grants: GrantTable<H>,
        client: Client<H>,
        buffers: Buffers,
    ) -> Self {
        Self { card, events, grants, client, buffers, complaints: Cell::new(COMPLAINTS_MAX) }
    }

    /// Serves the card for as long as the domain lives. What is wrong with it goes to the console, and is tried again when
    /// it changes. If the store refuses the watch of the devices, no card is used and no change seen.
    pub async fn run(&self) -> ! {
        let directory = self.client.prepare_watch("device/vif");
        let mut unwatched = Some(Operation::watch(Place::Devices, "vif", &directory));
        let mut session = None;
        let mut looked = false;
        loop {
            // What changes from here on is either read in this round or found in a watch again.
            directory.clear();
            if let Some(Session { watch, .. }) = &session {
                watch.clear();
            }
            let mut next = Some(Phase::Look);
            let mut operations = Vec::new();
            while let Some(phase) = next {
                self.prepare(phase, session.as_ref(), &mut operations);
                operations.extend(unwatched.take());
                let answers = self.ask(session.as_ref(), &operations).await;
                operations.clear();
                if phase == Phase::Settle {
                    directory.clear();
                }
                next = self.proceed(phase, answers, &mut session, &mut operations);
            }
            // Of a card that is there and cannot be used something was said.
            let silent = self.complaints.get() == COMPLAINTS_MAX;
            if !core::mem::replace(&mut looked, true) && session.is_none() && silent {
                kernel::println!("network: no card; does the xl config have a line such as vif = [\"bridge=xenbr0\"]?");
            }
            self.wait(&directory, session.as_ref()).await;
        }
    }

    /// Lists what a phase asks for, behind what the phase before has listed.
    // Within its only caller, both would want more registers than there are.
    #[inline(never)]
    fn prepare(&self, phase: Phase, session: Option<&Session<H>>, operations: &mut Vec<Operation>) {
        let mut read = |place, keys: &[&'static str]| {
            for leaf in keys {
                operations.push(Operation::read(place, leaf));
            }
        };
        match (phase, session) {
            (Phase::Look, _) => {
                read(Place::Card, &Settings::KEYS);
                if let Some(Session { watch, watched, .. }) = session {
                    read(Place::Backend, &Features::KEYS);
                    if !watched {
                        operations.push(Operation::watch(Place::Backend, "state", watch));
                    }
                }
            }
            (Phase::State, Some(Session { ours, action, .. })) => {
                operations.push(Operation::write("state", action.leads_to(*ours).shown() as u32));
            }
            (Phase::Settle, _) => read(Place::Card, &["backend"]),
            _ => {}
        }
    }

    /// Handles the answers of a phase and says which is next, if any.
    fn proceed(
        &self,
        phase: Phase,
        answers: Result<Vec<Option<Vec<u8>>>, Error>,
        session: &mut Option<Session<H>>,
        operations: &mut Vec<Operation>,
    ) -> Option<Phase> {
        let outcome = answers.and_then(|answers| match phase {
            Phase::Look => self.look(&answers, session, operations),
            Phase::Keys | Phase::State => Ok(session.as_mut().and_then(|session| Self::follow(phase, session))),
            Phase::Settle => Ok(None),
        });
        match outcome {
            Ok(next) => next,
            // Says nothing about the card: what works goes on, and the watches report once the store is back.
            Err(Error::Store(kind, _))
                if kind == ErrorKind::Disconnected
                    || session.as_ref().is_some_and(|session| session.ours == Ours::Connected) =>
            {
                None
            }
            Err(error) => {
                // The card stays out of use until something changes. What was written here before it failed is no such
                // change, so its events are waited for and forgotten.
                self.complain(&error);
                self.release();
                match session {
                    // The next look at the card must not depend on a backend that cannot be asked.
                    Some(Session { watched: false, .. }) => *session = None,
                    Some(session) => session.ours = Ours::Initialising,
                    None => {}
                }
                operations.clear();
                (phase != Phase::Settle).then_some(Phase::Settle)
            }
        }
    }

    /// Says what is wrong, but not for ever: a backend can have it repeated at every change of a node.
    fn complain(&self, error: &dyn Display) {
        let left = self.complaints.get();
        if left > 0 {
            self.complaints.set(left - 1);
            kernel::println!("network card: {error}");
        }
    }

    /// Begins with a card that was not there before, lets go of one that has gone, and goes on with one that is known.
    fn look(
        &self,
        answers: &[Option<Vec<u8>>],
        session: &mut Option<Session<H>>,
        operations: &mut Vec<Operation>,
    ) -> Result<Option<Phase>, Error> {
        let (card, backend) = answers.split_at(Settings::KEYS.len());
        let value = |index: usize| card[index].as_deref();
        // For another card, perhaps with the same backend's directory, the toolstack sets the state of this end back.
        let anew = value(4) == Some(b"1");
        if session.as_ref().is_some_and(|session| {
            value(0) != Some(session.settings.backend.as_bytes()) || anew && session.ours != Ours::Initialising
        }) {
            self.release();
            *session = None;
        }
        // What is connected keeps what it was connected with.
        if session.as_ref().is_none_or(|session| session.ours == Ours::Initialising) {
            let Some(settings) = Settings::parse(card)? else { return Ok(None) };
            match session {
                Some(session) => session.settings = settings,
                None => {
                    let watch = self.client.prepare_watch(&join(&settings.backend, "state"));
                    *session = Some(Session {
                        settings,
                        watch,
                        watched: false,
                        ours: Ours::Initialising,
                        action: Action::Wait,
                    });
                    return Ok(Some(Phase::Look));
                }
            }
        }
        match session {
            Some(session) => self.decide(backend, session, operations),
            None => Ok(None),
        }
    }

    /// Does what the table of the handshake says.
    fn decide(
        &self,
        backend: &[Option<Vec<u8>>],
        session: &mut Session<H>,
        operations: &mut Vec<Operation>,
    ) -> Result<Option<Phase>, Error> {
        session.watched = true;
        let features = Features::parse(backend);
        let broken = self.card.borrow().broken;
        if broken && matches!(session.ours, Ours::Offered | Ours::Connected) {
            self.complain(&"the backend broke the protocol");
        }
        session.action = step(session.ours, features.state, broken, features.online);
        match session.action {
            Action::Wait => return Ok(None),
            Action::Offer => self.offer(&session.settings, &features, operations)?,
            Action::Up => self.connected(),
            Action::Stop => self.card.borrow_mut().set_link(false),
            Action::Release | Action::Restart => self.release(),
        }
        Ok(Some(Phase::Keys))
    }

    /// After a phase in which something was written.
    fn follow(phase: Phase, session: &mut Session<H>) -> Option<Phase> {
        let next = session.action.leads_to(session.ours);
        if phase == Phase::Keys && next.shown() != session.ours.shown() {
            return Some(Phase::State);
        }
        session.ours = next;
        (session.action == Action::Restart).then_some(Phase::Look)
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

    /// Does all operations, all under way at once, and returns what was read. What is not there, or not for us, is `None`.
    async fn ask(&self, session: Option<&Session<H>>, operations: &[Operation]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut requests = Vec::with_capacity(operations.len());
        for Operation { kind, place, leaf, number } in operations {
            let directory = match (place, session) {
                (Place::Backend, Some(session)) => &session.settings.backend,
                (Place::Devices, _) => "device",
                _ => DEVICE,
            };
            let text = decimal::text(*number);
            let value: &[&[u8]] = match kind {
                MessageType::Write => &[text.as_bytes()],
                MessageType::Watch => &[text.as_bytes(), b"\0"],
                _ => &[],
            };
            requests.push(self.client.prepare(*kind, &join(directory, leaf), value));
        }
        self.client.pump();
        let mut answers = Vec::with_capacity(operations.len());
        for (request, Operation { kind, leaf, .. }) in requests.into_iter().zip(operations) {
            answers.push(match request.await {
                Ok(value) => Some(value),
                Err(error) => match (error.kind, kind) {
                    (ErrorKind::NotFound | ErrorKind::Denied, MessageType::Read | MessageType::Remove) => None,
                    (reason, _) => return Err(Error::Store(reason, leaf)),
                },
            });
        }
        Ok(answers)
    }

    /// Makes rings, buffers and event channels, and lists the keys that tell the backend of them.
    fn offer(&self, settings: &Settings, features: &Features, keys: &mut Vec<Operation>) -> Result<(), Error> {
        // A backend that keeps what was shared before gets no chance to take all memory, piece by piece.
        self.grants.sweep();
        if self.grants.quarantined() > QUARANTINE_MAX {
            return Err(Error::Quarantine);
        }
        let abilities = features.abilities()?;
        let backend = settings.backend_domain;
        let receive_pages = usize::from(self.buffers.receive).min(rx::SLOTS);
        let half_pages = usize::from(self.buffers.transmit).min(tx::SLOTS).div_ceil(FRAMES_PER_PAGE);
        let rx_ring = self.grant::<ReadWrite>(backend)?;
        let tx_ring = self.grant::<ReadWrite>(backend)?;
        keys.push(Operation::write("rx-ring-ref", rx_ring.reference().0));
        keys.push(Operation::write("tx-ring-ref", tx_ring.reference().0));
        let mut buffers = Vec::with_capacity(receive_pages);
        for _ in 0..receive_pages {
            buffers.push(self.grant::<ReadWrite>(backend)?);
        }
        let mut pages = Vec::with_capacity(half_pages);
        for _ in 0..half_pages {
            pages.push(self.grant::<ReadOnly>(backend)?);
        }
        let runs = if abilities.segments && tx::OFFLOAD { self.runs(backend) } else { Vec::new() };
        let channel = self.events.allocate(backend)?;
        let tx_channel = if abilities.split_event_channels { Some(self.events.allocate(backend)?) } else { None };
        match &tx_channel {
            Some(tx_channel) => {
                keys.push(Operation::write("event-channel-rx", channel.port().0));
                keys.push(Operation::write("event-channel-tx", tx_channel.port().0));
            }
            None => {
                keys.push(Operation::write("event-channel", channel.port().0));
                // The backend would take the two channels of a former connection for those of this one.
                keys.push(Operation::remove("event-channel-rx"));
                keys.push(Operation::remove("event-channel-tx"));
            }
        }
        // The last two ask for the segments of a TCP stream in one piece, in a chain of slots.
        for leaf in &["request-rx-copy", "feature-rx-notify", "feature-sg", "feature-gso-tcpv4"] {
            keys.push(Operation::write(leaf, 1));
        }
        let large_frames = tx::limits(&self.card.borrow().pacing).large_frames.into();
        let mut queues = Queues {
            rx: Receiver::new(rx_ring, buffers),
            tx: Transmitter::new(tx_ring, pages, runs, abilities.blank_checksums, large_frames),
            channel,
            tx_channel,
        };
        // The backend finds buffers in place when it connects.
        queues.publish();
        let mut card = self.card.borrow_mut();
        card.address = settings.address;
        card.mtu = settings.mtu;
        card.queues = Some(queues);
        card.pacing.connect();
        card.broken = false;
        Ok(())
    }

    /// A zeroed page, granted.
    fn grant<A: Access>(&self, backend: Domid) -> Result<Grant<A>, Error> {
        let page = Page::allocate().ok_or(Error::NoMemory)?;
        Ok(self.grants.grant(page, backend)?)
    }

    /// Pages for segments that leave in one piece, as many runs of them as are to be had: without any, frames alone leave.
    fn runs(&self, backend: Domid) -> Vec<Grant<ReadOnly>> {
        let mut granted = Vec::new();
        for _ in 0..self.buffers.segments {
            let Some(run) = Page::allocate_adjacent(tx::RUN_PAGES) else { break };
            let run: Result<Vec<_>, _> = run.into_iter().map(|page| self.grants.grant(page, backend)).collect();
            let Ok(run) = run else { break };
            granted.extend(run);
        }
        granted
    }

    /// Lets data flow.
    fn connected(&self) {
        self.complaints.set(COMPLAINTS_MAX);
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
        let kept = self.grants.quarantined();
        if kept > 0 {
            self.complain(&format_args!("the backend still uses {kept} pages"));
        }
    }
}
