//! The guests of a real board: what is known of them, their paths in xenstore, their consoles, what they left.
//!
//! What makes, starts and ends their domains is behind [`Domains`]; this is the same for each of them, so a guest that
//! one of them made is adopted, read and removed by the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use protocol::Cpu;
use xenstore::Client;

use super::console::{Consoles, STACK_BYTES};
use super::domains::{Condition, Domain, Domains};
use super::guest_store::{GuestStore, Left, since_boot};
use super::makers::Makers;
use super::{Choice, Error, HOTPLUG, ReadConsole, leftovers};
use crate::admission::footprint_kib;
use crate::{End, Ended, Feed, Guest, GuestId, GuestSpec, Inside, Life, Toolstack};

/// What is known is asked for anew after this, also when nothing says that it has changed: a person may pause a guest.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The pause before xenstored is watched again when that failed.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// What a board has.
#[derive(Debug, Clone)]
pub struct Options {
    /// What makes domains.
    pub toolstack: Choice,
    /// The program `xl`.
    pub program: PathBuf,
    /// The file that says that a node runs here; in a folder that the board's boot empties.
    pub lock: PathBuf,
    /// The bridge for guests' network cards.
    pub bridge: String,
    /// The program that connects a card to the bridge; Xen's own default for none.
    pub hotplug: Option<PathBuf>,
    /// How long one run of `xl` may take.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            toolstack: Choice::Auto,
            program: super::xl::installed(),
            lock: "/run/spored/xl.lock".into(),
            bridge: "xenbr0".into(),
            hotplug: Some(PathBuf::from(HOTPLUG)).filter(|path| path.exists()),
            patience: Duration::from_secs(120),
        }
    }
}

/// The toolstack of a board.
pub struct Dom0 {
    domains: Makers,
    store: Client,
    consoles: Consoles,
    /// Something ended since the guests were listed.
    changed: Arc<AtomicBool>,
    listed: Option<Instant>,
    /// What earlier lives of the node have left of guests was removed.
    is_swept: bool,
    guests: BTreeMap<GuestId, Known>,
    memory: Option<Memory>,
}

/// What is known of a guest.
#[derive(Debug, Clone, Copy)]
struct Known {
    domain: u16,
    life: Life,
    /// Time since the board's boot.
    started: Option<Duration>,
    memory_kib: u64,
    cpu_time: Duration,
    /// Its share of the CPUs, where it is known.
    cpu: Option<Cpu>,
    fed_by: Option<u16>,
    /// It was told to feed others.
    is_feeder: bool,
}

/// Xen's free memory, as it was asked for and less what was given away since.
#[derive(Debug, Clone, Copy)]
struct Memory {
    free_kib: u64,
    asked: Instant,
}

impl Dom0 {
    /// Takes the board: one node at a time has it. `on_change` is called, from a thread of its own, whenever a guest
    /// may have ended.
    ///
    /// # Errors
    /// Another node has the board, or there are no threads to be had.
    pub fn new(options: Options, on_change: impl Fn() + Send + 'static) -> Result<Self, Error> {
        let domains = Makers::new(options)?;
        let changed = Arc::new(AtomicBool::new(false));
        let thread = |source| Error::Run { command: "a thread".into(), source };
        let consoles = Consoles::start(Client::new()).map_err(thread)?;
        let flag = changed.clone();
        let watch = thread::Builder::new().name("domains".into()).stack_size(STACK_BYTES);
        let watched = move || {
            flag.store(true, Ordering::SeqCst);
            on_change();
        };
        watch.spawn(move || watch_domains(watched)).map_err(thread)?;
        Ok(Self {
            domains,
            store: Client::new(),
            consoles,
            changed,
            listed: None,
            is_swept: false,
            guests: BTreeMap::new(),
            memory: None,
        })
    }

    /// Brings what is known up to date, where something says that it is not.
    fn look(&mut self) -> Result<(), Error> {
        // Before the list is made: what ends meanwhile is seen next time.
        let changed = self.changed.swap(false, Ordering::SeqCst);
        if !changed && self.listed.is_some_and(|listed| listed.elapsed() < LOOK_AGAIN) {
            return Ok(());
        }
        self.listed = None;
        // A life's first look takes what xenstore knows for what there was before: an earlier life may have been killed
        // between the end of a domain and that of its paths. It is read first, so that a guest that is made meanwhile is
        // not among it.
        let before: Vec<_> = match self.is_swept {
            true => self.guests.iter().map(|(guest, known)| (*guest, known.domain)).collect(),
            false => leftovers::known(&mut self.store)?,
        };
        let mut guests = BTreeMap::new();
        // One that is dying is gone for everybody but Xen's free memory.
        let domains = self.domains.list()?;
        for domain in domains.into_iter().filter(|domain| domain.condition != Condition::Dying) {
            guests.insert(domain.id, self.known(domain)?);
            self.consoles.attach(domain.id, domain.number);
        }
        // Who destroys a guest of the node's by hand removes less than the node, which may even have asked it something
        // after its end. What cannot be removed now is then, because the guest stays among those that were there before.
        for (guest, domain) in before.into_iter().filter(|(guest, _)| !guests.contains_key(guest)) {
            leftovers::remove(&mut self.store, guest, Some(domain))?;
            self.consoles.detach(guest);
        }
        if !self.is_swept {
            leftovers::remove_files_of_dead_guests(|guest| guests.contains_key(&guest));
            self.is_swept = true;
        }
        self.unlist_dead_tasks(&guests)?;
        // What a guest gives back, it gives back when it is gone.
        if !guests.keys().eq(self.guests.keys()) {
            self.memory = None;
        }
        self.guests = guests;
        self.listed = Some(Instant::now());
        Ok(())
    }

