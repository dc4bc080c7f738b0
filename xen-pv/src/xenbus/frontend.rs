//! A frontend for the devices of one kind: finds them, offers rings to the backend of the one that is used, lets go of
//! them, and starts again. What is the kind's own is its [`Driver`].
//!
//! Devices are found by what the store lists below `device/<kind>`, whatever their numbers. One of them is used. The
//! others take part in the handshake as far as it takes to let go of them: a toolstack that detaches one waits for the
//! frontend to say that it has.
//!
//! Every device goes through phases, each of which is an exchange with the store, and an exchange serves all devices at
//! once. All decisions are made in plain functions; only `Exchange::answers` waits for the store. Each wait in a
//! future costs code.

use alloc::vec::Vec;
use core::fmt::Display;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

use kernel::console::Limit;
use kernel::println;
use xen_sys::io::xenbus::XenbusState;

use super::driver::{Driver, Key, Offer};
use super::exchange::{Answers, Exchange, Outcome};
use super::session::{DEVICES, Known, Phase, Round, Session};
use super::values::{Backend, Values, join};
use super::{Action, Error, Ours, step};
use crate::decimal;
use crate::event_channel::Events;
use crate::grant_table::GrantTable;
use crate::xenstore::{Client, ErrorKind, Watch};

/// Pages that a backend may keep from former connections before it gets no new one.
const QUARANTINE_MAX: usize = 64;

/// How often it is said that something is wrong: so many lines at once, then one each period. A backend can have it
/// repeated at every change of a node, and by breaking and behaving in turn.
const COMPLAINTS: (u32, Duration) = (16, Duration::from_secs(60));

/// What is read in the directory of every device: see [`Backend::LEAVES`], and the state that this end shows.
const FRONTEND_LEAVES: [&str; 3] = [Backend::LEAVES[0], Backend::LEAVES[1], "state"];

/// What is read in the directory of every backend.
const BACKEND_LEAVES: [&str; 2] = ["state", "online"];

/// The half of a device that follows its backend.
#[derive(Debug)]
pub struct Frontend<D: Driver> {
    driver: D,
    events: Events<D::Hypervisor>,
    grants: GrantTable<D::Hypervisor>,
    client: Client<D::Hypervisor>,
    complaints: Limit,
}

impl<D: Driver> Frontend<D> {
    /// A frontend for the devices of the driver's kind.
    pub fn new(
        driver: D,
        events: Events<D::Hypervisor>,
        grants: GrantTable<D::Hypervisor>,
        client: Client<D::Hypervisor>,
    ) -> Self {
        Self { driver, events, grants, client, complaints: Limit::new(COMPLAINTS.0, COMPLAINTS.1) }
    }

    /// Serves the devices for as long as the domain lives. What is wrong with one goes to the console, and is tried
    /// again when it changes.
    pub async fn run(&self) -> ! {
        let directory = self.client.prepare_watch(&join(DEVICES, D::KIND));
        let sessions = Vec::from([Session::new(self.driver.guess())]);
        let mut round = Round { sessions, own_changes: 0, failed: false };
        // Until the store has answered once, nothing is known, not even that there is no device.
        while !self.round(&directory, &mut round, true).await {
            self.wait(&directory, &round).await;
        }
        // What is not known yet, or makes no sense, may be wanted.
        let is_unwanted = |session: &Session<_, _>| {
            session.known.as_ref().is_some_and(|known| !self.driver.wants(session.number, &known.settings))
        };
        if round.sessions.iter().all(is_unwanted) {
            self.driver.say_absent();
        }
        loop {
            self.wait(&directory, &round).await;
            self.round(&directory, &mut round, false).await;
        }
    }

    /// Does all that there is to do now, and says whether the store has listed the devices. `first` has it watch them
    /// as well.
    async fn round(
        &self,
        directory: &Watch<D::Hypervisor>,
        round: &mut Round<D::Hypervisor, D::Settings>,
        first: bool,
    ) -> bool {
        // What changes from here on is either read in this round or found in a watch again.
        directory.clear();
        for session in &mut round.sessions {
            if let Some(known) = &session.known {
                known.watch.clear();
            }
            session.next = Some(Phase::Look);
        }
        (round.own_changes, round.failed) = (0, false);
        let mut exchange = Exchange::new(self.client);
        exchange.list(DEVICES, D::KIND);
        if first {
            exchange.watch(DEVICES, D::KIND, directory);
        }
        let mut listing = exchange.len();
        let mut listed = false;
        loop {
            let counts: Vec<_> = round.sessions.iter().map(|session| Self::ask(session, &mut exchange)).collect();
            if exchange.len() == 0 {
                if !self.choose_again(directory, round) {
                    return listed;
                }
                continue;
            }
            let mut answers = exchange.answers().await;
            exchange = Exchange::new(self.client);
            let list = (listing > 0).then(|| answers.take(core::mem::take(&mut listing)).0);
            self.proceed(round, &counts, &mut answers);
            if let Some(list) = list {
                listed = self.found(round, list);
            }
        }
    }

