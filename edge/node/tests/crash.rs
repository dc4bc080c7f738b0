//! A node is killed at each of its steps, before and after its effect, and goes on: nothing is lost, nothing runs
//! twice, nothing healthy is touched, nothing is left over.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use artifact::Config;
use description::Description;
use kernel::checkpoint::{self, Checkpoint};
use node::disk::Bounds;
use node::reconcile::{Effect, Observed};
use node::{
    Board, Desk, End, Ended, Entry, Feed, Guest, GuestId, GuestSpec, Inside, Journal, JournalError, Key, Life, Node,
    NodeError, Piece, Prepared, ReadConsole, Saved, Settled, Toolstack, turn,
};
use protocol::command::{Contract, Destination, Lifetime, Memory, OnCrash, Sensors, Task, Window};
use protocol::{
    Command, Cpu, Digest, Failure, Parameters, Quota, SecretKey, SignedCommand, State, Tenant, Timestamp, Verified,
    Version,
};

const QUOTA: Quota = Quota {
    guests: 8,
    memory_mib: 64,
    queued: 8,
    starts_per_minute: 1000,
    result_bytes: 1 << 20,
    cpu: Cpu { weight: 256, cap_percent: 0 },
};
const BOUNDS: Bounds = Bounds { commands: 100, bytes: 1 << 20 };

/// What survives the node: the board, its guests, and the disk.
#[derive(Debug, Default)]
struct World {
    guests: BTreeMap<GuestId, FakeGuest>,
    /// Whom a guest feeds, and by which contract.
    contracts: BTreeMap<(GuestId, GuestId), String>,
    /// Every guest that was ever made, by the name of its command.
    made: Vec<(String, GuestId)>,
    journal: BTreeMap<String, Entry>,
    /// What the journal has of what guests saved, by the name of their command.
    saved: BTreeMap<String, Saved>,
    /// What guests had saved when they crashed, by the name of their command.
    left: BTreeMap<String, Checkpoint>,
    boot: u32,
    now_seconds: u64,
    /// Steps until the node is killed; a killed node does nothing any more.
    steps_left: Option<u32>,
    steps: u32,
}

#[derive(Debug, Clone)]
struct FakeGuest {
    name: String,
    life: Life,
    cpu: Cpu,
    checkpoint: Option<Checkpoint>,
    domid: u16,
    fed_by: Option<u16>,
}

/// The node is dead.
#[derive(Debug)]
struct Killed;

impl std::fmt::Display for Killed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("killed")
    }
}

impl World {
    /// A point at which the node may be killed.
    fn point(&mut self) -> Result<(), Killed> {
        self.steps += 1;
        match &mut self.steps_left {
            None => Ok(()),
            Some(0) => Err(Killed),
            Some(left) => {
                *left -= 1;
                if *left == 0 { Err(Killed) } else { Ok(()) }
            }
        }
    }

    fn is_killed(&self) -> bool {
        self.steps_left == Some(0)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_milliseconds(1_800_000_000_000).after(Duration::from_secs(self.now_seconds))
    }

    /// Time passes and guests do what they are there for.
    fn live(&mut self) {
        self.now_seconds += 100;
        let made = self.made.clone();
        for (id, guest) in self.guests.iter_mut().filter(|(_, guest)| guest.life == Life::Running) {
            let number = guest.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number) + 1;
            guest.checkpoint = Some(Checkpoint { number, bytes: guest.name.clone().into_bytes() });
            let attempt = made.iter().filter(|(name, _)| *name == guest.name).position(|(_, made)| made == id);
            guest.life = match (guest.name.as_str(), attempt) {
                ("forever" | "broker", _) => Life::Running,
                ("crashes-twice", Some(0 | 1)) => Life::Ended(End::Crash),
                _ => Life::Ended(End::PowerOff),
            };
            if let (Life::Ended(End::Crash), Some(checkpoint)) = (guest.life, &guest.checkpoint) {
                self.left.insert(guest.name.clone(), checkpoint.clone());
            }
        }
    }

    fn put_saved(&mut self, key: &Key, saved: Option<&Saved>) {
        match saved {
            Some(saved) => drop(self.saved.insert(key.id.to_string(), saved.clone())),
            None => drop(self.saved.remove(key.id.as_str())),
        }
    }

    /// The power goes and comes back.
    fn reboot(&mut self) {
        self.guests.clear();
        self.contracts.clear();
        self.boot += 1;
    }
}

