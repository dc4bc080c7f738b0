//! What a node needs of Xen's tools: one method for each need. [`Dom0`] is the real one.

pub mod bridge;
mod console;
mod direct;
mod dom0;
mod domains;
mod error;
mod guest_store;
mod leftovers;
mod makers;
mod xl;

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kernel::checkpoint::Checkpoint;
use protocol::{Cpu, Digest, Parameters};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{Feed, GuestId, Key};

pub use dom0::{Dom0, Options};
pub use error::Error;
pub(crate) use xl::quote_for;

/// Where the node's own program for network cards is installed.
const HOTPLUG: &str = "/usr/lib/spore/spore-vif";
/// The longest command line of a guest, in bytes. Source: `MAX_GUEST_CMDLINE` of xen/include/public/xen.h, with its end.
pub(crate) const COMMAND_LINE_MAX: usize = 1023;

/// What makes domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Hypercalls where they were tried, else `xl`.
    #[default]
    Auto,
    /// `xl` alone.
    Xl,
}

/// A guest of the node, as the toolstack sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Which.
    pub id: GuestId,
    /// Whether it lives.
    pub life: Life,
    /// How long it has run, by a clock that nobody sets.
    pub running_for: Duration,
    /// Xen's number for it.
    pub domid: u16,
    /// Its memory, in KiB.
    pub memory_kib: u64,
    /// The CPU time that it has used.
    pub cpu_time: Duration,
    /// Its share of the CPUs, where it is known.
    pub cpu: Option<Cpu>,
    /// Xen's number for the guest that was told to feed it, as it was told itself.
    pub fed_by: Option<u16>,
}

/// Whether a guest lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its making broke off: it must not run.
    Unfinished,
    /// It was made and never ran.
    Paused,
    /// It runs.
    Running,
    /// It has ended and still holds its memory: until it is destroyed.
    Ended(End),
}

/// Why a guest has ended, by what it told Xen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The task has ended, well or with an error.
    PowerOff,
    /// It could not go on.
    Crash,
}

/// What a guest left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ended {
    /// The task's report in postcard, when it ended well.
    pub report: Option<Vec<u8>>,
    /// The task's own error, when it ended with one.
    pub error: Option<String>,
    /// The last of its console: text, and log frames in it.
    pub console: Vec<u8>,
    /// What its task has saved last.
    pub checkpoint: Option<Checkpoint>,
}

/// What a running guest shows of its inside. All of it is the guest's word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inside {
    /// What its task has saved last.
    pub checkpoint: Option<Checkpoint>,
    /// What it counted when it was asked the last time, as `name=count ...`.
    pub counters: Option<Vec<u8>>,
}

/// A guest to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestSpec {
    /// Its uuid.
    pub id: GuestId,
    /// The command that it is made for.
    pub key: Key,
    /// The image that it boots.
    pub image: Digest,
    /// Whether it gets a network card.
    pub network: bool,
    /// Its memory.
    pub memory_mib: u32,
    /// Its tenant's share of the CPUs.
    pub cpu: Cpu,
    /// The parameters that go by its command line.
    pub parameters: Parameters,
    /// What it finds in xenstore when it begins: paths below its own directory, and values.
    pub nodes: Vec<(String, Vec<u8>)>,
}

impl GuestSpec {
    /// The parameters that go by it, as the guest's command line.
    pub(crate) fn command_line(&self) -> Result<String, Error> {
        let command_line = self.parameters.words().join(" ");
        let length = command_line.len();
        if length > COMMAND_LINE_MAX {
            let why = format!("the parameters have {length} bytes; a guest takes {COMMAND_LINE_MAX} at most");
            return Err(Error::Unsuitable(why));
        }
        Ok(command_line)
    }

    /// The address of a command's network card: the same for each attempt, or a DHCP server would give each an address
    /// of its own.
    pub(crate) fn mac(&self) -> String {
        let hash = Sha256::digest(self.key.to_string());
        // Not multicast, and locally administered.
        let bytes = [hash[0] & 0xfc | 0x02, hash[1], hash[2], hash[3], hash[4], hash[5]];
        bytes.map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// Part of what a guest has printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Piece {
    /// Where it begins: bytes that the guest had printed before. More than was asked for when what lies between is
    /// kept no more.
    pub from: u64,
    /// Text, and log frames in it (0xFE to 0x00).
    pub bytes: Vec<u8>,
}

/// What guests print.
pub trait ReadConsole: Send + Sync {
    /// What a guest printed from this place on, as far as it is kept; none when no guest of this id is known.
    fn read(&self, guest: GuestId, from: u64) -> Option<Piece>;
}

/// Xen's tools.
pub trait Toolstack {
    /// Why something could not be done.
    type Error: Display;

    /// Every guest whose id is a node's, also those that have ended.
    ///
    /// # Errors
    /// It cannot be asked; then nothing is known, which is not the same as no guests.
    fn guests(&mut self) -> Result<Vec<Guest>, Self::Error>;

    /// Memory that Xen can give to guests, in KiB.
    ///
    /// # Errors
    /// It cannot be asked.
    fn memory_free_kib(&mut self) -> Result<u64, Self::Error>;

    /// Makes a guest of an image's file, whose digest was just compared, paused, with all that it finds in xenstore. It
    /// stays when it ends, until it is destroyed.
    ///
    /// # Errors
    /// It could not be made.
    fn create(&mut self, guest: &GuestSpec, image: &Path) -> Result<(), Self::Error>;

    /// Lets a guest run.
    ///
    /// # Errors
    /// It could not be done.
    fn unpause(&mut self, guest: GuestId) -> Result<(), Self::Error>;

    /// Has the board's broker feed a guest: tells the one, and then the other. Again, with another broker, it is fed by that
    /// one. What [`guests`](Self::guests) says of it is this from now on. The broker is told no longer when the guest is gone.
    ///
    /// # Errors
    /// It could not be done, or not all of it.
    fn feed(&mut self, feed: &Feed) -> Result<(), Self::Error>;

    /// Changes a guest's share of the CPUs. What [`guests`](Self::guests) says of it is this from now on, also when it
    /// failed.
    ///
    /// # Errors
    /// It could not be done.
    fn set_cpu(&mut self, guest: GuestId, cpu: Cpu) -> Result<(), Self::Error>;

    /// Looks at what a guest that runs has saved and counted, and asks it to count anew, for the next look. A guest
    /// that sleeps wakes up for that.
    ///
    /// # Errors
    /// It could not be done.
    fn look_into(&mut self, guest: GuestId) -> Result<Inside, Self::Error>;

    /// What a guest that has ended left.
    ///
    /// # Errors
    /// It cannot be read.
    fn ended(&mut self, guest: GuestId) -> Result<Ended, Self::Error>;

    /// Ends a guest and removes what is left of it: its paths in xenstore, its console. Destroying one that is gone
    /// removes what is left and is no error.
    ///
    /// # Errors
    /// It could not be done.
    fn destroy(&mut self, guest: GuestId) -> Result<(), Self::Error>;

    /// What guests print, for others to read at any time, whatever the toolstack is busy with.
    fn consoles(&self) -> Arc<dyn ReadConsole>;

    /// The hypervisor's version, such as `4.17`.
    fn xen_version(&self) -> String;
}
