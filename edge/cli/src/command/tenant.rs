//! `spore tenant`.

use std::path::PathBuf;

use anyhow::Result;
use protocol::api::{TenantList, TenantStatus};
use protocol::{Cpu, Purpose, Quota, Tenant, TenantRecord, document};

use super::read;
use crate::node::{Address, Node, Options};
use crate::output::{self, Format, say, table};

/// What is done with tenants. Only the board's operator may: root in dom0, or whose certificate the node's config names.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Add a tenant, or change the keys and the quota of one.
    Add(Add),
    /// List tenants with what they may use and what they use.
    Ls(Options),
    /// Remove a tenant.
    Rm(Rm),
}

/// Who may use the board, and how much of it.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// The tenant's name.
    name: Tenant,
    /// Its public key, as `spore key new` writes it; several for a tenant with several.
    #[arg(long = "key", required = true, value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// Guests at once.
    #[arg(long, default_value_t = 4)]
    guests: u32,
    /// Memory of all its guests together.
    #[arg(long, default_value_t = 64, value_name = "MIB")]
    memory: u32,
    /// Commands that wait.
    #[arg(long, default_value_t = 32)]
    queued: u32,
    /// Guests that are started within a minute.
    #[arg(long, default_value_t = 60)]
    starts_per_minute: u32,
    /// Bytes of results that wait until they are taken.
    #[arg(long, default_value_t = 16 << 20)]
    result_bytes: u64,
    /// Xen's weight of each of its guests: one with twice the weight gets twice the time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    cpu_weight: u16,
    /// The most that each of its guests gets of a CPU, in percent; 0 is no limit.
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    cpu_cap: u16,
    #[command(flatten)]
    address: Address,
}

/// Who is removed.
#[derive(Debug, clap::Args)]
pub struct Rm {
    /// The tenant's name.
    name: Tenant,
    /// Cancel its commands; without, it stays while any has not ended.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    address: Address,
}

/// Adds, lists or removes tenants.
///
/// # Errors
/// The node says no, and why, or a key is none.
pub fn run(command: &Command, format: Format) -> Result<()> {
    let as_operator = |address: &Address| {
        Node::connect(&Options { address: address.clone(), tenant: None, key: None }, Purpose::Manage)
    };
    match command {
        Command::Add(add) => {
            let keys = add.keys.iter().map(|path| read(path, "the public key")).collect::<Result<_>>()?;
            let record = TenantRecord { tenant: add.name.clone(), keys, quota: quota(add) };
            let path = format!("/v1/tenants/{}", add.name);
            let status: TenantStatus = as_operator(&add.address)?.call("PUT", &path, document::encode(&record))?;
            show(&[status], format)
        }
        Command::Ls(options) => {
            let list: TenantList = Node::connect(options, Purpose::Read)?.get("/v1/tenants")?;
            show(&list.tenants, format)
        }
        Command::Rm(rm) => {
            let path = format!("/v1/tenants/{}{}", rm.name, if rm.force { "?force=true" } else { "" });
            as_operator(&rm.address)?.bytes("DELETE", &path, Vec::new()).map(drop)
        }
    }
}

fn quota(add: &Add) -> Quota {
    Quota {
        guests: add.guests,
        memory_mib: add.memory,
        queued: add.queued,
        starts_per_minute: add.starts_per_minute,
        result_bytes: add.result_bytes,
        cpu: Cpu { weight: add.cpu_weight, cap_percent: add.cpu_cap },
    }
}

fn show(tenants: &[TenantStatus], format: Format) -> Result<()> {
    if let Format::Json = format {
        return output::json(&tenants);
    }
    let head = ["TENANT", "GUESTS", "MEMORY", "WAITING", "STARTS/MIN", "RESULTS", "CPU", "KEYS"].map(str::to_owned);
    let row = |status: &TenantStatus| {
        let TenantStatus { tenant, keys, quota, usage } = status;
        let cap = if quota.cpu.cap_percent == 0 { String::new() } else { format!(" <= {} %", quota.cpu.cap_percent) };
        let keys: Vec<_> = keys.iter().map(|key| key.chars().take(12).collect::<String>()).collect();
        [
            tenant.to_string(),
            format!("{} of {}", usage.guests, quota.guests),
            format!("{} of {} MiB", usage.memory_mib, quota.memory_mib),
            format!("{} of {}", usage.queued, quota.queued),
            format!("{} of {}", usage.starts, quota.starts_per_minute),
            format!("{} of {} B", usage.result_bytes, quota.result_bytes),
            format!("weight {}{cap}", quota.cpu.weight),
            keys.join(" "),
        ]
    };
    say(&table(&std::iter::once(head).chain(tenants.iter().map(row)).collect::<Vec<_>>()))
}
