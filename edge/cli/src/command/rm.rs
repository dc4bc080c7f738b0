//! `spore rm`.

use anyhow::Result;
use protocol::Purpose;

use crate::node::{Name, Node, Options};

/// What is removed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The commands: TENANT/ID, or ID with --tenant.
    #[arg(required = true)]
    commands: Vec<Name>,
    #[command(flatten)]
    options: Options,
}

/// Removes what commands have left.
///
/// # Errors
/// One is not known or has not ended; those before it are removed.
pub fn run(arguments: &Arguments) -> Result<()> {
    let node = Node::connect(&arguments.options, Purpose::Manage)?;
    for name in &arguments.commands {
        node.bytes("DELETE", &node.path(name)?, Vec::new())?;
    }
    Ok(())
}