#[derive(Debug, Clone)]
struct Fake(Rc<RefCell<World>>);

impl Fake {
    /// An effect with a point to be killed at before and after it.
    fn effect<T>(&self, effect: impl FnOnce(&mut World) -> T) -> Result<T, Killed> {
        let mut world = self.0.borrow_mut();
        world.point()?;
        let value = effect(&mut world);
        world.point()?;
        Ok(value)
    }
}

impl Journal for Fake {
    fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        let world = self.0.borrow();
        let mut entries: Vec<_> =
            world.journal.values().filter(|entry| !entry.state.phase().is_end()).cloned().collect();
        entries.sort_by_key(|entry| entry.number);
        Ok(entries)
    }

    fn ended(&self, key: &Key) -> Result<Option<Entry>, JournalError> {
        Ok(self.0.borrow().journal.get(&key.to_string()).cloned())
    }

    fn next_number(&self) -> Result<u64, JournalError> {
        Ok(self.0.borrow().journal.len() as u64)
    }

    fn record(&mut self, entry: &Entry, saved: Option<&Saved>, _: Timestamp) -> Result<(), JournalError> {
        let written = self.effect(|world| {
            world.journal.insert(entry.key().to_string(), entry.clone());
            if saved.is_some() || entry.state.phase().is_end() {
                world.put_saved(&entry.key(), saved);
            }
        });
        written.map_err(JournalError::new)
    }

    fn saved(&self, key: &Key) -> Result<Option<Saved>, JournalError> {
        Ok(self.0.borrow().saved.get(key.id.as_str()).cloned())
    }

    fn save(&mut self, key: &Key, saved: Option<&Saved>) -> Result<(), JournalError> {
        self.effect(|world| world.put_saved(key, saved)).map_err(JournalError::new)
    }
}

/// The node in the same thread as its toolstack.
struct OneThread {
    node: Node<Fake>,
    world: Rc<RefCell<World>>,
}

impl OneThread {
    fn now(&self) -> Timestamp {
        self.world.borrow().now()
    }
}

impl Desk for OneThread {
    fn plan(&mut self, observed: Observed) -> Result<(Vec<Effect>, bool), NodeError> {
        let now = self.now();
        Ok(self.node.plan(&observed, |_| QUOTA, now)?)
    }

    fn settle(&mut self, settled: Settled) -> Result<(), NodeError> {
        let now = self.now();
        let lines = |_: &Entry, console: &[u8]| vec![String::from_utf8_lossy(console).into_owned()];
        Ok(self.node.settle(settled, lines, now)?)
    }
}

impl Toolstack for Fake {
    type Error = Killed;

    fn guests(&mut self) -> Result<Vec<Guest>, Killed> {
        let world = self.0.borrow();
        let guest = |(id, guest): (&GuestId, &FakeGuest)| Guest {
            id: *id,
            life: guest.life,
            running_for: Duration::ZERO,
            domid: guest.domid,
            memory_kib: 4096,
            cpu_time: Duration::ZERO,
            cpu: Some(guest.cpu),
            fed_by: guest.fed_by,
        };
        Ok(world.guests.iter().map(guest).collect())
    }

    fn memory_free_kib(&mut self) -> Result<u64, Killed> {
        Ok(64 * 1024)
    }

    fn create(&mut self, spec: &GuestSpec, _: &Path) -> Result<(), Killed> {
        let name = spec.parameters.0.values().next().unwrap().clone();
        self.effect(|world| {
            let alive = world.guests.values().filter(|guest| guest.name == name && guest.life == Life::Running);
            assert_eq!(alive.count(), 0, "{name} runs twice");
            let again = world.made.iter().any(|(_, made)| *made == spec.id);
            assert!(!again || world.boot > 0, "the same guest of {name} is made twice");
            world.made.push((name.clone(), spec.id));
            let checkpoint = given(&spec.nodes);
            if world.boot == 0 {
                // The guest that crashed is the last that was there: nothing that it saved is lost.
                assert_eq!(checkpoint.as_ref(), world.left.get(&name), "{name} was given something else");
            } else {
                let on_disk = world.saved.get(&name).map(|saved| saved.for_image(spec.image).unwrap());
                assert_eq!(checkpoint, on_disk, "{name} was given something else");
            }
            let domid = u16::try_from(world.made.len()).unwrap();
            let guest = FakeGuest { name, life: Life::Paused, cpu: spec.cpu, checkpoint, domid, fed_by: None };
            let old = world.guests.insert(spec.id, guest);
            assert!(old.is_none(), "a guest of this id is there");
        })
    }

