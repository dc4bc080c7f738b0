//! `spore stop`.

use anyhow::Result;
use protocol::Purpose;
use protocol::api::CommandStatus;

use crate::node::{Name, Node, Options};
use crate::output::{self, Format, say};

/// What is stopped.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The commands: TENANT/ID, or ID with --tenant.
    #[arg(required = true)]
    commands: Vec<Name>,
    #[command(flatten)]
    options: Options,
}

/// Takes commands back.
///
/// # Errors
/// One is not known or has ended; those before it are stopped.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let node = Node::connect(&arguments.options, Purpose::Manage)?;
    for name in &arguments.commands {
        let status: CommandStatus = node.call("POST", &format!("{}/stop", node.path(name)?), Vec::new())?;
        match format {
            Format::Json => output::json(&status)?,
            Format::Table => say(&format!("{}/{} is stopped\n", status.tenant, status.command))?,
        }
    }
    Ok(())
}
