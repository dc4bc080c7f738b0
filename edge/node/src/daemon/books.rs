//! All that a node knows, and what it decides about it: one call, one method, no input or output but the journal's.

mod commands;
mod tenants;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use artifact::Kept;
use console::LogStream;
use protocol::api::{TaskList, TaskStatus};
use protocol::{
    Access, AccessRefusal, Command, Digest, Event, GuestState, NodeName, NodeState, Phase, PublicKey, Purpose, Quota,
    State, Tenant, TenantRecord, Timestamp, Usage, Version,
};
use tokio::sync::watch;

use super::refused::Refused;
use super::steps::Steps;
use super::waker::Waker;
use crate::admission::{self, Board, footprint_kib};
use crate::reconcile::{Effect, Observed};
use crate::turn::Settled;
use crate::{Disk, Entry, Key, Node, NodeError, Pauses, queue, reconcile};

pub(super) use commands::{Console, Which};

/// The longest time without a look at what is there.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Who has asked for the board's state within this time is shown fresh figures of its guests.
const WATCHED: Duration = Duration::from_secs(30);
/// The pause between two looks into a guest while somebody watches.
const WATCHED_LOOK: Duration = Duration::from_secs(5);

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// The board's operator: root, or the user that the node runs as.
    Operator,
    /// A tenant that has proved it.
    Tenant(Tenant, Purpose),
    /// Nobody that is known.
    Stranger,
}

/// What is true of the board for the whole life of the program.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) name: NodeName,
    pub(super) xen: String,
    pub(super) network: bool,
    pub(super) reserve_kib: u64,
    /// Where results may be sent by HTTP.
    pub(super) receivers: Vec<String>,
    /// Whether results may be published.
    pub(super) has_broker: bool,
    /// The pause between two writes of what a guest has saved.
    pub(super) save_pause: Duration,
}

/// What was counted since the program started.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) failed_turns: u64,
    pub(super) delivered: u64,
    pub(super) failed_deliveries: u64,
    pub(super) refused_connections: u64,
    /// Ended commands by the phases at the end of [`Phase::ALL`].
    pub(super) finished: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) expired: u64,
}

/// A tenant with its keys as such.
#[derive(Debug)]
struct Known {
    record: TenantRecord,
    keys: Vec<PublicKey>,
}

/// All that a node knows.
pub(super) struct Books {
    node: Node<Disk>,
    facts: Facts,
    steps: Steps,
    tenants: BTreeMap<Tenant, Known>,
    /// What was there when the hands looked last.
    observed: Option<Observed>,
    /// Bytes of results that nobody has taken yet.
    waiting: BTreeMap<Tenant, u64>,
    kept: Vec<Kept>,
    counts: Counts,
    told: u64,
    /// When somebody has asked for the board's state.
    watched: Option<Timestamp>,
    changes: watch::Sender<u64>,
    waker: Waker,
    fetches: Sender<Key>,
    deliveries: Sender<Key>,
}

/// What a fetch needs to know.
#[derive(Debug, Clone)]
pub(super) struct ToFetch {
    pub(super) tenant: Tenant,
    pub(super) keys: Vec<PublicKey>,
    pub(super) task: protocol::command::Task,
    /// Images of commands that wait or run.
    pub(super) held: BTreeSet<Digest>,
}

pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Books {
    pub(super) fn new(
        node: Node<Disk>,
        facts: Facts,
        steps: Steps,
        waker: Waker,
        fetches: Sender<Key>,
        deliveries: Sender<Key>,
    ) -> Result<Self, NodeError> {
        let mut tenants = BTreeMap::new();
        for (tenant, record) in node.journal().tenants()? {
            // What is in the journal was judged when it was added.
            let keys = record.public_keys().unwrap_or_default();
            tenants.insert(tenant, Known { record, keys });
        }
        let mut waiting = BTreeMap::new();
        node.journal().each_not_taken(|entry| {
            *waiting.entry(entry.command.tenant.clone()).or_default() += weight(&entry);
        })?;
        let told = node.changes();
        Ok(Self {
            node,
            facts,
            steps,
            tenants,
            observed: None,
            waiting,
            kept: Vec::new(),
            counts: Counts::default(),
            told,
            watched: None,
            changes: watch::Sender::new(0),
            waker,
            fetches,
            deliveries,
        })
    }

    /// Goes on with what an earlier life has left undone.
    pub(super) fn begin(&mut self) {
        for entry in self.node.entries().iter().filter(|entry| entry.state == State::Accepted) {
            drop(self.fetches.send(entry.key()));
        }
        let deliveries = &self.deliveries;
        let send = |entry: Entry| {
            if entry.command.result != protocol::command::Destination::Node {
                drop(deliveries.send(entry.key()));
            }
        };
        if let Err(error) = self.node.journal().each_not_taken(send) {
            crate::log::say(crate::log::Level::Warning, &error.to_string());
        }
    }

    /// Tells the others what has changed since they were told last.
    pub(super) fn tell(&mut self) {
        for note in self.node.take_notes() {
            crate::log::say(crate::log::Level::Warning, &note);
        }
        if self.told == self.node.changes() {
            return;
        }
        self.told = self.node.changes();
        for entry in self.node.take_ended() {
            match entry.state.phase() {
                Phase::Finished => self.counts.finished += 1,
                Phase::Failed => self.counts.failed += 1,
                Phase::Cancelled => self.counts.cancelled += 1,
                _ => self.counts.expired += 1,
            }
            *self.waiting.entry(entry.command.tenant.clone()).or_default() += weight(&entry);
            if entry.command.result != protocol::command::Destination::Node {
                drop(self.deliveries.send(entry.key()));
            }
        }
        self.changes.send_replace(self.told);
        self.waker.wake();
    }

    /// Changes with each change.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn steps(&self) -> &Steps {
        &self.steps
    }

    pub(super) fn count_failed_turn(&mut self) {
        self.counts.failed_turns += 1;
    }

    pub(super) fn count_delivery(&mut self, delivered: bool) {
        if delivered { self.counts.delivered += 1 } else { self.counts.failed_deliveries += 1 }
    }

    pub(super) fn count_refused_connection(&mut self) {
        self.counts.refused_connections += 1;
    }

    pub(super) fn entries(&self) -> &[Entry] {
        self.node.entries()
    }

    /// Running guests' commands, with what they showed.
    pub(super) fn looks(&self) -> impl Iterator<Item = (&Entry, &crate::Look)> {
        self.node.entries().iter().filter_map(|entry| Some((entry, self.node.look(entry.guest())?)))
    }

    /// How many checkpoints were written.
    pub(super) fn saves(&self) -> u64 {
        self.node.saves()
    }

    pub(super) fn journal(&self) -> &Disk {
        self.node.journal()
    }

    pub(super) fn observed(&self) -> Option<&Observed> {
        self.observed.as_ref()
    }

    /// See [`Node::plan`].
    pub(super) fn plan(&mut self, observed: Observed) -> Result<(Vec<Effect>, bool), NodeError> {
        let now = now();
        let is_watched = self.watched.is_some_and(|at| at <= now && now < at.after(WATCHED));
        let look = if is_watched { WATCHED_LOOK } else { Pauses::default().look };
        self.node.set_pauses(Pauses { look: look.min(self.facts.save_pause), save: self.facts.save_pause });
        let tenants = &self.tenants;
        let planned = self.node.plan(&observed, |tenant| quota(tenants, tenant), now);
        self.observed = Some(observed);
        Ok(planned?)
    }

    /// See [`Node::settle`].
    pub(super) fn settle(&mut self, settled: Settled) -> Result<(), NodeError> {
        let kept = &self.kept;
        let lines = |entry: &Entry, console: &[u8]| log_stream(kept, &entry.command).lines(console);
        Ok(self.node.settle(settled, lines, now())?)
    }

    /// How long nobody needs to look at what is there, unless something changes.
    pub(super) fn next_look(&self, poll: Duration) -> Duration {
        let now = now();
        let until = |time: Timestamp| Duration::from_millis(time.milliseconds().saturating_sub(now.milliseconds()));
        let wait = |entry: &Entry| match entry.state.phase() {
            // Until its task is here, only its deadline matters.
            Phase::Accepted => entry.command.deadline.map_or(LONGEST_WAIT, until),
            Phase::Queued if entry.not_before.is_some_and(|time| time > now) => {
                let times = [entry.not_before, entry.command.deadline].into_iter().flatten();
                times.map(until).min().unwrap_or(poll)
            }
            // Memory and guests of others become free while nobody says so.
            _ => poll,
        };
        // Just after the time, not just before it.
        let wait = self.node.entries().iter().map(wait).min().unwrap_or(LONGEST_WAIT) + Duration::from_millis(1);
        wait.min(LONGEST_WAIT)
    }

    /// Who an access document says the caller is.
    pub(super) fn let_in(&self, header: &str) -> Result<Caller, AccessRefusal> {
        let keys = |tenant: &Tenant| self.tenants.get(tenant).map(|known| known.keys.clone());
        let access = Access::from_header(header, &self.facts.name, now(), keys)?;
        Ok(Caller::Tenant(access.tenant, access.purpose))
    }

    /// What is to be fetched for a command, when its task is still wanted.
    pub(super) fn to_fetch(&self, key: &Key) -> Option<ToFetch> {
        let entry = self.node.entries().iter().find(|entry| entry.key() == *key)?;
        let keys = self.tenants.get(&key.tenant).map(|known| known.keys.clone()).unwrap_or_default();
        let held = self.node.entries().iter().filter_map(|entry| Some(entry.prepared.as_ref()?.image)).collect();
        Some(ToFetch { tenant: key.tenant.clone(), keys, task: entry.command.task.clone(), held })
    }

    /// Says which tasks are kept.
    pub(super) fn set_kept(&mut self, kept: Vec<Kept>) {
        self.kept = kept;
    }

    /// Tasks that are kept, as far as the caller may see them.
    pub(super) fn tasks(&self, caller: &Caller) -> Result<TaskList, Refused> {
        let tenant = scope(caller)?;
        let seen = self.kept.iter().filter(|kept| tenant.is_none_or(|tenant| kept.tenant == *tenant));
        let task = |kept: &Kept| TaskStatus {
            digest: kept.digest,
            tenant: kept.tenant.clone(),
            task: kept.task.clone(),
            version: kept.config.task_version.clone(),
            signed_by: kept.key.clone(),
            memory_mib: kept.config.memory_mib,
            image_bytes: kept.image_bytes,
        };
        Ok(TaskList { tasks: seen.map(task).collect() })
    }

    /// The board, as far as the caller may see it: of a tenant's, its own guests and what waits of its own.
    pub(super) fn node_state(&mut self, caller: &Caller) -> Result<NodeState, Refused> {
        let now = now();
        self.watched = Some(now);
        let tenant = scope(caller)?;
        let seen = |entry: &&Entry| tenant.is_none_or(|tenant| entry.command.tenant == *tenant);
        let guests = self.observed.iter().flat_map(|observed| &observed.guests).filter_map(|guest| {
            let entry = self.node.entries().iter().filter(seen).find(|entry| entry.guest() == guest.id)?;
            let look = self.node.look(guest.id);
            Some(GuestState {
                tenant: entry.command.tenant.clone(),
                command: entry.command.id.clone(),
                task: entry.prepared.as_ref()?.config.task.clone(),
                task_digest: entry.command.task.digest,
                domid: guest.domid,
                memory_kib: guest.memory_kib,
                cpu_milliseconds: u64::try_from(guest.cpu_time.as_millis()).unwrap_or(u64::MAX),
                started: entry.started.unwrap_or(now),
                figures: look.and_then(|look| look.figures.clone()),
                checkpoint: look.and_then(|look| look.checkpoint),
            })
        });
        let guests = guests.collect();
        let queued = self.node.entries().iter().filter(seen);
        let queued = queued.filter(|entry| matches!(entry.state, State::Accepted | State::Queued)).count();
        Ok(NodeState {
            version: Version,
            node: self.facts.name.clone(),
            at: now,
            architecture: artifact::Architecture::here().platform().architecture,
            xen: self.facts.xen.clone(),
            memory_free_kib: self.observed.as_ref().map_or(0, |seen| seen.free_kib + self.facts.reserve_kib),
            memory_reserve_kib: self.facts.reserve_kib,
            queued: u32::try_from(queued).unwrap_or(u32::MAX),
            guests,
        })
    }

    /// At most so many events after a number, numbered for the caller.
    pub(super) fn events(&self, caller: &Caller, after: u64, most: usize) -> Result<Vec<Event>, Refused> {
        let events = self.node.journal().events(scope(caller)?, after, most)?;
        events.map_err(|missed| {
            let problem = format!("the events from {} to {} are not kept any more", after + 1, missed.first - 1);
            Refused::new(
                410,
                problem,
                &format!("read the commands anew, then ask for events after {}", missed.first - 1),
            )
        })
    }

    /// The number of the caller's last event.
    pub(super) fn last_event(&self, caller: &Caller) -> Result<u64, Refused> {
        Ok(self.node.journal().last_event(scope(caller)?)?)
    }

    /// What the board has for guests in all.
    fn board(&self) -> Board {
        let memory_kib = self.observed.as_ref().map_or(u64::MAX, |observed| {
            let used =
                self.node.entries().iter().filter(|entry| matches!(entry.state, State::Running | State::Starting));
            observed.free_kib + used.map(|entry| footprint_kib(entry.memory_mib())).sum::<u64>()
        });
        Board { memory_kib, network: self.facts.network }
    }

    fn usage(&self, tenant: &Tenant) -> Usage {
        Usage {
            starts: self.node.starts(tenant, now()),
            result_bytes: self.waiting.get(tenant).copied().unwrap_or(0),
            ..admission::usage(tenant, self.node.entries())
        }
    }

    /// Why a command waits, in words.
    fn waits_for(&self, entry: &Entry) -> Option<String> {
        let quota = quota(&self.tenants, &entry.command.tenant);
        match entry.state {
            State::Accepted => Some("its task is fetched".to_owned()),
            State::Queued => {
                let now = now();
                if let Some(time) = entry.not_before.filter(|time| *time > now && !queue::is_expired(entry, now)) {
                    return Some(format!("a pause until {time}"));
                }
                let free_kib = self.observed.as_ref().map_or(0, |observed| observed.free_kib);
                let usage = self.usage(&entry.command.tenant);
                let wait = admission::may_be_fed(&entry.command, self.feeder_runs())
                    .and_then(|()| admission::may_start(entry.memory_mib(), &quota, &usage, free_kib));
                Some(wait.err().map_or("its turn".to_owned(), |wait| wait.to_string()))
            }
            // Its guest was made, and the broker has gone meanwhile.
            State::Starting => {
                admission::may_be_fed(&entry.command, self.feeder_runs()).err().map(|wait| wait.to_string())
            }
            _ => None,
        }
    }

    /// Whether the board's broker feeds others now.
    fn feeder_runs(&self) -> bool {
        let running = |observed| reconcile::running(self.node.entries(), self.node.feeder(), observed);
        self.observed.as_ref().and_then(running).is_some()
    }
}

