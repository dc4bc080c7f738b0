//! `spore run`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use artifact::Release;
use protocol::api::CommandStatus;
use protocol::command::{Destination, Lifetime, Memory, OnCrash, Task};
use protocol::{
    Command, CommandId, Digest, ParameterName, Parameters, Purpose, SignedCommand, Tenant, Timestamp, Version,
};

use super::{result, secret_key};
use crate::contract;
use crate::node::{Address, Node, Options};
use crate::output::{self, Format};
use crate::place::Place;
use crate::reach::Registries;

/// What runs, with what, for whom.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task: oci:FOLDER:TAG, HOST/PATH:TAG, or sha256:... when the node can find it by itself.
    task: Wanted,
    /// The task's parameters, as key=value.
    #[arg(value_parser = parameter)]
    parameters: Vec<(ParameterName, String)>,
    /// Whose command it is.
    #[arg(long, env = "SPORE_TENANT", value_name = "NAME")]
    tenant: Tenant,
    /// The tenant's private key, which signs the command.
    #[arg(long, env = "SPORE_KEY", value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    address: Address,
    #[command(flatten)]
    registries: Registries,
    /// The command's name; the same one twice is one command. A new one when it is left out.
    #[arg(long)]
    id: Option<CommandId>,
    /// The guest's memory; what the task needs when it is left out.
    #[arg(long, value_name = "MIB")]
    memory: Option<NonZeroU32>,
    #[command(flatten)]
    data: contract::Arguments,
    /// Which goes first when not all can: the higher one.
    #[arg(long, default_value_t = 0)]
    priority: u8,
    /// When its result must be there: a time (2026-12-01T12:00:00Z) or from now on (10m). It is not started after.
    #[arg(long, value_parser = deadline)]
    deadline: Option<Timestamp>,
    /// The longest that the guest may run, such as 30s.
    #[arg(long, value_parser = whole_seconds, value_name = "DURATION")]
    longest_run: Option<NonZeroU32>,
    /// Until it is stopped: it runs again after the board was off.
    #[arg(long)]
    persistent: bool,
    /// How often it starts again after crashes.
    #[arg(long, default_value_t = 0, value_name = "TIMES")]
    on_crash: u16,
    /// The pause after the first crash; it doubles with each.
    #[arg(long, default_value = "1s", value_parser = whole_seconds, value_name = "DURATION")]
    first_pause: NonZeroU32,
    /// The longest pause.
    #[arg(long, default_value = "5m", value_parser = whole_seconds, value_name = "DURATION")]
    longest_pause: NonZeroU32,
    /// Where its result goes: node, file, https://..., http://... or mqtt:TOPIC.
    #[arg(long, default_value = "node", value_parser = destination)]
    result: Destination,
    /// Wait for its end, and print its result.
    #[arg(long)]
    wait: bool,
    /// Print the command, and do not sign or send it.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
}

/// A task as a person names it.
#[derive(Debug, Clone)]
enum Wanted {
    At(Place),
    Digest(Digest),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("sha256:") {
            return text.parse().map(Self::Digest).map_err(|error| format!("{error}"));
        }
        text.parse().map(Self::At)
    }
}

/// Signs a command and sends it.
///
/// # Errors
/// The task is not there, the key is none, or the node does not take the command: then with what to do.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let (command, options) = (command(arguments)?, options(arguments));
    if arguments.dry_run {
        return output::json(&command);
    }
    let sealed = SignedCommand::seal(&command, &secret_key(&arguments.key)?);
    let node = Node::connect(&options, Purpose::Read)?;
    let status: CommandStatus = node.call("POST", "/v1/commands", sealed.to_bytes())?;
    if arguments.wait {
        return result::wait_and_print(&node, &format!("/v1/commands/{}/{}", command.tenant, command.id), format);
    }
    match format {
        Format::Json => output::json(&status),
        Format::Table => output::say(&format!("{}/{}\n", status.tenant, status.command)),
    }
}

fn options(arguments: &Arguments) -> Options {
    let Arguments { address, tenant, key, .. } = arguments;
    Options { address: address.clone(), tenant: Some(tenant.clone()), key: Some(key.clone()) }
}

fn command(arguments: &Arguments) -> Result<Command> {
    let now = Timestamp::from(SystemTime::now());
    let (task, name) = match &arguments.task {
        Wanted::Digest(digest) => (Task { digest: *digest, repository: None }, "task".to_owned()),
        Wanted::At(place) => {
            let source = place.open(&arguments.registries.access(&arguments.address.tls))?;
            let (digest, _) = source.resolve(&place.reference)?;
            let name = Release::read(&*source, digest)?.task.to_string();
            (Task { digest, repository: place.repository().cloned() }, name)
        }
    };
    let id = match &arguments.id {
        Some(id) => id.clone(),
        // Told apart by the millisecond, and readable.
        None => {
            format!("{}-{}", &name[..name.len().min(40)], now.milliseconds()).parse().context("naming the command")?
        }
    };
    let mut parameters = Parameters::default();
    for (name, value) in &arguments.parameters {
        let before = parameters.0.insert(name.clone(), value.clone());
        anyhow::ensure!(before.is_none(), "the parameter \"{name}\" is given twice");
    }
    let on_crash = OnCrash::Again {
        times: arguments.on_crash,
        first_pause_seconds: arguments.first_pause.get(),
        longest_pause_seconds: arguments.longest_pause.get(),
    };
    Ok(Command {
        version: Version,
        tenant: arguments.tenant.clone(),
        id,
        issued: now,
        task,
        parameters,
        contract: arguments.data.contract(now),
        memory: arguments.memory.map_or(Memory::WhatTheContractNeeds, Memory::Mib),
        lifetime: if arguments.persistent { Lifetime::Persistent } else { Lifetime::Ephemeral },
        priority: arguments.priority,
        deadline: arguments.deadline,
        longest_run_seconds: arguments.longest_run,
        on_crash: if arguments.on_crash == 0 { OnCrash::GiveUp } else { on_crash },
        result: arguments.result.clone(),
    })
}

fn parameter(text: &str) -> Result<(ParameterName, String), String> {
    let (name, value) = text.split_once('=').ok_or("a parameter is written as key=value")?;
    Ok((name.parse().map_err(|error| format!("{error}"))?, value.to_owned()))
}

fn deadline(text: &str) -> Result<Timestamp, String> {
    if text.contains('T') {
        return text.parse();
    }
    let wait = humantime::parse_duration(text).map_err(|error| format!("{error}: write 10m, or a time"))?;
    Ok(Timestamp::from(SystemTime::now()).after(wait))
}

fn whole_seconds(text: &str) -> Result<NonZeroU32, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}: write 30s, 10m or 2h"))?;
    let seconds = u32::try_from(duration.as_secs()).ok().and_then(NonZeroU32::new);
    seconds
        .filter(|_| duration.subsec_nanos() == 0 && duration >= Duration::from_secs(1))
        .ok_or_else(|| format!("\"{text}\" is not whole seconds, 1 at least"))
}

fn destination(text: &str) -> Result<Destination, String> {
    match text {
        "node" => Ok(Destination::Node),
        "file" => Ok(Destination::File),
        url if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Destination::Http { url: url.to_owned() })
        }
        other => match other.strip_prefix("mqtt:") {
            Some(topic) if !topic.is_empty() => Ok(Destination::Mqtt { topic: topic.to_owned() }),
            _ => Err("a result goes to node, file, https://..., http://... or mqtt:TOPIC".to_owned()),
        },
    }
}