    fn unpause(&mut self, id: GuestId) -> Result<(), Killed> {
        self.effect(|world| {
            let broker = world.guests.values().find(|guest| guest.name == "broker" && guest.life == Life::Running);
            let broker = broker.map(|broker| broker.domid);
            let guest = world.guests.get_mut(&id).unwrap();
            assert_eq!(guest.life, Life::Paused, "{} is unpaused twice", guest.name);
            if guest.name == "fed" {
                assert!(broker.is_some() && guest.fed_by == broker, "it runs and nobody feeds it");
                let written = world.contracts.iter().find(|((_, fed), _)| *fed == id).map(|(_, text)| &**text);
                assert_eq!(written, Some("name=roof/*&live=yes&rate=10"));
            }
            guest.life = Life::Running;
        })
    }

    fn feed(&mut self, feed: &Feed) -> Result<(), Killed> {
        self.effect(|world| drop(world.contracts.insert((feed.feeder, feed.guest), feed.contract.clone())))?;
        self.effect(|world| {
            let feeder = world.guests[&feed.feeder].domid;
            world.guests.get_mut(&feed.guest).unwrap().fed_by = Some(feeder);
        })
    }

    fn set_cpu(&mut self, id: GuestId, cpu: Cpu) -> Result<(), Killed> {
        self.effect(|world| world.guests.get_mut(&id).unwrap().cpu = cpu)
    }

    fn look_into(&mut self, id: GuestId) -> Result<Inside, Killed> {
        self.effect(|world| Inside { checkpoint: world.guests[&id].checkpoint.clone(), counters: None })
    }

    fn ended(&mut self, id: GuestId) -> Result<Ended, Killed> {
        self.effect(|world| {
            let guest = &world.guests[&id];
            let left = Ended { checkpoint: guest.checkpoint.clone(), ..Ended::default() };
            match guest.name.as_str() {
                "fails" => Ended { error: Some("no such sensor".to_owned()), ..left },
                _ => Ended { report: Some(vec![42]), console: b"last words".to_vec(), ..left },
            }
        })
    }

    fn destroy(&mut self, id: GuestId) -> Result<(), Killed> {
        self.effect(|world| {
            if let Some(guest) = world.guests.remove(&id) {
                world.contracts.retain(|(feeder, fed), _| *feeder != id && *fed != id);
                let healthy = guest.life == Life::Running && guest.name != "cancelled" && guest.name != "orphan";
                assert!(!healthy, "{} was healthy", guest.name);
            }
        })
    }

    fn consoles(&self) -> Arc<dyn ReadConsole> {
        Arc::new(NoConsoles)
    }

    fn xen_version(&self) -> String {
        "4.17".to_owned()
    }
}

/// The checkpoint that a guest is given.
fn given(nodes: &[(String, Vec<u8>)]) -> Option<Checkpoint> {
    let read = |path: &str| Ok(nodes.iter().find(|(name, _)| name == path).map(|(_, value)| value.clone()));
    let Ok(newest) = checkpoint::newest::<Infallible>(read);
    newest
}

struct NoConsoles;

impl ReadConsole for NoConsoles {
    fn read(&self, _: GuestId, _: u64) -> Option<Piece> {
        None
    }
}

fn prepared() -> Prepared {
    let config = Config::new(Description::of::<(), ()>("task"), 4, Vec::new()).unwrap();
    Prepared { config, image: Digest::of(b"image"), memory_mib: 4 }
}

fn acme() -> Tenant {
    "acme".parse().unwrap()
}

fn key_of(name: &str) -> Key {
    Key { tenant: acme(), id: name.parse().unwrap() }
}

