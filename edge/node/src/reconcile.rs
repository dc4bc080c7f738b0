//! One step towards what the journal wants, as a function of the journal, the guests that are there, and the time.
//!
//! A guest belongs there when its command is starting or running and it is the guest of the current attempt; every
//! other one with a node's id is destroyed. So every end is written first and cleaned up after, whoever decided it:
//! the task, a crash, a tenant, a limit; and what a crash of the node left half done is the same as what is not done
//! yet.
//!
//! | state | guest | next |
//! |---|---|---|
//! | accepted | | queued, once its task is here; expired when its deadline has passed |
//! | queued | | expired when its deadline has passed; starting when it is its turn and there is room |
//! | starting | none | create |
//! | starting | unfinished | destroy |
//! | starting | paused | with a contract: feed, as soon as the board's broker runs; then unpause |
//! | starting | running or ended | running |
//! | running | running | failed when it runs longer than it may; fed anew when the board's broker was started anew; its share of the CPUs as its tenant's quota has it |
//! | running | ended | finished, failed, or queued again after a crash |
//! | running | none | queued again after a reboot of the board, and when it is persistent; failed otherwise |
//! | any end | | |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::command::{Lifetime, OnCrash, Window};
use protocol::{Cpu, Failure, Phase, Quota, State, Tenant, Timestamp, Usage};

use crate::admission::{self, Wait, add_guest, footprint_kib, may_be_fed, may_start};
use crate::toolstack::{End, Ended, Guest, GuestSpec, Life};
use crate::{Entry, Feed, GuestId, Key, feeding, queue};

/// The most tries to make a guest.
const MOST_FAILED_STARTS: u32 = 5;
/// The pause after the first failed start; it doubles with each.
const FIRST_START_PAUSE: Duration = Duration::from_secs(1);
/// The pause before a persistent task that someone else ended is started again.
const KILLED_PAUSE: Duration = Duration::from_secs(1);

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The node's guests.
    pub guests: Vec<Guest>,
    /// Memory that may be given to new guests now, in KiB: what Xen has free less the node's reserve.
    pub free_kib: u64,
    /// Which boot of the board this is.
    pub boot: String,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write an entry to the journal.
    Record(Box<Entry>),
    /// Have the toolstack do something.
    Effect(Effect),
}

/// What the toolstack is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make the guest of an entry; when that fails, record [`not_started`].
    Create(GuestSpec),
    /// Have the board's broker feed a guest.
    Feed(Feed),
    /// Let a guest run.
    Unpause(GuestId),
    /// Give a guest another share of the CPUs.
    SetCpu(GuestId, Cpu),
    /// Look at what a guest shows of its inside.
    LookInto(GuestId),
    /// Read what a guest left, and record [`concluded`].
    Conclude(GuestId, End),
    /// End a guest and remove what is left of it.
    Destroy(GuestId),
}

/// What a tenant may use, and how many of its guests were started within the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// What it may use.
    pub quota: Quota,
    /// How many were started.
    pub starts: u32,
}

/// What to do next: at most one thing for each command and each guest. When there is nothing, all is as it should be
/// until something changes or time passes. The command `feeder` feeds those that have a contract.
#[must_use]
pub fn step(
    entries: &[Entry],
    feeder: Option<&Key>,
    observed: &Observed,
    allowance: impl Fn(&Tenant) -> Allowance,
    now: Timestamp,
) -> Vec<Action> {
    let mut actions = Vec::new();
    // A guest's id is a hash: computed once for each entry that may have one, not for each pair.
    let wanted: BTreeSet<_> = entries.iter().filter(|entry| wants_guest(entry)).map(Entry::guest).collect();
    let leftovers = observed.guests.iter().filter(|guest| !wanted.contains(&guest.id));
    actions.extend(leftovers.map(|guest| Action::Effect(Effect::Destroy(guest.id))));
    let feeder = running(entries, feeder, observed);
    let guests: BTreeMap<_, _> = observed.guests.iter().map(|guest| (guest.id, guest)).collect();
    for entry in entries {
        let guest = if wants_guest(entry) { guests.get(&entry.guest()).copied() } else { None };
        let cpu = allowance(&entry.command.tenant).quota.cpu;
        actions.extend(next(entry, guest, feeder, cpu, observed, now));
    }
    actions.extend(starts(entries, feeder.is_some(), observed, allowance, now));
    actions
}

/// The guest of the board's broker, while it runs.
#[must_use]
pub fn running<'o>(entries: &[Entry], feeder: Option<&Key>, observed: &'o Observed) -> Option<&'o Guest> {
    let feeder = feeder?;
    let entry = entries.iter().find(|entry| entry.is(feeder) && entry.state == State::Running)?;
    observed.guests.iter().find(|guest| guest.id == entry.guest() && guest.life == Life::Running)
}

