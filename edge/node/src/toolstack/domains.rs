//! Domains, as Xen has them: what makes, starts, ends and lists them. Two do: [`Xl`](super::xl::Xl) by processes,
//! [`Direct`](super::direct::Direct) by hypercalls. What a guest is beyond its domain is known to neither.

use std::path::Path;
use std::time::Duration;

use protocol::Cpu;
use xenstore::Client;

use super::Error;
use crate::{GuestId, GuestSpec};

/// A domain of a node's guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Domain {
    pub(super) number: u16,
    pub(super) id: GuestId,
    pub(super) condition: Condition,
    pub(super) memory_kib: u64,
    pub(super) cpu_time: Duration,
}

/// What a domain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// It runs or waits for an event.
    Running,
    /// Its CPU was stopped.
    Paused,
    /// It has ended, for a reason of Xen. Source: xen/include/public/sched.h, `SHUTDOWN_*`.
    ShutDown(u32),
    /// It is being taken apart; nothing can be done about it any more.
    Dying,
}

/// What makes, starts, ends and lists domains.
pub(super) trait Domains {
    /// The domains of a node in the list of all; those of others are passed over.
    ///
    /// # Errors
    /// Nothing is known.
    fn list(&mut self) -> Result<Vec<Domain>, Error>;

    /// Memory that Xen can give to guests, in KiB.
    ///
    /// # Errors
    /// It is not known.
    fn memory_free_kib(&mut self) -> Result<u64, Error>;

    /// Makes a domain of an image's file, paused, with its paths in xenstore; its number.
    ///
    /// # Errors
    /// It is not whole: what there is of it is removed by who asked.
    fn make(&mut self, guest: &GuestSpec, image: &Path, store: &mut Client) -> Result<u16, Error>;

    /// Lets a domain run.
    ///
    /// # Errors
    /// It does not.
    fn unpause(&mut self, domain: u16) -> Result<(), Error>;

    /// Changes a domain's share of the CPUs.
    ///
    /// # Errors
    /// It has the one that it had.
    fn set_cpu(&mut self, domain: u16, cpu: Cpu) -> Result<(), Error>;

    /// Ends the domain of a guest, and has its devices let go. Its paths in xenstore may be left.
    ///
    /// # Errors
    /// It may be there.
    fn destroy(&mut self, domain: u16, guest: GuestId) -> Result<(), Error>;
}