fn command(name: &str) -> Verified {
    let command = Command {
        version: Version,
        tenant: acme(),
        id: name.parse().unwrap(),
        issued: Timestamp::from_milliseconds(0),
        task: Task { digest: Digest::of(name.as_bytes()), repository: None },
        parameters: Parameters([("name".parse().unwrap(), name.to_owned())].into()),
        contract: (name == "fed").then(|| Contract {
            sensors: vec![Sensors { name: "roof/*".parse().unwrap(), kind: None, unit: None, place: None }],
            window: Window::Live,
            most_readings_per_second: NonZeroU32::new(10).unwrap(),
        }),
        memory: Memory::Mib(NonZeroU32::new(4).unwrap()),
        lifetime: if ["forever", "broker"].contains(&name) { Lifetime::Persistent } else { Lifetime::Ephemeral },
        priority: 0,
        deadline: None,
        longest_run_seconds: None,
        on_crash: OnCrash::Again { times: 2, first_pause_seconds: 1, longest_pause_seconds: 9 },
        result: Destination::Node,
    };
    let key = SecretKey::new();
    let signed = SignedCommand::seal(&command, &key).to_bytes();
    SignedCommand::open(&signed, |_| Some(vec![key.public()])).unwrap()
}

const NAMES: [&str; 7] = ["fed", "good", "fails", "crashes-twice", "forever", "cancelled", "broker"];

fn commands() -> Vec<Verified> {
    NAMES.map(command).to_vec()
}

/// A node's life until there is nothing to do, or until it is killed.
fn life(world: &Rc<RefCell<World>>, commands: &[Verified]) -> Result<(), NodeError> {
    let mut fake = Fake(world.clone());
    let board =
        Board { boot: world.borrow().boot.to_string(), reserve_kib: 0, image: |_: &GuestSpec| Ok(PathBuf::new()) };
    let mut desk =
        OneThread { node: Node::new(fake.clone())?.with_feeder(Some(key_of("broker"))), world: world.clone() };
    // The cloud sends again what was not acknowledged, and takes the same command as the same.
    for verified in commands {
        let now = desk.now();
        let key = desk.node.accept(verified, now)?.key();
        desk.node.prepare(&key, Ok(prepared()), now)?;
    }
    let mut idle = 0;
    // Idle for three times as long as any pause: nothing more will happen.
    while idle < 3 {
        let busy = turn(&mut desk, &mut fake, &board)?;
        let running = |entry: &Entry| entry.key() == key_of("cancelled") && entry.state == State::Running;
        if desk.node.entries().iter().any(running) {
            let now = desk.now();
            desk.node.cancel(&key_of("cancelled"), now)?;
        } else if busy {
            idle = 0;
        } else {
            idle += 1;
            world.borrow_mut().live();
        }
    }
    Ok(())
}

/// Lives until all is done, the first one killed after so many points; how many points there were in all.
fn lives(commands: &[Verified], killed_after: Option<u32>, reboot: bool) -> (World, u32) {
    let world = Rc::new(RefCell::new(World::default()));
    // A guest of an earlier life whose command nobody knows.
    let orphan = GuestId::of(&key_of("orphan"), Digest::of(b""), 1);
    world.borrow_mut().guests.insert(
        orphan,
        FakeGuest {
            name: "orphan".to_owned(),
            life: Life::Running,
            cpu: QUOTA.cpu,
            checkpoint: None,
            domid: 0,
            fed_by: None,
        },
    );
    world.borrow_mut().steps_left = killed_after;
    let first = life(&world, commands);
    if world.borrow().is_killed() {
        assert!(first.is_err(), "a node that was killed ended well");
        world.borrow_mut().steps_left = None;
        if reboot {
            world.borrow_mut().reboot();
        }
        life(&world, commands).unwrap();
    } else {
        first.unwrap();
    }
    let steps = world.borrow().steps;
    (Rc::into_inner(world).unwrap().into_inner(), steps)
}

fn check(world: &World, rebooted: bool) {
    let entry = |name: &str| &world.journal[&key_of(name).to_string()];
    let made = |name: &str| world.made.iter().filter(|(of, _)| of == name).count();
    assert_eq!(entry("good").state, State::Finished);
    assert_eq!(entry("good").result.as_deref(), Some("Kg=="));
    assert_eq!(entry("fails").state, State::Failed(Failure::Error { message: "no such sensor".to_owned() }));
    assert_eq!(entry("crashes-twice").state, State::Finished);
    assert_eq!(entry("cancelled").state, State::Cancelled);
    assert_eq!(entry("forever").state, State::Running);
    assert_eq!(entry("fed").state, State::Finished);
    assert_eq!(entry("broker").state, State::Running);
    let left: BTreeMap<_, _> = world.guests.values().map(|guest| (guest.name.as_str(), guest.life)).collect();
    assert_eq!(left, [("broker", Life::Running), ("forever", Life::Running)].into(), "left over");
    assert_eq!(world.contracts, BTreeMap::new(), "the broker is still told to feed what is gone");
    // What ran for more than a minute is on disk, and nothing of what has ended.
    assert_eq!(world.saved.keys().collect::<Vec<_>>(), ["broker", "forever"]);
    if !rebooted {
        assert_eq!(NAMES.map(made), [1, 1, 1, 3, 1, 1, 1]);
        assert_eq!(entry("crashes-twice").crashes, 2);
    }
}