    /// Asks for what the next phase of a device needs; returns the number of requests.
    fn ask(session: &Session<D::Hypervisor, D::Settings>, exchange: &mut Exchange<D::Hypervisor>) -> usize {
        let before = exchange.len();
        let directory = session.directory(D::KIND);
        match session.next {
            Some(Phase::Look) => {
                exchange.read(&directory, &FRONTEND_LEAVES);
                exchange.read(&directory, D::SETTINGS);
                if let Some(Known { backend, watch, watched, .. }) = &session.known {
                    exchange.read(&backend.directory, &BACKEND_LEAVES);
                    exchange.read(&backend.directory, D::FEATURES);
                    if !watched {
                        exchange.watch(&backend.directory, "state", watch);
                    }
                }
            }
            Some(Phase::Keys) => {
                for key in &session.keys {
                    match *key {
                        Key::Write(leaf, number) => exchange.write(&directory, leaf, number),
                        Key::Remove(leaf) => exchange.remove(&directory, leaf),
                    }
                }
            }
            Some(Phase::State) => {
                exchange.write(&directory, "state", session.action.leads_to(session.ours).shown() as u32);
            }
            Some(Phase::Settle) => exchange.read(&directory, &["state"]),
            None => {}
        }
        exchange.len() - before
    }

    /// Handles the answers of all devices.
    // Within its only caller, a future, both would want more registers than there are.
    #[inline(never)]
    fn proceed(&self, round: &mut Round<D::Hypervisor, D::Settings>, counts: &[usize], answers: &mut Answers) {
        for (index, count) in counts.iter().enumerate() {
            let (answers, done) = answers.take(*count);
            let chosen = self.chosen(&round.sessions);
            let Round { sessions, own_changes, failed } = round;
            let Some(session) = sessions.get_mut(index) else { continue };
            let Some(phase) = session.next.take() else { continue };
            if matches!(phase, Phase::Keys | Phase::State) {
                *own_changes += done;
            }
            let outcome = answers.and_then(|answers| match phase {
                Phase::Look => self.look(&answers, session, chosen),
                Phase::Keys | Phase::State => {
                    Self::advance(phase, session);
                    Ok(())
                }
                Phase::Settle => Ok(()),
            });
            if let Err(error) = outcome {
                *failed = true;
                self.fail(phase, error, session);
            }
        }
    }

    /// Begins with devices that the store lists, and lets go of those that it does not. Says whether it could list
    /// them.
    fn found(&self, round: &mut Round<D::Hypervisor, D::Settings>, answers: Outcome) -> bool {
        let answers = match answers {
            Ok(answers) => answers,
            // Says nothing about the devices: the watch reports once the store is back.
            Err(Error::Store(ErrorKind::Disconnected, _)) => return false,
            Err(error) => {
                self.complain(None, &error);
                return true;
            }
        };
        // The event by which a new watch begins.
        round.own_changes += answers.len().saturating_sub(1) as u32;
        let names = answers.first().and_then(Option::as_deref).unwrap_or_default();
        let numbers: Vec<u32> = names.split(|byte| *byte == 0).filter_map(decimal::parse).collect();
        let sessions = &mut round.sessions;
        sessions.retain_mut(|session| {
            let stays = numbers.contains(&session.number);
            if !stays {
                self.release(session);
            }
            stays
        });
        for number in numbers {
            if !sessions.iter().any(|session| session.number == number) {
                sessions.push(Session::new(number));
            }
        }
        sessions.sort_unstable_by_key(|session| session.number);
        true
    }

    /// The device that is used, or is to be: the one that holds something, or else the first that is wanted and may
    /// come to work.
    fn chosen(&self, sessions: &[Session<D::Hypervisor, D::Settings>]) -> Option<u32> {
        let may_come = |session: &&Session<_, _>| match &session.known {
            _ if session.faulty || session.ours != Ours::Initialising => false,
            Some(Known { settings, .. }) => self.driver.wants(session.number, settings),
            // Nothing was read of it yet.
            None => session.next.is_some(),
        };
        let holder = sessions.iter().find(|session| session.holds);
        holder.or_else(|| sessions.iter().find(may_come)).map(|session| session.number)
    }