/// Whether a guest is fed as its command's contract wants it, by the broker that runs.
enum Fed {
    /// It is, or has no contract.
    Yes,
    /// It is to be.
    Due(Feed),
    /// The board's broker does not run.
    Waits,
}

impl Fed {
    fn of(entry: &Entry, guest: &Guest, feeder: Option<&Guest>) -> Self {
        match (&entry.command.contract, feeder) {
            (None, _) => Self::Yes,
            (Some(_), None) => Self::Waits,
            (Some(_), Some(feeder)) if guest.fed_by == Some(feeder.domid) => Self::Yes,
            (Some(contract), Some(feeder)) => Self::Due(Feed {
                guest: guest.id,
                feeder: feeder.id,
                contract: feeding::text(contract),
                is_live: contract.window == Window::Live,
            }),
        }
    }
}

fn wants_guest(entry: &Entry) -> bool {
    matches!(entry.state, State::Starting | State::Running)
}

/// The next thing for a command that does not wait.
fn next(
    entry: &Entry,
    guest: Option<&Guest>,
    feeder: Option<&Guest>,
    cpu: Cpu,
    observed: &Observed,
    now: Timestamp,
) -> Option<Action> {
    let record = |entry: Entry| Some(Action::Record(Box::new(entry)));
    match (entry.state.phase(), guest) {
        (Phase::Accepted, _) if queue::is_expired(entry, now) => record(entry.clone().into_end(State::Expired, now)),
        (Phase::Accepted, _) => entry.prepared.is_some().then(|| record(entry.clone().into_state(State::Queued)))?,
        (Phase::Starting, None) => GuestSpec::of(entry, cpu).map(|spec| Action::Effect(Effect::Create(spec))),
        (Phase::Starting, Some(Guest { life: Life::Unfinished, id, .. })) => Some(Action::Effect(Effect::Destroy(*id))),
        (Phase::Starting, Some(guest @ Guest { life: Life::Paused, id, .. })) => match Fed::of(entry, guest, feeder) {
            Fed::Yes => Some(Action::Effect(Effect::Unpause(*id))),
            Fed::Due(feed) => Some(Action::Effect(Effect::Feed(feed))),
            Fed::Waits => None,
        },
        (Phase::Starting, Some(_)) => {
            let mut running = entry.clone().into_state(State::Running);
            (running.started, running.boot) = (Some(now), observed.boot.clone());
            record(running)
        }
        // Someone has paused it: that is not the node's business.
        (Phase::Running, Some(Guest { life: Life::Paused | Life::Unfinished, .. })) => None,
        (Phase::Running, Some(guest @ Guest { life: Life::Running, .. })) => {
            let most = entry.command.longest_run_seconds.map(|seconds| Duration::from_secs(seconds.get().into()));
            if most.is_some_and(|most| guest.running_for > most) {
                let failure = Failure::TooLong { seconds: guest.running_for.as_secs() };
                return record(entry.clone().into_end(State::Failed(failure), now));
            }
            if let Fed::Due(feed) = Fed::of(entry, guest, feeder) {
                return Some(Action::Effect(Effect::Feed(feed)));
            }
            (guest.cpu != Some(cpu)).then_some(Action::Effect(Effect::SetCpu(guest.id, cpu)))
        }
        (Phase::Running, Some(Guest { life: Life::Ended(end), id, .. })) => {
            Some(Action::Effect(Effect::Conclude(*id, *end)))
        }
        (Phase::Running, None) => record(lost(entry.clone(), &observed.boot, now)),
        (Phase::Queued | Phase::Finished | Phase::Failed | Phase::Cancelled | Phase::Expired, _) => None,
    }
}

