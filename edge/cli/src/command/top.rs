//! `spore top`.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use protocol::api::CommandList;
use protocol::{NodeState, Purpose};

use super::{board, ps};
use crate::node::{Node, Options};

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Clears a terminal and begins at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// How the board is watched.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Look so often and end; without, until it is interrupted.
    #[arg(long, value_name = "TIMES")]
    times: Option<u32>,
    #[command(flatten)]
    options: Options,
}

/// Shows guests and what waits, again and again.
///
/// # Errors
/// The node does not answer.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut looks = 0;
    loop {
        // Anew each time: an access is good for minutes, and a node may have been started again.
        let node = Node::connect(&arguments.options, Purpose::Read)?;
        let state: NodeState = node.get("/v1/node")?;
        let list: CommandList = node.get("/v1/commands?ended=10")?;
        let page = format!("{CLEAR}{}\n{}", board::text(&state), ps::rows(&list.commands));
        io::stdout().write_all(page.as_bytes()).and_then(|()| io::stdout().flush()).context("writing to stdout")?;
        looks += 1;
        if arguments.times.is_some_and(|times| looks >= times) {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
}
