//! `spore result`.

use anyhow::{Result, bail};
use protocol::{Failure, Outcome, Purpose, Report};

use crate::node::{Name, Node, Options};
use crate::output::{self, Format, say, table};

/// Whose result.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The command: TENANT/ID, or ID with --tenant.
    command: Name,
    /// Wait for its end.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    options: Options,
}

/// Prints a command's result. The node may forget it afterwards, when it needs the room.
///
/// # Errors
/// The command is not known, has not ended, or has ended without a result: then with why.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let node = Node::connect(&arguments.options, Purpose::Read)?;
    let path = node.path(&arguments.command)?;
    if arguments.wait { wait_and_print(&node, &path, format) } else { print(&node, &path, format) }
}

/// Waits for a command's end and prints its result.
///
/// # Errors
/// As [`run`].
pub fn wait_and_print(node: &Node, path: &str, format: Format) -> Result<()> {
    node.wait(path)?;
    print(node, path, format)
}

fn print(node: &Node, path: &str, format: Format) -> Result<()> {
    let report: Report = node.get(&format!("{path}/result"))?;
    if let Format::Json = format {
        output::json(&report)?;
    }
    let name = format!("{}/{}", report.tenant, report.command);
    match (&report.outcome, format) {
        (Outcome::Finished { fields, .. }, Format::Table) => {
            let rows: Vec<_> = fields.iter().map(|(name, value)| [name.clone(), value.clone()]).collect();
            say(&table(&rows))
        }
        (Outcome::Finished { .. }, Format::Json) => Ok(()),
        (Outcome::Failed(why), _) => bail!("{name} has failed: {}", failure(why)),
        (Outcome::Cancelled, _) => bail!("{name} was stopped"),
        (Outcome::Expired, _) => bail!("{name} was not started: its deadline had passed"),
    }
}

/// Why there is no result, in words.
#[must_use]
pub fn failure(failure: &Failure) -> String {
    match failure {
        Failure::Error { message } => message.clone(),
        Failure::Crashed { attempts, console } => {
            let lines = console.iter().map(|line| format!("\n  {line}"));
            format!("its guest crashed, {attempts} in all; the last that it printed:{}", lines.collect::<String>())
        }
        Failure::NoResult { why } => why.clone(),
        Failure::Killed => "someone else than the node destroyed its guest".to_owned(),
        Failure::TooLong { seconds } => format!("it ran for {seconds} seconds, longer than it may"),
        Failure::NoTask { why } => format!("its task could not be had: {why}"),
        Failure::Refused { why } => why.clone(),
        Failure::NotStarted { attempts, why } => format!("its guest could not be made, tried {attempts} times: {why}"),
    }
}