/// The waiting commands that are expired, and those that start now.
fn starts(
    entries: &[Entry],
    feeder_runs: bool,
    observed: &Observed,
    allowance: impl Fn(&Tenant) -> Allowance,
    now: Timestamp,
) -> Vec<Action> {
    let mut waiting: Vec<_> = entries.iter().filter(|entry| entry.state == State::Queued).collect();
    queue::sort(&mut waiting);
    // What is starting and has no guest yet will take its memory.
    let there: BTreeSet<_> = observed.guests.iter().map(|guest| guest.id).collect();
    let promised = entries.iter().filter(|entry| entry.state == State::Starting && !there.contains(&entry.guest()));
    let promised: u64 = promised.map(|entry| footprint_kib(entry.memory_mib())).sum();
    let mut free_kib = observed.free_kib.saturating_sub(promised);
    let mut usages: BTreeMap<&Tenant, Usage> = BTreeMap::new();
    let mut actions = Vec::new();
    for entry in waiting {
        if queue::is_expired(entry, now) {
            actions.push(Action::Record(Box::new(entry.clone().into_end(State::Expired, now))));
            continue;
        }
        if is_pausing(entry, now) {
            continue;
        }
        let tenant = &entry.command.tenant;
        let Allowance { quota, starts } = allowance(tenant);
        let usage = usages.entry(tenant).or_insert_with(|| Usage { starts, ..admission::usage(tenant, entries) });
        let fed = may_be_fed(&entry.command, feeder_runs);
        match fed.and_then(|()| may_start(entry.memory_mib(), &quota, usage, free_kib)) {
            Ok(()) => {
                add_guest(usage, entry.memory_mib());
                usage.starts += 1;
                free_kib -= footprint_kib(entry.memory_mib());
                let mut starting = entry.clone().into_state(State::Starting);
                (starting.attempt, starting.not_before) = (entry.attempt + 1, None);
                starting.boot = observed.boot.clone();
                actions.push(Action::Record(Box::new(starting)));
            }
            // A tenant at its limit holds up nobody else, nor does one who waits for data.
            Err(Wait::Feeder | Wait::Guests | Wait::TenantMemory | Wait::Starts) => {}
            // Smaller ones do not overtake for ever: the memory that becomes free is this one's.
            Err(Wait::BoardMemory) => break,
        }
    }
    actions
}

/// Whether a command still waits for the end of a pause. A pause that ends later than the longest one there is was
/// written before the clock was set back: it is over.
fn is_pausing(entry: &Entry, now: Timestamp) -> bool {
    let longest = match entry.command.on_crash {
        OnCrash::Again { longest_pause_seconds, .. } => Duration::from_secs(longest_pause_seconds.into()),
        OnCrash::GiveUp => Duration::ZERO,
    };
    let longest = longest.max(doubled(FIRST_START_PAUSE, MOST_FAILED_STARTS));
    entry.not_before.is_some_and(|time| time > now && time <= now.after(longest))
}

/// What becomes of a command whose guest is gone though nobody here destroyed it.
fn lost(entry: Entry, boot: &str, now: Timestamp) -> Entry {
    if entry.boot != boot {
        return entry.into_waiting(now, Duration::ZERO);
    }
    match entry.command.lifetime {
        Lifetime::Persistent => entry.into_waiting(now, KILLED_PAUSE),
        Lifetime::Ephemeral => entry.into_end(State::Failed(Failure::Killed), now),
    }
}

/// What becomes of a command whose guest has ended, after these last lines of its console.
#[must_use]
pub fn concluded(mut entry: Entry, end: End, left: Ended, console: Vec<String>, now: Timestamp) -> Entry {
    entry.console.clone_from(&console);
    match (end, left.report, left.error) {
        (End::Crash, ..) => crashed(entry, console, now),
        (End::PowerOff, _, Some(message)) => entry.into_end(State::Failed(Failure::Error { message }), now),
        (End::PowerOff, Some(report), None) => {
            let mut finished = entry.into_end(State::Finished, now);
            finished.result = Some(<base64ct::Base64 as base64ct::Encoding>::encode_string(&report));
            finished
        }
        (End::PowerOff, None, None) => {
            let why = "the guest powered off and left no report".to_owned();
            entry.into_end(State::Failed(Failure::NoResult { why }), now)
        }
    }
}

fn crashed(mut entry: Entry, console: Vec<String>, now: Timestamp) -> Entry {
    entry.crashes += 1;
    match entry.command.on_crash {
        OnCrash::Again { times, first_pause_seconds, longest_pause_seconds } if entry.crashes <= times.into() => {
            let first = Duration::from_secs(first_pause_seconds.into());
            let pause = doubled(first, entry.crashes - 1).min(Duration::from_secs(longest_pause_seconds.into()));
            entry.into_waiting(now, pause)
        }
        OnCrash::Again { .. } | OnCrash::GiveUp => {
            let failure = Failure::Crashed { attempts: entry.crashes, console };
            entry.into_end(State::Failed(failure), now)
        }
    }
}

/// What becomes of a command whose guest could not be made.
#[must_use]
pub fn not_started(mut entry: Entry, why: String, now: Timestamp) -> Entry {
    entry.failed_starts += 1;
    if entry.failed_starts < MOST_FAILED_STARTS {
        let pause = doubled(FIRST_START_PAUSE, entry.failed_starts - 1);
        return entry.into_waiting(now, pause);
    }
    let failure = Failure::NotStarted { attempts: entry.failed_starts, why };
    entry.into_end(State::Failed(failure), now)
}

/// A pause that was doubled so often.
fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
}
