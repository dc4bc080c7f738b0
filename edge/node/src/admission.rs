//! Whether a command may run here at all, and whether it may start now. Rules of numbers: every refusal has them.

use description::Description;
use protocol::command::Memory;
use protocol::{Command, Quota, State, Tenant, Usage};
use thiserror::Error;

use crate::feeding::{self, Unfit};
use crate::{Entry, Key};

/// Memory of Xen's own for each guest, beside the guest's: measured for a guest of 4 MiB on ARM (5,674 KiB in all, of
/// which 1 MiB is its pool for page tables), rounded up.
pub const OVERHEAD_KIB: u64 = 2048;

/// Guests, memory and waiting commands of a tenant, by the journal.
#[must_use]
pub fn usage(tenant: &Tenant, entries: &[Entry]) -> Usage {
    let mut usage = Usage::default();
    for entry in entries.iter().filter(|entry| entry.command.tenant == *tenant) {
        match entry.state {
            State::Starting | State::Running => add_guest(&mut usage, entry.memory_mib()),
            State::Accepted | State::Queued => usage.queued += 1,
            _ => {}
        }
    }
    usage
}

/// Counts one more guest.
pub fn add_guest(usage: &mut Usage, memory_mib: u32) {
    usage.guests += 1;
    usage.memory_mib += memory_mib;
}

/// What a task needs, by its artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The memory below which it does not run.
    pub memory_mib: u32,
    /// Whether its guest has a network card.
    pub network: bool,
}

/// What a board has for guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// Memory for guests in all, in KiB.
    pub memory_kib: u64,
    /// Whether guests can have a network card.
    pub network: bool,
}

/// Why a command is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The task would not take these parameters.
    #[error("{0}")]
    Parameters(String),
    /// It asks for less than the task needs.
    #[error("the task needs {needed} MiB, the command gives it {given}")]
    TooLittleMemory {
        /// What the artifact says.
        needed: u32,
        /// What the command says.
        given: u32,
    },
    /// It can never start within its tenant's quota.
    #[error("{wanted} MiB are more than the {quota} that tenant \"{tenant}\" may use")]
    MoreThanQuota {
        /// The guest's memory.
        wanted: u32,
        /// The tenant's.
        quota: u32,
        /// Which tenant.
        tenant: Tenant,
    },
    /// It can never start on this board.
    #[error("{wanted_kib} KiB are more than the {board_kib} that this board has for guests")]
    MoreThanBoard {
        /// The guest's memory with Xen's own for it.
        wanted_kib: u64,
        /// The board's.
        board_kib: u64,
    },
    /// Too many wait already.
    #[error("{queued} commands of tenant \"{tenant}\" wait already, {quota} may")]
    QueueFull {
        /// How many.
        queued: u32,
        /// How many may.
        quota: u32,
        /// Whose.
        tenant: Tenant,
    },
    /// Too much of what it was given waits already.
    #[error("{bytes} bytes of results of tenant \"{tenant}\" wait to be taken, {quota} may: take some first")]
    ResultsNotTaken {
        /// How many.
        bytes: u64,
        /// How many may.
        quota: u64,
        /// Whose.
        tenant: Tenant,
    },
    /// Nobody on the board feeds tasks.
    #[error("the command has a contract for data, and this board has no broker that feeds tasks")]
    NoFeeder,
    /// Nobody feeds the board's broker.
    #[error("the command is the board's broker, which feeds others and has no contract itself")]
    FedFeeder,
    /// The board's broker cannot be told its contract.
    #[error("the contract: {0}")]
    Contract(#[from] Unfit),
    /// The board has no bridge.
    #[error("the task needs a network card, and this board has no bridge for one")]
    NoNetwork,
}

/// Why a command waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Wait {
    /// The board's broker does not run.
    #[error("the board's broker")]
    Feeder,
    /// Its tenant's guests are as many as may be.
    #[error("a guest of its tenant to end: as many run as may")]
    Guests,
    /// Its tenant has started as many within a minute as it may.
    #[error("a minute to pass: its tenant has started as many guests within one as it may")]
    Starts,
    /// Its tenant's guests use as much memory as they may.
    #[error("memory of its tenant's quota")]
    TenantMemory,
    /// The board has not enough free.
    #[error("memory of the board")]
    BoardMemory,
}