#[test]
fn a_node_that_is_killed_at_any_step_goes_on_from_there() {
    let commands = commands();
    let (world, steps) = lives(&commands, None, false);
    check(&world, false);
    assert!(steps > 50, "the steps are few: {steps}");
    for killed_after in 1..=steps {
        println!("killed after {killed_after} of {steps}");
        check(&lives(&commands, Some(killed_after), false).0, false);
    }
}

#[test]
fn a_board_that_loses_its_power_at_any_step_brings_the_work_back() {
    let commands = commands();
    let (_, steps) = lives(&commands, None, true);
    for killed_after in 1..steps {
        println!("power lost after {killed_after} of {steps}");
        check(&lives(&commands, Some(killed_after), true).0, true);
    }
}

#[test]
fn a_command_is_one_however_often_it_comes_and_its_name_is_not_taken_over() {
    let fake = Fake(Rc::default());
    let mut node = Node::new(fake).unwrap();
    let (first, now) = (command("good"), Timestamp::from_milliseconds(0));
    node.accept(&first, now).unwrap();
    node.accept(&first, now).unwrap();
    assert_eq!(node.entries().len(), 1);
    let mut other = first.command().clone();
    other.priority = 9;
    let key = SecretKey::new();
    let signed = SignedCommand::seal(&other, &key).to_bytes();
    let other = SignedCommand::open(&signed, |_| Some(vec![key.public()])).unwrap();
    let error = node.accept(&other, now).unwrap_err().to_string();
    assert_eq!(error, "command acme/good is known with other content: choose another id");
}

#[test]
fn what_a_task_saved_is_on_disk_until_its_command_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let now = Timestamp::from_milliseconds(0);
    let mut disk = node::Disk::open(&path, BOUNDS).unwrap();
    let mut node = Node::new(Fake(Rc::default())).unwrap();
    let entry = node.accept(&command("good"), now).unwrap();
    let key = entry.key();
    let saved = |number| Saved::new(Digest::of(b"image"), &Checkpoint { number, bytes: vec![number as u8; 32 * 1024] });
    assert_eq!(disk.saved(&key).unwrap(), None);
    disk.save(&key, Some(&saved(1))).unwrap();
    disk.record(&entry, None, now).unwrap();
    assert_eq!(disk.saved(&key).unwrap(), Some(saved(1)));
    disk.record(&entry, Some(&saved(2)), now).unwrap();
    drop(disk);
    let mut disk = node::Disk::open(&path, BOUNDS).unwrap();
    assert_eq!(disk.saved(&key).unwrap(), Some(saved(2)));
    disk.record(&entry.into_end(State::Cancelled, now), None, now).unwrap();
    assert_eq!(disk.saved(&key).unwrap(), None);
    disk.save(&key, Some(&saved(3))).unwrap();
    disk.save(&key, None).unwrap();
    assert_eq!(disk.saved(&key).unwrap(), None);
}

#[test]
fn the_journal_on_disk_gives_back_what_was_recorded_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let now = Timestamp::from_milliseconds(0);
    let mut node = Node::new(node::Disk::open(&path, BOUNDS).unwrap()).unwrap();
    node.accept(&command("good"), now).unwrap();
    node.prepare(&key_of("good"), Ok(prepared()), now).unwrap();
    let before = node.entries().to_vec();
    assert_eq!(before[0].state, State::Queued);
    let error = node::Disk::open(&path, BOUNDS).unwrap_err().to_string();
    assert!(error.starts_with("the journal: "), "{error}");
    drop(node);
    assert_eq!(node::Disk::open(&path, BOUNDS).unwrap().entries().unwrap(), before);
}