    /// With nothing left to do in a round: has another device used if the one before cannot be, and looks once more if
    /// somebody else has changed something while something failed. Says whether there is something to do again.
    fn choose_again(&self, directory: &Watch<D::Hypervisor>, round: &mut Round<D::Hypervisor, D::Settings>) -> bool {
        let chosen = self.chosen(&round.sessions);
        for session in &mut round.sessions {
            let is_chosen = chosen == Some(session.number);
            if is_chosen && session.waits {
                session.next = Some(Phase::Look);
                return true;
            }
            if !is_chosen
                && session.known.is_some()
                && session.ours == Ours::Initialising
                && !session.faulty
                && let Some(chosen) = chosen
                && !core::mem::replace(&mut session.said, true)
            {
                let (name, number, kind) = (D::NAME, session.number, D::KIND);
                println!("{name} {number} is not used, {chosen} is; {kind}={number} chooses the other");
            }
        }
        if !round.failed {
            return false;
        }
        // All events of what we have written ourselves have come. They are no reason to try again; what anybody else
        // has written is.
        let others_changed = directory.clear() > round.own_changes;
        (round.own_changes, round.failed) = (0, false);
        if others_changed {
            round
                .sessions
                .iter_mut()
                .filter(|session| session.faulty)
                .for_each(|session| session.next = Some(Phase::Look));
        }
        others_changed
    }

    /// Begins with a device that was not there before, lets go of one that has gone, and goes on with one that is
    /// known.
    fn look(
        &self,
        answers: &[Option<Vec<u8>>],
        session: &mut Session<D::Hypervisor, D::Settings>,
        chosen: Option<u32>,
    ) -> Result<(), Error> {
        (session.faulty, session.waits) = (false, false);
        let (frontend, answers) = answers.split_at(FRONTEND_LEAVES.len());
        let (settings, answers) = answers.split_at(D::SETTINGS.len());
        let (frontend, settings) = (Values::new(&FRONTEND_LEAVES, frontend), Values::new(D::SETTINGS, settings));
        // For another device, perhaps with the same backend's directory, the toolstack sets the state of this end back.
        let anew = frontend.state() == XenbusState::Initialising && session.ours != Ours::Initialising;
        let directory = frontend.get(Backend::LEAVES[0]);
        if session.known.as_ref().is_some_and(|known| anew || directory != Some(known.backend.directory.as_bytes())) {
            self.release(session);
            session.known = None;
            session.ours = Ours::Initialising;
        }
        // What is connected keeps what it was connected with.
        if session.ours == Ours::Initialising {
            let (Some(backend), Some(settings)) = (Backend::parse(&frontend)?, D::settings(&settings)?) else {
                return Ok(());
            };
            match &mut session.known {
                Some(known) => (known.backend, known.settings) = (backend, settings),
                None => {
                    let watch = self.client.prepare_watch(&join(&backend.directory, "state"));
                    session.known = Some(Known { settings, backend, watch, watched: false });
                    session.next = Some(Phase::Look);
                    return Ok(());
                }
            }
        }
        let (backend, answers) = answers.split_at_checked(BACKEND_LEAVES.len()).unwrap_or_default();
        let backend = Values::new(&BACKEND_LEAVES, backend);
        let features = Values::new(D::FEATURES, answers);
        self.decide(&frontend, &backend, &features, session, chosen)
    }

    /// Does what the table of the handshake says.
    fn decide(
        &self,
        frontend: &Values<'_>,
        backend: &Values<'_>,
        features: &Values<'_>,
        session: &mut Session<D::Hypervisor, D::Settings>,
        chosen: Option<u32>,
    ) -> Result<(), Error> {
        if let Some(known) = &mut session.known {
            known.watched = true;
        }
        let broken = session.holds && self.driver.is_broken();
        if broken && session.shows_connected() {
            self.complain(Some(session.number), &"the backend broke the protocol");
        }
        let (theirs, online) = (backend.state(), backend.get("online") != Some(b"0"));
        session.action = step(session.ours, theirs, broken, online);
        // A store that was lost may not have taken what this end has shown last, and the backend waits for it.
        let unseen = match session.ours {
            Ours::Closed => frontend.state() == XenbusState::Connected,
            Ours::Initialising => frontend.state() == XenbusState::Closed && theirs == XenbusState::Closed && online,
            Ours::Offered | Ours::Connected => false,
        };
        match session.action {
            Action::Offer if chosen != Some(session.number) => {
                session.action = Action::Wait;
                session.waits = true;
                return Ok(());
            }
            Action::Wait => {
                session.next = unseen.then_some(Phase::State);
                return Ok(());
            }
            Action::Offer => {
                let Some(known) = &session.known else { return Ok(()) };
                session.keys = self.offer(known, features)?;
            }
            Action::Up => self.driver.connected(),
            Action::Stop if session.holds => self.driver.stop(),
            Action::Stop => {}
            Action::Release | Action::Restart => self.release(session),
        }
        session.holds |= session.action == Action::Offer;
        session.next = Some(Phase::Keys);
        if session.keys.is_empty() {
            Self::advance(Phase::Keys, session);
        }
        Ok(())
    }

