//! The rules, with numbers: who is admitted, who goes first, who waits, and what becomes of whom.

use std::num::NonZeroU32;
use std::time::Duration;

use artifact::Config;
use description::Description;
use node::admission::{Board, Needs, Wait, accept, admit, may_start, usage};
use node::reconcile::{Action, Allowance, Effect, Observed, concluded, not_started, step};
use node::{End, Ended, Entry, Feed, Guest, Key, Life, Prepared};
use postcard_schema::Schema;
use protocol::command::{Contract, Destination, Lifetime, Memory, OnCrash, Sensors, Task, Window};
use protocol::{Command, Cpu, Digest, Failure, Parameters, Quota, State, Tenant, Timestamp, Usage, Version};

#[derive(Schema)]
#[allow(dead_code, reason = "only its schema is used")]
struct TaskParameters {
    port: u16,
}

const QUOTA: Quota = Quota {
    guests: 2,
    memory_mib: 16,
    queued: 2,
    starts_per_minute: 5,
    result_bytes: 1000,
    cpu: Cpu { weight: 256, cap_percent: 0 },
};
const BOARD: Board = Board { memory_kib: 64 * 1024, network: false };
const NEEDS: Needs = Needs { memory_mib: 4, network: false };

fn now() -> Timestamp {
    Timestamp::from_milliseconds(1_800_000_000_000)
}

fn command(tenant: &str, id: &str, port: &str, memory_mib: u32) -> Command {
    Command {
        version: Version,
        tenant: tenant.parse().unwrap(),
        id: id.parse().unwrap(),
        issued: now(),
        task: Task { digest: Digest::of(b""), repository: None },
        parameters: Parameters([("port".parse().unwrap(), port.to_owned())].into()),
        contract: None,
        memory: Memory::Mib(NonZeroU32::new(memory_mib).unwrap()),
        lifetime: Lifetime::Ephemeral,
        priority: 0,
        deadline: None,
        longest_run_seconds: None,
        on_crash: OnCrash::GiveUp,
        result: Destination::Node,
    }
}

fn entry(number: u64, tenant: &str, memory_mib: u32, state: State) -> Entry {
    Entry {
        number,
        command: command(tenant, &format!("c{number}"), "1", memory_mib),
        command_digest: Digest::of(b""),
        prepared: Some(prepared(memory_mib)),
        state,
        attempt: 1,
        crashes: 0,
        failed_starts: 0,
        boot: "first".to_owned(),
        accepted: now(),
        started: None,
        ended: None,
        not_before: None,
        result: None,
        console: Vec::new(),
        removed: false,
    }
}

fn prepared(memory_mib: u32) -> Prepared {
    let config = Config::new(Description::of::<TaskParameters, ()>("task"), memory_mib, Vec::new()).unwrap();
    Prepared { config, image: Digest::of(b"image"), memory_mib }
}

fn allowance(_: &Tenant) -> Allowance {
    Allowance { quota: QUOTA, starts: 0 }
}

fn observed(guests: Vec<Guest>, free_mib: u64) -> Observed {
    Observed { guests, free_kib: free_mib * 1024, boot: "first".to_owned() }
}

fn refusal(command: &Command, needs: Needs) -> String {
    let description = Description::of::<TaskParameters, ()>("task");
    admit(command, &description, needs, &QUOTA, BOARD).unwrap_err().to_string()
}

/// The numbers of the commands that start, in their order.
fn started(entries: &[Entry], free_mib: u64) -> Vec<u64> {
    let actions = step(entries, None, &observed(Vec::new(), free_mib), allowance, now());
    let starting = actions.into_iter().filter_map(|action| match action {
        Action::Record(entry) if entry.state == State::Starting => Some(entry.number),
        _ => None,
    });
    starting.collect()
}

/// What becomes of an entry with this guest.
fn next(entry: &Entry, guest: Option<(Life, Duration)>) -> Vec<Action> {
    let guests = guest.map(|(life, running_for)| Guest { running_for, ..guest_of(entry, life) });
    step(std::slice::from_ref(entry), None, &observed(guests.into_iter().collect(), 64), allowance, now())
}

