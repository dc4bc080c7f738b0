//! `spore logs`.

use std::io::{self, Write};

use anyhow::{Context, Result};
use protocol::Purpose;

use crate::node::{Name, Node, Options};

/// Whose console.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The command: TENANT/ID, or ID with --tenant.
    command: Name,
    /// Go on until the command has ended.
    #[arg(long, short)]
    follow: bool,
    /// As the guest has printed it, with log frames as bytes: `cargo xtask logs` reads those.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    options: Options,
}

/// Prints a console.
///
/// # Errors
/// The command is not known, or nobody reads any more.
pub fn run(arguments: &Arguments) -> Result<()> {
    let node = Node::connect(&arguments.options, Purpose::Read)?;
    let query = match (arguments.follow, arguments.raw) {
        (false, false) => "",
        (true, false) => "?follow=true",
        (false, true) => "?raw=true",
        (true, true) => "?follow=true&raw=true",
    };
    let path = format!("{}/logs{query}", node.path(&arguments.command)?);
    let mut stdout = io::stdout();
    node.stream(&path, |bytes| {
        let bytes = if arguments.raw { bytes.to_vec() } else { harmless(bytes) };
        stdout.write_all(&bytes).and_then(|()| stdout.flush()).context("writing to stdout")?;
        Ok(true)
    })
}

/// What a console says, without control characters, which would do something to the terminal of who reads it.
fn harmless(bytes: &[u8]) -> Vec<u8> {
    let harmless = |byte: &u8| if byte.is_ascii_control() && !b"\n\t".contains(byte) { b'?' } else { *byte };
    bytes.iter().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn controls_do_nothing_to_a_terminal() {
        assert_eq!(harmless(b"one\n\ttwo\x1b[2J\n"), b"one\n\ttwo?[2J\n");
    }
}