    /// After a phase in which something was written.
    fn advance(phase: Phase, session: &mut Session<D::Hypervisor, D::Settings>) {
        let ours = session.action.leads_to(session.ours);
        session.keys.clear();
        session.next = if phase == Phase::Keys && ours.shown() != session.ours.shown() {
            Some(Phase::State)
        } else {
            session.ours = ours;
            (session.action == Action::Restart).then_some(Phase::Look)
        };
    }

    /// A phase of a device failed.
    fn fail(&self, phase: Phase, error: Error, session: &mut Session<D::Hypervisor, D::Settings>) {
        session.keys.clear();
        let disconnected = matches!(error, Error::Store(ErrorKind::Disconnected, _));
        if disconnected {
            // Says nothing about the device: what works goes on, and the watches report once the store is back. Whether
            // it has taken the new state, the next look tells.
            if phase == Phase::State {
                session.ours = session.action.leads_to(session.ours);
            }
            return;
        }
        // What works goes on.
        if session.ours == Ours::Connected && phase == Phase::Look {
            return;
        }
        self.complain(Some(session.number), &error);
        session.faulty = true;
        session.next = Some(Phase::Settle);
        match session.ours {
            // The backend may have taken the rings already: it is told first, and lets go of them.
            Ours::Offered | Ours::Connected if phase == Phase::Look => {
                self.driver.stop();
                session.action = Action::Stop;
                session.next = Some(Phase::State);
            }
            // Data flows no more, whatever the store shows; the next look has it shown again.
            Ours::Offered | Ours::Connected => session.ours = Ours::Closed,
            Ours::Closed => {}
            // The device stays out of use until something changes. What was written here before it failed is no such
            // change, so its events are waited for.
            Ours::Initialising => {
                self.release(session);
                // The next look at the device must not depend on a backend that cannot be asked.
                if session.known.as_ref().is_some_and(|known| !known.watched) {
                    session.known = None;
                }
            }
        }
    }

    /// Says what is wrong, as often as it may be said.
    fn complain(&self, number: Option<u32>, error: &dyn Display) {
        let Some(held_back) = self.complaints.take(self.events.now_ns()) else { return };
        if held_back > 0 {
            println!("{}: {held_back} lines like the next were not written", D::NAME);
        }
        match number {
            Some(number) if number != self.driver.guess() => println!("{} {number}: {error}", D::NAME),
            _ => println!("{}: {error}", D::NAME),
        }
    }

    /// Makes what is to be shared, and lists the keys that tell the backend of it.
    fn offer(&self, known: &Known<D::Hypervisor, D::Settings>, features: &Values<'_>) -> Result<Vec<Key>, Error> {
        // A backend that keeps what was shared before gets no chance to take all memory, piece by piece.
        self.grants.sweep();
        if self.grants.quarantined() > QUARANTINE_MAX {
            return Err(Error::Quarantine);
        }
        let Self { events, grants, .. } = self;
        let mut offer = Offer { events, grants, backend: known.backend.domain, keys: Vec::new() };
        self.driver.offer(&known.settings, features, &mut offer)?;
        Ok(offer.keys)
    }

    /// Ends what is shared, if anything is. Pages that the backend still uses are quarantined.
    fn release(&self, session: &mut Session<D::Hypervisor, D::Settings>) {
        if !core::mem::take(&mut session.holds) {
            return;
        }
        self.driver.release();
        self.grants.sweep();
        let kept = self.grants.quarantined();
        if kept > 0 {
            self.complain(Some(session.number), &format_args!("the backend still uses {kept} pages"));
        }
    }

    /// Waits until something changes: the devices, a backend, or that the connection is broken.
    async fn wait(&self, directory: &Watch<D::Hypervisor>, round: &Round<D::Hypervisor, D::Settings>) {
        poll_fn(|context| {
            let mut changed = directory.poll_changed(context).is_ready();
            for session in &round.sessions {
                if let Some(known) = &session.known {
                    changed |= known.watch.poll_changed(context).is_ready();
                }
                changed |= session.holds && session.shows_connected() && self.driver.is_broken();
            }
            if changed {
                return Poll::Ready(());
            }
            self.driver.register_broken(context.waker());
            Poll::Pending
        })
        .await;
    }
}