    fn known(&mut self, domain: Domain) -> Result<Known, Error> {
        let Domain { number, id, condition, memory_kib, cpu_time } = domain;
        let before = self.guests.get(&id).filter(|known| known.domain == number).copied();
        let (made, started, cpu) = match before {
            Some(known) => (known.life != Life::Unfinished, known.started, known.cpu),
            None => {
                let mut guest = GuestStore::of(&mut self.store, number);
                (guest.is_whole()?, guest.started()?, guest.cpu()?)
            }
        };
        let (fed_by, is_feeder) = match before {
            Some(known) => (known.fed_by, known.is_feeder),
            None => {
                let mut guest = GuestStore::of(&mut self.store, number);
                (guest.fed_by()?, !guest.tasks()?.is_empty())
            }
        };
        let life = match condition {
            Condition::Running if made => Life::Running,
            Condition::ShutDown(reason) if made => ended(reason),
            Condition::Paused if made => Life::Paused,
            Condition::Running | Condition::Paused | Condition::ShutDown(_) | Condition::Dying => Life::Unfinished,
        };
        Ok(Known { domain: number, life, started, memory_kib, cpu_time, cpu, fed_by, is_feeder })
    }

    /// Has brokers feed no guest any more that is gone: whoever has ended it, and if a node was killed just after that.
    fn unlist_dead_tasks(&mut self, guests: &BTreeMap<GuestId, Known>) -> Result<(), Error> {
        for feeder in guests.values().filter(|known| known.is_feeder) {
            let mut feeder = GuestStore::of(&mut self.store, feeder.domain);
            for task in feeder.tasks()? {
                if !guests.values().any(|known| known.domain == task) {
                    feeder.unlist_task(task)?;
                }
            }
        }
        Ok(())
    }

    fn guest(&self, id: GuestId) -> Result<Known, Error> {
        self.guests.get(&id).copied().ok_or(Error::NoGuest(id))
    }

    /// Makes the domain, leaves there what its guest finds, and says that it is whole.
    fn make(&mut self, guest: &GuestSpec, image: &Path) -> Result<u16, Error> {
        let domain = self.domains.make(guest, image, &mut self.store)?;
        GuestStore::of(&mut self.store, domain).complete(&guest.nodes, guest.cpu)?;
        Ok(domain)
    }
}

impl Toolstack for Dom0 {
    type Error = Error;

    fn guests(&mut self) -> Result<Vec<Guest>, Error> {
        self.look()?;
        let now = since_boot();
        let guests = self.guests.iter().map(|(id, known)| {
            let running_for = known.started.map_or(Duration::ZERO, |started| now.saturating_sub(started));
            let Known { domain, life, memory_kib, cpu_time, cpu, fed_by, .. } = *known;
            Guest { id: *id, life, running_for, domid: domain, memory_kib, cpu_time, cpu, fed_by }
        });
        Ok(guests.collect())
    }

    fn memory_free_kib(&mut self) -> Result<u64, Error> {
        match self.memory.filter(|memory| memory.asked.elapsed() < LOOK_AGAIN) {
            Some(memory) => Ok(memory.free_kib),
            None => {
                let free_kib = self.domains.memory_free_kib()?;
                self.memory = Some(Memory { free_kib, asked: Instant::now() });
                Ok(free_kib)
            }
        }
    }

    fn create(&mut self, guest: &GuestSpec, image: &Path) -> Result<(), Error> {
        match self.make(guest, image) {
            Ok(domain) => {
                self.consoles.attach(guest.id, domain);
                let memory_kib = u64::from(guest.memory_mib) * 1024;
                let (life, cpu_time, cpu) = (Life::Paused, Duration::ZERO, Some(guest.cpu));
                let (fed_by, is_feeder) = (None, false);
                let known = Known { domain, life, started: None, memory_kib, cpu_time, cpu, fed_by, is_feeder };
                self.guests.insert(guest.id, known);
                if let Some(memory) = &mut self.memory {
                    memory.free_kib = memory.free_kib.saturating_sub(footprint_kib(guest.memory_mib));
                }
                Ok(())
            }
            Err(error) => {
                // Whatever there is of it is found by the next look; what cannot be removed now is then.
                self.changed.store(true, Ordering::SeqCst);
                let _ = self.destroy(guest.id);
                Err(error)
            }
        }
    }

