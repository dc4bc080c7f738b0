//! `spore ps`.

use anyhow::Result;
use protocol::Purpose;
use protocol::api::{CommandList, CommandStatus};

use crate::node::{Node, Options};
use crate::output::{self, Format, say, table};

/// Which commands are listed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Those that have ended too.
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    options: Options,
}

/// Lists commands.
///
/// # Errors
/// The node does not answer.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let node = Node::connect(&arguments.options, Purpose::Read)?;
    let whose = arguments.options.tenant.as_ref().map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
    let list: CommandList =
        node.get(&format!("/v1/commands?ended={}{whose}", if arguments.all { 10_000 } else { 0 }))?;
    match format {
        Format::Json => output::json(&list),
        Format::Table => say(&rows(&list.commands)),
    }
}

/// Commands as a table.
#[must_use]
pub fn rows(commands: &[CommandStatus]) -> String {
    let head = ["COMMAND", "TASK", "STATE", "MEMORY", "STARTS", "SINCE", "NOTE"].map(str::to_owned);
    let row = |status: &CommandStatus| {
        let since = status.ended.or(status.started).unwrap_or(status.accepted).to_string();
        [
            format!("{}/{}", status.tenant, status.command),
            status.task.as_ref().map_or("-".to_owned(), ToString::to_string),
            format!("{:?}", status.state.phase()).to_lowercase(),
            status.memory_mib.map_or("-".to_owned(), |mib| format!("{mib} MiB")),
            status.attempts.to_string(),
            since.split('.').next().unwrap_or_default().to_owned() + "Z",
            note(status),
        ]
    };
    table(&std::iter::once(head).chain(commands.iter().map(row)).collect::<Vec<_>>())
}

/// Why it waits, or why it failed, in a line.
fn note(status: &CommandStatus) -> String {
    if let Some(wait) = &status.waits_for {
        return format!("waits for {wait}");
    }
    match &status.state {
        protocol::State::Failed(failure) => {
            super::result::failure(failure).lines().next().unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}
