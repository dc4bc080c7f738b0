//! A guest's own directory in xenstore, as a node uses it, whatever makes its guests.
//!
//! | node | written by | |
//! |---|---|---|
//! | `spore/made` | this node, last | the guest is whole and may run |
//! | `spore/started` | this node, before it lets it run | seconds since the board's boot |
//! | `spore/cpu` | this node | its share of the CPUs: weight and cap |
//! | `spore/fed` | this node, last of what feeds it | the domain that feeds it |
//! | `data/feed` | this node | where its feed is, and ` live` where that may change; the guest may write there too |
//! | `data/tasks/<domain>` | this node alone | of the board's broker: whom it feeds, each with a contract |
//! | `data/parameters`, `data/checkpoint` and more | this node, before it is whole | see [`GuestSpec::nodes`](crate::GuestSpec::nodes) |
//! | `control/sysrq` | this node | the guest is to count |
//! | `data/status`, `data/result`, `data/checkpoint`, `data/counters` and more | the guest | see xen-pv/src/toolstack/store.rs |

use std::time::Duration;

use kernel::checkpoint::{self, Checkpoint};
use kernel::nodes;
use protocol::Cpu;
use rustix::time::{ClockId, clock_gettime};
use xenstore::{Change, Client, Error};

/// Where the board's broker finds whom to feed. Source: xen-pv/src/platform/devices/feeding.rs.
const TASKS: &str = "data/tasks";

/// What a task left that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    /// Not a word: it has crashed, or its image has no driver for xenstore.
    Nothing,
    /// It ended well, with this report if it is whole.
    Report(Option<Vec<u8>>),
    /// It ended with this error.
    Error(String),
}

/// The directory of one guest.
pub(super) struct GuestStore<'c> {
    store: &'c mut Client,
    domain: u16,
}

impl<'c> GuestStore<'c> {
    /// That of a domain.
    pub(super) fn of(store: &'c mut Client, domain: u16) -> Self {
        Self { store, domain }
    }

    fn path(&self, name: &str) -> String {
        format!("/local/domain/{}/{name}", self.domain)
    }

    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(name);
        self.store.read(&path)
    }

    fn write(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let path = self.path(name);
        self.store.write(&path, value)
    }

    /// Leaves what the guest finds when it begins, and says that it is whole.
    pub(super) fn complete(&mut self, nodes: &[(String, Vec<u8>)], cpu: Cpu) -> Result<(), Error> {
        for (name, value) in nodes {
            self.write(name, value)?;
        }
        self.set_cpu(cpu)?;
        self.write("spore/made", b"")
    }

    /// Whether the guest is whole.
    pub(super) fn is_whole(&mut self) -> Result<bool, Error> {
        Ok(self.read("spore/made")?.is_some())
    }

    /// Notes that the guest is about to run.
    pub(super) fn start(&mut self, since_boot: Duration) -> Result<(), Error> {
        self.write("spore/started", since_boot.as_secs().to_string().as_bytes())
    }

    /// When the guest began to run, by [`since_boot`]; none when it never did.
    pub(super) fn started(&mut self) -> Result<Option<Duration>, Error> {
        let value = self.read("spore/started")?;
        Ok(value.and_then(|value| number(&value)).map(Duration::from_secs))
    }

    /// Notes the guest's share of the CPUs.
    pub(super) fn set_cpu(&mut self, cpu: Cpu) -> Result<(), Error> {
        self.write("spore/cpu", format!("{} {}", cpu.weight, cpu.cap_percent).as_bytes())
    }

    /// The guest's share of the CPUs; none when it is not known.
    pub(super) fn cpu(&mut self) -> Result<Option<Cpu>, Error> {
        let value = self.read("spore/cpu")?.unwrap_or_default();
        let mut words = value.split(|byte| *byte == b' ').map(number);
        Ok(words.next().flatten().zip(words.next().flatten()).map(|(weight, cap_percent)| Cpu { weight, cap_percent }))
    }

    /// Tells the guest that this domain feeds it, from now on.
    pub(super) fn set_fed_by(&mut self, feeder: u16, is_live: bool) -> Result<(), Error> {
        let goes_on = if is_live { " live" } else { "" };
        let feed = format!("/local/domain/{feeder}/data/vchan/{}/feed{goes_on}", self.domain);
        self.write("data/feed", feed.as_bytes())?;
        self.write("spore/fed", feeder.to_string().as_bytes())
    }

    /// The domain that feeds the guest.
    pub(super) fn fed_by(&mut self) -> Result<Option<u16>, Error> {
        Ok(self.read("spore/fed")?.and_then(|value| number(&value)))
    }

    /// Tells the guest to feed a task by this contract. The list is not the guest's to write, unlike what is beside it.
    pub(super) fn list_task(&mut self, task: u16, contract: &str) -> Result<(), Error> {
        let (tasks, node) = (self.path(TASKS), self.path(&format!("{TASKS}/{task}")));
        self.store.change(&[
            Change::Write { path: &tasks, value: b"" },
            Change::Permit { path: &tasks, owner: 0, reader: Some(self.domain) },
            Change::Write { path: &node, value: contract.as_bytes() },
        ])
    }

    /// Tells the guest to feed a task no longer.
    pub(super) fn unlist_task(&mut self, task: u16) -> Result<(), Error> {
        let path = self.path(&format!("{TASKS}/{task}"));
        self.store.remove(&path).map(drop)
    }

    /// The tasks that the guest was told to feed.
    pub(super) fn tasks(&mut self) -> Result<Vec<u16>, Error> {
        let path = self.path(TASKS);
        let names = self.store.list(&path)?.unwrap_or_default();
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// What the task has saved last.
    pub(super) fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Error> {
        checkpoint::newest(|name| self.read(name))
    }

    /// What the guest counted when it was asked the last time; it is asked anew.
    pub(super) fn counters(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let counters = self.read("data/counters")?;
        // A guest that has not taken the last request has not counted since.
        if self.read("control/sysrq")?.is_none_or(|request| request.is_empty()) {
            self.write("control/sysrq", b"counters")?;
        }
        Ok(counters)
    }

    /// What the task left.
    pub(super) fn left(&mut self) -> Result<Left, Error> {
        let Some(status) = self.read("data/status")? else { return Ok(Left::Nothing) };
        if status == b"ok" {
            return Ok(Left::Report(nodes::join(nodes::RESULT, |name| self.read(name))?));
        }
        let status = String::from_utf8_lossy(&status);
        Ok(Left::Error(status.strip_prefix("error: ").unwrap_or(&status).to_owned()))
    }
}

/// Time since the board's boot, which nobody sets.
pub(super) fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
