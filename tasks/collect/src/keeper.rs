//! What a run saves for the next one, and when.
//!
//! A message is acknowledged, and a summary sent, only once the state that knows of it has been saved: so a run that
//! goes on after a crash gets from the source what the state lacks, and repeats nothing to the cloud that it does not
//! know. One state stands for all that has come within a moment, or for as many messages as a broker has under way.
//!
//! Where nobody keeps states, nothing waits for them.

use alloc::string::String;
use core::cell::Cell;

use embassy_time::{Duration, Instant};
use kernel::{Restored, System, println};
use mqtt::Session;

use crate::collector::Collector;
use crate::parameters::Settings;

/// How long what is new waits for more, before it is saved.
const DELAY: Duration = Duration::from_millis(250);
/// So many acknowledgements do not wait: a broker may wait for them.
const BATCH: usize = 4;
/// How long nothing is saved after a state was refused.
const REFUSED: Duration = Duration::from_secs(60);

/// Saves states.
pub(crate) struct Keeper<'s, S> {
    system: &'s S,
    /// The name at the source.
    client: String,
    is_kept: bool,
    goes_on: bool,
    /// Since when there is something new.
    since: Cell<Option<Instant>>,
    /// A state was refused, and none is saved before this.
    refused_until: Cell<Option<Instant>>,
}

impl<'s, S: System> Keeper<'s, S> {
    /// Goes on with the state of an earlier run, if there is one, and with its session at the source.
    pub(crate) async fn begin(system: &'s S, settings: &mut Settings, collector: &Collector) -> (Self, Session) {
        let restored = system.restored().await;
        let is_kept = restored != Restored::Unkept;
        let (mut goes_on, mut session) = (false, Session::default());
        if let Restored::State(bytes) = restored {
            match collector.restore(&bytes) {
                Some(others) => {
                    settings.rename(&others.client);
                    (goes_on, session) = (true, others.session);
                }
                None => println!("collect: begins afresh: what an earlier run has saved is not good for this one"),
            }
        }
        if is_kept {
            collector.save_first();
        }
        let client = settings.source.client.clone();
        (Self { system, client, is_kept, goes_on, since: Cell::new(None), refused_until: Cell::new(None) }, session)
    }

    /// Whether states are kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Whether this run goes on with an earlier one.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Notes that there is something new.
    pub(crate) fn changed(&self) {
        if self.is_kept && self.since.get().is_none() {
            self.since.set(Some(Instant::now()));
        }
    }

    /// When a state is to be saved, while so many acknowledgements are held back.
    pub(crate) fn due(&self, held_back: usize) -> Instant {
        match self.since.get() {
            None => Instant::MAX,
            Some(since) if held_back >= BATCH => since,
            Some(since) => since + DELAY,
        }
    }

    /// Saves the state, if there is something new in it.
    pub(crate) async fn save(&self, collector: &Collector, session: &Session) {
        if self.since.take().is_none() {
            return;
        }
        let now = Instant::now();
        if self.refused_until.get().is_none_or(|until| until <= now) {
            let saved = self.system.checkpoint(&collector.save(&self.client, session)).await;
            self.refused_until.set(saved.as_ref().err().map(|_| now + REFUSED));
            if let Err(error) = saved {
                println!("collect: {error}: a crash within the next minute loses all up to now");
                // What was saved before is old, and not what an earlier run has to begin with.
                let _ = self.system.checkpoint(&[]).await;
            }
        }
        collector.saved();
    }
}