/// Whether one more command of a tenant is taken, before its task is known, on a board with this broker.
///
/// # Errors
/// It is not, with the numbers.
pub fn accept(command: &Command, quota: &Quota, usage: &Usage, feeder: Option<&Key>) -> Result<(), Refusal> {
    let tenant = || command.tenant.clone();
    if usage.queued >= quota.queued {
        return Err(Refusal::QueueFull { queued: usage.queued, quota: quota.queued, tenant: tenant() });
    }
    if usage.result_bytes >= quota.result_bytes {
        let (bytes, quota) = (usage.result_bytes, quota.result_bytes);
        return Err(Refusal::ResultsNotTaken { bytes, quota, tenant: tenant() });
    }
    if let Some(contract) = &command.contract {
        let feeder = feeder.ok_or(Refusal::NoFeeder)?;
        if feeder.names(command) {
            return Err(Refusal::FedFeeder);
        }
        feeding::judge(contract)?;
    }
    match command.memory {
        Memory::Mib(wanted) if wanted.get() > quota.memory_mib => {
            Err(Refusal::MoreThanQuota { wanted: wanted.get(), quota: quota.memory_mib, tenant: tenant() })
        }
        _ => Ok(()),
    }
}

/// Whether a command may run here at all, now that its task is known; then the memory of its guest, in MiB.
///
/// # Errors
/// It may not, with the numbers.
pub fn admit(
    command: &Command,
    description: &Description,
    needs: Needs,
    quota: &Quota,
    board: Board,
) -> Result<u32, Refusal> {
    description
        .check(&command.parameters.words(), needs.network)
        .map_err(|error| Refusal::Parameters(error.to_string()))?;
    if needs.network && !board.network {
        return Err(Refusal::NoNetwork);
    }
    let memory_mib = match command.memory {
        Memory::Mib(given) => given.get(),
        Memory::WhatTheContractNeeds => needs.memory_mib,
    };
    if memory_mib < needs.memory_mib {
        return Err(Refusal::TooLittleMemory { needed: needs.memory_mib, given: memory_mib });
    }
    if memory_mib > quota.memory_mib {
        let tenant = command.tenant.clone();
        return Err(Refusal::MoreThanQuota { wanted: memory_mib, quota: quota.memory_mib, tenant });
    }
    let wanted_kib = footprint_kib(memory_mib);
    if wanted_kib > board.memory_kib {
        return Err(Refusal::MoreThanBoard { wanted_kib, board_kib: board.memory_kib });
    }
    Ok(memory_mib)
}

/// Whether there is somebody to feed a command, if it is to be fed.
///
/// # Errors
/// It has to wait.
pub fn may_be_fed(command: &Command, feeder_runs: bool) -> Result<(), Wait> {
    if command.contract.is_some() && !feeder_runs { Err(Wait::Feeder) } else { Ok(()) }
}

/// Whether a command may start now.
///
/// # Errors
/// It has to wait, and for what.
pub fn may_start(memory_mib: u32, quota: &Quota, usage: &Usage, free_kib: u64) -> Result<(), Wait> {
    if usage.guests >= quota.guests {
        return Err(Wait::Guests);
    }
    if usage.starts >= quota.starts_per_minute {
        return Err(Wait::Starts);
    }
    if usage.memory_mib.saturating_add(memory_mib) > quota.memory_mib {
        return Err(Wait::TenantMemory);
    }
    if footprint_kib(memory_mib) > free_kib {
        return Err(Wait::BoardMemory);
    }
    Ok(())
}

/// What a guest takes of the board's memory, in KiB.
#[must_use]
pub fn footprint_kib(memory_mib: u32) -> u64 {
    u64::from(memory_mib) * 1024 + OVERHEAD_KIB
}
