//! What a task may ask of the platform it runs on.
//!
//! A task's `run` function takes `&impl System`, or `&impl Networked` when it needs the network. The platform
//! (crate `xen-pv` in a guest, crate `host` on the developer's machine) implements both; a platform built without a
//! network driver implements only [`System`], so a task that forgot to ask for its driver does not compile.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use embedded_io_async::{Read, Write};

use crate::checkpoint;
use crate::feed::{self, Feed, Source};

/// How much memory there is and how it is used, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All memory of the guest (of the process's limit on a host).
    pub total_bytes: usize,
    /// Code, constants and static data of the image, and its stack.
    pub image_bytes: usize,
    /// What the heap may grow to: everything that is neither image, nor page table, nor shared with a driver.
    pub heap_bytes: usize,
    /// Allocated by the task and the kernel at this moment.
    pub heap_used_bytes: usize,
    /// The most that was ever allocated at once: the high-water mark.
    pub heap_peak_bytes: usize,
}

/// Why a task is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The domain is to be shut down.
    PowerOff,
    /// The domain is to be started again.
    Reboot,
}

/// What an earlier run of a task has left to this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// Nobody keeps what the task saves.
    Unkept,
    /// Nothing: it is the first run, or what it saved is not good for this one.
    Nothing,
    /// What was saved last.
    State(Vec<u8>),
}

/// What a task counts.
pub trait Counts {
    /// Appends the counts of this moment as `name=count ...`.
    fn write(&self, out: &mut String);
}

/// The services that every platform has.
// The futures need not be `Send`: a guest has one thread, and so has a task's executor on a host.
#[allow(async_fn_in_trait)]
pub trait System {
    /// The memory figures of this moment.
    fn memory(&self) -> Memory;

    /// Fills `destination` with cryptographically strong random bytes, never the same in two runs.
    fn random(&self, destination: &mut [u8]);

    /// The wall clock: time since 1970-01-01 00:00 UTC.
    fn unix_time(&self) -> Duration;

    /// Resolves when the task is asked to end (`xl shutdown`, `xl reboot`; Ctrl-C on a host), and at once on later
    /// calls. A task that never asks is dropped a short while after the request.
    async fn stop_requested(&self) -> Stop;

    /// What the run before this one saved last, when that crashed or was ended from outside. A task that cannot use it
    /// says so and begins afresh.
    async fn restored(&self) -> Restored {
        Restored::Unkept
    }

    /// Saves `state`, no more than [`checkpoint::MAX_BYTES`], for the next run of this task, in place of what was saved
    /// before. Once this has returned, a crash of the guest does not lose it; a crash meanwhile leaves this one or the
    /// one before, never a mixture. When the board loses its power, an older one may come back: a node writes them to
    /// disk once in a while only. Where nobody keeps it ([`Restored::Unkept`]), nothing happens. One checkpoint at a
    /// time.
    ///
    /// # Errors
    /// It is too large, or was not taken; then what was saved before may be gone.
    async fn checkpoint(&self, _state: &[u8]) -> Result<(), checkpoint::Error> {
        Ok(())
    }

    /// Has the platform show the task's counts behind its own when it is asked for them (`xl sysrq`); nobody asks a
    /// process on a host. Those of an earlier call are shown no longer.
    fn show_counts(&self, _counts: Rc<dyn Counts>) {}

    /// Waits for input on the console (`xl console`; the standard input on a host) and returns how many bytes of it
    /// were put at the start of `destination`, at least one. Where nobody can type, it waits for ever.
    async fn console_input(&self, _destination: &mut [u8]) -> usize {
        core::future::pending().await
    }
}

/// A platform with readings for the task.
#[diagnostic::on_unimplemented(
    message = "this task reads a feed, but its image has no driver for channels",
    note = "name the driver in the task's Cargo.toml: xen-pv = {{ workspace = true, features = [\"vchan\"] }}"
)]
#[allow(async_fn_in_trait)]
pub trait Fed: System {
    /// Where the feed's bytes come from.
    type Source: Source;

    /// The task's readings, as soon as somebody feeds it.
    ///
    /// # Errors
    /// There is no feed, or it was taken before.
    async fn feed(&self) -> Result<Feed<Self::Source>, feed::Error>;
}

/// A platform that can feed other tasks.
#[diagnostic::on_unimplemented(
    message = "this task feeds others, but its image has no driver for channels",
    note = "name the driver in the task's Cargo.toml: xen-pv = {{ workspace = true, features = [\"vchan\"] }}"
)]
#[allow(async_fn_in_trait)]
pub trait Feeding: System {
    /// The way to a task that is fed: what is written there is the task's feed, as the crate `feed` has it, and waits where
    /// the task does not take it; what can be read are the task's answers, and their end is the task's. Dropping it ends the
    /// feed where it is.
    type Channel: Read + Write;

    /// Makes a way to the task of this number (in a guest a domain's) and waits until the task has come. Who does not wait
    /// any longer leaves no way behind.
    ///
    /// # Errors
    /// [`feed::Error::None`], with why there is no way.
    async fn serve(&self, task: u16) -> Result<Self::Channel, feed::Error>;

    /// The tasks that are to be fed, by their numbers, each with the text that says what it may have. Waits until they are
    /// others than those that are `known` already: for ever where nobody says so.
    async fn tasks(&self, _known: &BTreeMap<u16, String>) -> BTreeMap<u16, String> {
        core::future::pending().await
    }
}

/// A platform with a network.
#[cfg(feature = "net")]
#[diagnostic::on_unimplemented(
    message = "this task uses the network, but its image has no network driver",
    note = "name the driver in the task's Cargo.toml: xen-pv = {{ workspace = true, features = [\"netfront\"] }}"
)]
pub trait Networked: System {
    /// The network's type.
    type Network: crate::net::Network;

    /// The network; it may still be waiting for its address.
    fn network(&self) -> &Self::Network;
}