fn guest_of(entry: &Entry, life: Life) -> Guest {
    Guest {
        id: entry.guest(),
        life,
        running_for: Duration::ZERO,
        domid: 1,
        memory_kib: 4096,
        cpu_time: Duration::ZERO,
        cpu: Some(QUOTA.cpu),
        fed_by: None,
    }
}

fn recorded(actions: Vec<Action>) -> Entry {
    match <[Action; 1]>::try_from(actions) {
        Ok([Action::Record(entry)]) => *entry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_that_fits_is_admitted_with_its_memory() {
    let description = Description::of::<TaskParameters, ()>("task");
    let fitting = command("acme", "one", "1883", 8);
    assert_eq!(admit(&fitting, &description, NEEDS, &QUOTA, BOARD), Ok(8));
    let by_contract = Command { memory: Memory::WhatTheContractNeeds, ..fitting };
    assert_eq!(admit(&by_contract, &description, NEEDS, &QUOTA, BOARD), Ok(4));
}

#[test]
fn refusals_say_the_numbers() {
    let error = refusal(&command("acme", "one", "70000", 4), NEEDS);
    assert!(error.starts_with("parameter \"port\": \"70000\" is not a whole number from 0 to 65535"), "{error}");
    let fitting = command("acme", "one", "1", 4);
    assert_eq!(refusal(&fitting, Needs { memory_mib: 6, ..NEEDS }), "the task needs 6 MiB, the command gives it 4");
    assert_eq!(
        refusal(&command("acme", "one", "1", 17), NEEDS),
        "17 MiB are more than the 16 that tenant \"acme\" may use"
    );
    let none = Usage::default();
    let not_accepted = |usage| accept(&fitting, &QUOTA, &usage, None).unwrap_err().to_string();
    assert_eq!(not_accepted(Usage { queued: 2, ..none }), "2 commands of tenant \"acme\" wait already, 2 may");
    assert_eq!(
        not_accepted(Usage { result_bytes: 1000, ..none }),
        "1000 bytes of results of tenant \"acme\" wait to be taken, 1000 may: take some first"
    );
    assert_eq!(accept(&fitting, &QUOTA, &Usage { queued: 1, result_bytes: 999, ..none }, None), Ok(()));
    assert!(refusal(&fitting, Needs { network: true, ..NEEDS }).contains("no bridge"));
    let (small, description) = (Board { memory_kib: 5000, ..BOARD }, Description::of::<TaskParameters, ()>("task"));
    let error = admit(&fitting, &description, NEEDS, &QUOTA, small).unwrap_err().to_string();
    assert_eq!(error, "6144 KiB are more than the 5000 that this board has for guests");
}

#[test]
fn a_start_waits_for_guests_for_the_tenants_memory_and_for_the_boards() {
    let usage = |guests, memory_mib| Usage { guests, memory_mib, ..Usage::default() };
    let may_start = |memory_mib, quota, usage, free| may_start(memory_mib, &quota, &usage, free);
    let many = Usage { starts: 5, ..usage(1, 12) };
    assert_eq!(may_start(4, QUOTA, many, 6144), Err(Wait::Starts));
    assert_eq!(may_start(4, QUOTA, usage(1, 12), 6144), Ok(()));
    assert_eq!(may_start(4, QUOTA, usage(2, 8), 6144), Err(Wait::Guests));
    assert_eq!(may_start(4, QUOTA, usage(1, 13), 6144), Err(Wait::TenantMemory));
    assert_eq!(may_start(4, QUOTA, usage(1, 12), 6143), Err(Wait::BoardMemory));
}

#[test]
fn priority_goes_before_deadline_and_deadline_before_order() {
    let mut entries: Vec<_> = (0..4).map(|number| entry(number, &format!("t{number}"), 4, State::Queued)).collect();
    entries[1].command.deadline = Some(now().after(Duration::from_secs(20)));
    entries[2].command.deadline = Some(now().after(Duration::from_secs(10)));
    entries[3].command.priority = 1;
    assert_eq!(started(&entries, 64), [3, 2, 1, 0]);
}

#[test]
fn a_large_command_is_not_overtaken_but_a_tenant_at_its_limit_is() {
    let entries = [entry(0, "acme", 16, State::Queued), entry(1, "other", 4, State::Queued)];
    assert_eq!(started(&entries, 10), [] as [u64; 0]);
    assert_eq!(started(&entries, 24), [0, 1]);
    let entries = [
        entry(0, "acme", 8, State::Queued),
        entry(1, "acme", 8, State::Queued),
        entry(2, "acme", 4, State::Queued),
        entry(3, "other", 4, State::Queued),
    ];
    assert_eq!(started(&entries, 64), [0, 1, 3]);
}

#[test]
fn memory_that_is_promised_to_a_guest_not_yet_made_is_not_given_twice() {
    let entries = [entry(0, "acme", 8, State::Starting), entry(1, "other", 4, State::Queued)];
    assert_eq!(started(&entries, 15), [] as [u64; 0]);
    assert_eq!(started(&entries, 16), [1]);
}

#[test]
fn a_command_that_waited_past_its_deadline_is_expired_and_one_that_runs_goes_on() {
    let mut late = entry(0, "acme", 4, State::Queued);
    late.command.deadline = Some(now());
    assert_eq!(recorded(next(&late, None)).state, State::Expired);
    late.state = State::Running;
    assert!(next(&late, Some((Life::Running, Duration::from_secs(9)))).is_empty());
}

#[test]
fn a_guest_that_runs_too_long_fails_by_a_clock_that_nobody_sets() {
    let mut entry = entry(0, "acme", 4, State::Running);
    entry.command.longest_run_seconds = NonZeroU32::new(10);
    assert!(next(&entry, Some((Life::Running, Duration::from_secs(10)))).is_empty());
    let failed = recorded(next(&entry, Some((Life::Running, Duration::from_secs(11)))));
    assert_eq!(failed.state, State::Failed(Failure::TooLong { seconds: 11 }));
    // Then its guest belongs there no more.
    assert_eq!(
        next(&failed, Some((Life::Running, Duration::from_secs(12)))),
        [Action::Effect(Effect::Destroy(failed.guest()))]
    );
}

#[test]
fn a_guest_whose_making_broke_off_is_destroyed_and_never_started() {
    let starting = entry(1, "acme", 4, State::Starting);
    let actions = next(&starting, Some((Life::Unfinished, Duration::ZERO)));
    assert_eq!(actions, [Action::Effect(Effect::Destroy(starting.guest()))]);
    let actions = next(&starting, Some((Life::Paused, Duration::ZERO)));
    assert_eq!(actions, [Action::Effect(Effect::Unpause(starting.guest()))]);
}

#[test]
fn a_guest_that_is_gone_comes_back_after_a_reboot_and_when_it_is_persistent() {
    let mut entry = entry(0, "acme", 4, State::Running);
    assert_eq!(recorded(next(&entry, None)).state, State::Failed(Failure::Killed));
    entry.boot = "another".to_owned();
    assert_eq!(recorded(next(&entry, None)).state, State::Queued);
    entry.boot = "first".to_owned();
    entry.command.lifetime = Lifetime::Persistent;
    assert_eq!(recorded(next(&entry, None)).state, State::Queued);
}

#[test]
fn a_guests_share_of_the_cpus_follows_its_tenants_quota() {
    let entry = entry(0, "acme", 4, State::Running);
    let actions = |cpu| {
        let guests = vec![Guest { cpu, ..guest_of(&entry, Life::Running) }];
        step(std::slice::from_ref(&entry), None, &observed(guests, 64), allowance, now())
    };
    assert!(actions(Some(QUOTA.cpu)).is_empty());
    for known in [None, Some(Cpu { weight: 1, ..QUOTA.cpu }), Some(Cpu { cap_percent: 50, ..QUOTA.cpu })] {
        assert_eq!(actions(known), [Action::Effect(Effect::SetCpu(entry.guest(), QUOTA.cpu))]);
    }
}

#[test]
fn a_pause_is_no_longer_when_the_clock_is_set_back() {
    let mut paused = entry(0, "acme", 4, State::Queued);
    paused.not_before = Some(now().after(Duration::from_secs(5)));
    assert_eq!(started(&[paused.clone()], 64), [] as [u64; 0]);
    // Written when the clock was a year ahead.
    paused.not_before = Some(now().after(Duration::from_secs(365 * 24 * 3600)));
    assert_eq!(started(&[paused], 64), [0]);
}

#[test]
fn a_tenant_starts_only_so_many_guests_a_minute() {
    let entries = [entry(0, "acme", 4, State::Queued), entry(1, "acme", 4, State::Queued)];
    let starting = |starts| {
        let allowance = |_: &Tenant| Allowance { quota: QUOTA, starts };
        step(&entries, None, &observed(Vec::new(), 64), allowance, now()).len()
    };
    assert_eq!([3, 4, 5].map(starting), [2, 1, 0]);
}

#[test]
fn a_command_waits_for_its_task_and_expires_without_it() {
    let mut accepted = entry(0, "acme", 4, State::Accepted);
    assert_eq!(recorded(next(&accepted, None)).state, State::Queued);
    accepted.prepared = None;
    assert!(next(&accepted, None).is_empty());
    accepted.command.deadline = Some(now());
    assert_eq!(recorded(next(&accepted, None)).state, State::Expired);
}

#[test]
fn crashes_are_tried_again_after_pauses_that_double_up_to_the_longest() {
    let mut entry = entry(0, "acme", 4, State::Running);
    entry.command.on_crash = OnCrash::Again { times: 4, first_pause_seconds: 2, longest_pause_seconds: 10 };
    for pause in [2, 4, 8, 10] {
        entry = concluded(entry, End::Crash, Ended::default(), Vec::new(), now());
        assert_eq!(entry.not_before, Some(now().after(Duration::from_secs(pause))));
        entry = entry.into_state(State::Starting).into_state(State::Running);
    }
    let console = vec!["out of memory".to_owned()];
    let failed = concluded(entry, End::Crash, Ended::default(), console.clone(), now());
    assert_eq!(failed.state, State::Failed(Failure::Crashed { attempts: 5, console }));
}

#[test]
fn a_guest_that_cannot_be_made_is_given_up_with_what_was_said_last() {
    let mut entry = entry(0, "acme", 4, State::Starting);
    for _ in 1..5 {
        entry = not_started(entry, "no memory".to_owned(), now());
        assert_eq!(entry.state, State::Queued);
        entry = entry.into_state(State::Starting);
    }
    let failed = not_started(entry, "no image".to_owned(), now());
    assert_eq!(failed.state, State::Failed(Failure::NotStarted { attempts: 5, why: "no image".to_owned() }));
}

#[test]
fn a_task_that_ends_without_a_report_or_with_an_error_has_failed_and_says_why() {
    let running = || entry(0, "acme", 4, State::Running);
    let silent = concluded(running(), End::PowerOff, Ended::default(), Vec::new(), now());
    assert!(matches!(silent.state, State::Failed(Failure::NoResult { .. })));
    let left = Ended { error: Some("no sensor".to_owned()), report: Some(vec![1]), ..Ended::default() };
    let failed = concluded(running(), End::PowerOff, left, Vec::new(), now());
    assert_eq!(failed.state, State::Failed(Failure::Error { message: "no sensor".to_owned() }));
    assert_eq!(failed.ended, Some(now()));
}

#[test]
fn another_tenant_of_the_same_id_is_another_command() {
    let tenant = |name: &str| name.parse::<Tenant>().unwrap();
    let (acme, other) = (entry(0, "acme", 4, State::Running), entry(0, "other", 4, State::Running));
    assert_ne!(acme.guest(), other.guest());
    assert_eq!(usage(&tenant("acme"), &[acme.clone(), other]), Usage { guests: 1, memory_mib: 4, ..Usage::default() });
    assert_eq!(usage(&tenant("third"), &[acme]), Usage::default());
}

fn live() -> Contract {
    let roof = Sensors { name: "roof/*".parse().unwrap(), kind: None, unit: None, place: None };
    let (window, most_readings_per_second) = (Window::Live, NonZeroU32::new(10).unwrap());
    Contract { sensors: vec![roof], window, most_readings_per_second }
}

/// The board's broker and a command that it is to feed.
fn broker_and_fed(broker: State, fed: State) -> [Entry; 2] {
    let mut fed = entry(1, "acme", 4, fed);
    fed.command.contract = Some(live());
    [entry(0, "ops", 8, broker), fed]
}

/// What is to be done with these guests.
fn with_broker(entries: &[Entry], guests: Vec<Guest>) -> Vec<Action> {
    step(entries, Some(&entries[0].key()), &observed(guests, 64), allowance, now())
}

/// A guest of this number that is fed by another.
fn numbered(entry: &Entry, life: Life, domid: u16, fed_by: Option<u16>) -> Guest {
    Guest { domid, fed_by, ..guest_of(entry, life) }
}

#[test]
fn a_contract_is_taken_where_somebody_feeds_tasks_and_can_be_told_it() {
    let [broker, fed] = broker_and_fed(State::Running, State::Accepted);
    let key = broker.key();
    let outcome = |command: &Command, feeder: Option<&Key>| {
        accept(command, &QUOTA, &Usage::default(), feeder).map_err(|refusal| refusal.to_string())
    };
    assert_eq!(outcome(&fed.command, Some(&key)), Ok(()));
    assert!(outcome(&fed.command, None).unwrap_err().contains("this board has no broker that feeds tasks"));
    let mut itself = broker.command;
    assert_eq!(outcome(&itself, Some(&key)), Ok(()));
    itself.contract = Some(live());
    assert!(outcome(&itself, Some(&key)).unwrap_err().contains("has no contract itself"));
    let mut nothing = fed.command;
    nothing.contract = Some(Contract { sensors: Vec::new(), ..live() });
    assert_eq!(
        outcome(&nothing, Some(&key)).unwrap_err(),
        "the contract: it names 0 sensors; a contract names 1 to 64"
    );
}

#[test]
fn a_command_with_a_contract_waits_for_the_boards_broker_and_holds_up_nobody() {
    let [broker, fed] = broker_and_fed(State::Running, State::Queued);
    let other = entry(2, "other", 4, State::Queued);
    let started = |entries: &[Entry], guests| -> Vec<u64> {
        let actions = with_broker(entries, guests).into_iter();
        actions
            .filter_map(|action| if let Action::Record(entry) = action { Some(entry.number) } else { None })
            .collect()
    };
    let runs = vec![guest_of(&broker, Life::Running)];
    assert_eq!(started(&[broker.clone(), fed.clone(), other.clone()], runs), [1, 2]);
    let paused = vec![guest_of(&broker, Life::Paused)];
    assert_eq!(started(&[broker.clone(), fed.clone(), other.clone()], paused), [2]);
    let [waiting, fed] = broker_and_fed(State::Starting, fed.state);
    assert_eq!(started(&[waiting, fed, other], Vec::new()), [2]);
}

#[test]
fn a_guest_is_fed_before_it_runs_and_anew_when_the_broker_is_another() {
    let entries = broker_and_fed(State::Running, State::Starting);
    let [broker, fed] = &entries;
    let with = |domid, guest| with_broker(&entries, vec![numbered(broker, Life::Running, domid, None), guest]);
    let feed = Action::Effect(Effect::Feed(Feed {
        guest: fed.guest(),
        feeder: broker.guest(),
        contract: "name=roof/*&live=yes&rate=10".to_owned(),
        is_live: true,
    }));
    assert_eq!(with(5, numbered(fed, Life::Paused, 6, None)), std::slice::from_ref(&feed));
    assert_eq!(with(5, numbered(fed, Life::Paused, 6, Some(5))), [Action::Effect(Effect::Unpause(fed.guest()))]);
    // The broker is gone between the two: the guest stays paused until there is another.
    assert_eq!(with_broker(&entries[1..], vec![numbered(fed, Life::Paused, 6, Some(5))]), []);
    assert_eq!(with(7, numbered(fed, Life::Paused, 6, Some(5))), std::slice::from_ref(&feed));
    let entries = broker_and_fed(State::Running, State::Running);
    let with = |domid, guest| with_broker(&entries, vec![numbered(broker, Life::Running, domid, None), guest]);
    assert_eq!(with(7, numbered(fed, Life::Running, 6, Some(7))), []);
    assert_eq!(with(8, numbered(fed, Life::Running, 6, Some(7))), [feed]);
    // A guest that runs goes on while there is no broker.
    let entries = broker_and_fed(State::Queued, State::Running);
    let actions = with_broker(&entries, vec![numbered(fed, Life::Running, 6, Some(7))]);
    assert!(matches!(&actions[..], [Action::Record(entry)] if entry.is(&entries[0].key())), "{actions:?}");
}