/// The release of a command's task, while the board keeps it.
fn kept_of<'a>(kept: &'a [Kept], command: &Command) -> Option<&'a Kept> {
    kept.iter().find(|kept| kept.digest == command.task.digest && kept.tenant == command.tenant)
}

/// What makes lines of what a command's guest prints. A task whose image was evicted takes its log strings along: then
/// frames are counted.
fn log_stream(kept: &[Kept], command: &Command) -> LogStream {
    let strings = kept_of(kept, command).and_then(|kept| kept.config.log_strings.as_deref());
    let stream = strings.and_then(|strings| LogStream::with_strings(strings).ok());
    stream.unwrap_or_else(LogStream::without_strings)
}

/// Whose things a caller sees: one tenant's, or everyone's.
fn scope(caller: &Caller) -> Result<Option<&Tenant>, Refused> {
    match caller {
        Caller::Operator => Ok(None),
        Caller::Tenant(tenant, _) => Ok(Some(tenant)),
        Caller::Stranger => Err(Refused::new(
            401,
            "the caller is neither root nor has it proved to be a tenant",
            "be root, or give a tenant's key: --tenant NAME --key FILE",
        )),
    }
}

/// A tenant's quota; that of one who was removed lets nothing start.
fn quota(tenants: &BTreeMap<Tenant, Known>, tenant: &Tenant) -> Quota {
    let nothing = Quota {
        guests: 0,
        memory_mib: 0,
        queued: 0,
        starts_per_minute: 0,
        result_bytes: 0,
        cpu: protocol::Cpu { weight: 1, cap_percent: 1 },
    };
    tenants.get(tenant).map_or(nothing, |known| known.record.quota)
}

/// What an ended command's result counts against its tenant's quota: its bytes, and a little for being there.
fn weight(entry: &Entry) -> u64 {
    let result = entry.result.as_ref().map_or(0, |result| result.len() / 4 * 3);
    let console: usize = entry.console.iter().map(String::len).sum();
    (result + console) as u64 + 256
}