    fn unpause(&mut self, guest: GuestId) -> Result<(), Error> {
        let known = self.guest(guest)?;
        let started = since_boot();
        GuestStore::of(&mut self.store, known.domain).start(started)?;
        self.domains.unpause(known.domain)?;
        self.guests.insert(guest, Known { life: Life::Running, started: Some(started), ..known });
        Ok(())
    }

    fn feed(&mut self, feed: &Feed) -> Result<(), Error> {
        let (guest, feeder) = (self.guest(feed.guest)?, self.guest(feed.feeder)?);
        // Known before it is done: what is listed is removed, however this ends.
        self.guests.insert(feed.feeder, Known { is_feeder: true, ..feeder });
        GuestStore::of(&mut self.store, feeder.domain).list_task(guest.domain, &feed.contract)?;
        GuestStore::of(&mut self.store, guest.domain).set_fed_by(feeder.domain, feed.is_live)?;
        self.guests.insert(feed.guest, Known { fed_by: Some(feeder.domain), ..guest });
        Ok(())
    }

    fn set_cpu(&mut self, guest: GuestId, cpu: Cpu) -> Result<(), Error> {
        let known = self.guest(guest)?;
        // Also when it fails: an error is said once, and a scheduler that cannot do it is not asked with each turn.
        self.guests.insert(guest, Known { cpu: Some(cpu), ..known });
        self.domains.set_cpu(known.domain, cpu)?;
        Ok(GuestStore::of(&mut self.store, known.domain).set_cpu(cpu)?)
    }

    fn look_into(&mut self, guest: GuestId) -> Result<Inside, Error> {
        let known = self.guest(guest)?;
        let mut store = GuestStore::of(&mut self.store, known.domain);
        Ok(Inside { checkpoint: store.checkpoint()?, counters: store.counters()? })
    }

    fn ended(&mut self, guest: GuestId) -> Result<Ended, Error> {
        let known = self.guest(guest)?;
        let mut store = GuestStore::of(&mut self.store, known.domain);
        let (left, checkpoint) = (store.left()?, store.checkpoint()?);
        if left == Left::Nothing {
            self.consoles.settle(guest);
        }
        let console = self.consoles.read(guest, 0).unwrap_or_default().bytes;
        let (report, error) = match left {
            Left::Nothing => (None, None),
            Left::Report(report) => (report, None),
            Left::Error(error) => (None, Some(error)),
        };
        Ok(Ended { report, error, console, checkpoint })
    }

    fn destroy(&mut self, guest: GuestId) -> Result<(), Error> {
        let known = self.guests.get(&guest).copied();
        let domain = match known {
            Some(known) => Some(known.domain),
            None => leftovers::domain_of(&mut self.store, guest)?,
        };
        if let Some(domain) = domain {
            let destroyed = self.domains.destroy(domain, guest);
            // It may have been gone already, by somebody else's hand: xenstore knows.
            if destroyed.is_err() && leftovers::domain_of(&mut self.store, guest)?.is_some() {
                self.changed.store(true, Ordering::SeqCst);
                destroyed?;
            }
        }
        leftovers::remove(&mut self.store, guest, domain)?;
        if let Some(Known { domain, fed_by: Some(feeder), .. }) = known {
            GuestStore::of(&mut self.store, feeder).unlist_task(domain)?;
        }
        self.consoles.detach(guest);
        self.guests.remove(&guest);
        self.memory = None;
        Ok(())
    }

    fn consoles(&self) -> Arc<dyn ReadConsole> {
        Arc::new(self.consoles.clone())
    }

    fn xen_version(&self) -> String {
        privcmd::running_version().unwrap_or_else(|_| "unknown".to_owned())
    }
}

/// Why a guest has ended. Source: xen/include/public/sched.h, `SHUTDOWN_*`.
fn ended(reason: u32) -> Life {
    match reason {
        // Who asks it to reboot, which is nobody of the node, has it end in order as well.
        0 | 1 => Life::Ended(End::PowerOff),
        // Somebody is saving it: it goes on or is gone.
        2 => Life::Paused,
        _ => Life::Ended(End::Crash),
    }
}

/// Says when domains have ended, for ever. A watch tells once at its beginning, so nothing is missed when it had to be
/// made anew.
fn watch_domains(changed: impl Fn()) {
    loop {
        let mut store = Client::new();
        let mut watch = || -> Result<(), xenstore::Error> {
            store.watch(xenstore::RELEASE)?;
            loop {
                if store.event(LOOK_AGAIN)?.is_some() {
                    changed();
                }
            }
        };
        // What is wrong with xenstored is said by who asks it something.
        let _ = watch();
        thread::sleep(WATCH_PAUSE);
    }
}
