//! `spore logs`.

use std::io::{self, Write};

use anyhow::{Context, Result};
use protocol::Purpose;

use crate::node::{Name, Node, Options};

/// Where a log frame begins and ends in a console.
const FRAME: (u8, u8) = (0xfe, 0x00);

/// Whose console.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The command: TENANT/ID, or ID with --tenant.
    command: Name,
    /// Go on until the command has ended.
    #[arg(long, short)]
    follow: bool,
    /// As the guest has printed it, with log frames as bytes, for `cargo xtask logs`.
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
    let query = if arguments.follow { "?follow=true" } else { "" };
    let path = format!("{}/logs{query}", node.path(&arguments.command)?);
    let mut text = Text::default();
    let mut stdout = io::stdout();
    node.stream(&path, |bytes| {
        let bytes = if arguments.raw { bytes.to_vec() } else { text.of(bytes) };
        stdout.write_all(&bytes).and_then(|()| stdout.flush()).context("writing to stdout")?;
        Ok(true)
    })?;
    if text.frames > 0 {
        eprintln!("{} log frames left out: --raw prints them, `cargo xtask logs` decodes them", text.frames);
    }
    Ok(())
}

/// What of a console is text.
#[derive(Debug, Default)]
struct Text {
    is_in_frame: bool,
    frames: u64,
}

impl Text {
    /// The text among these bytes. Control characters do nothing to the terminal of who reads it.
    fn of(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for byte in bytes {
            match (self.is_in_frame, *byte) {
                (true, byte) => self.is_in_frame = byte != FRAME.1,
                (false, byte) if byte == FRAME.0 => {
                    self.is_in_frame = true;
                    self.frames += 1;
                }
                (false, b'\r') => {}
                (false, byte) if byte.is_ascii_control() && !b"\n\t".contains(&byte) => text.push(b'?'),
                (false, byte) => text.push(byte),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn frames_are_left_out_however_the_bytes_come_and_controls_are_harmless() {
        let mut text = Text::default();
        let all = b"one\r\n\xfe\x01\x02\x00two\x1b[2J\n";
        let pieces: Vec<u8> = all.chunks(1).flat_map(|piece| text.of(piece)).collect();
        assert_eq!(String::from_utf8(pieces).unwrap(), "one\ntwo?[2J\n");
        assert_eq!(text.frames, 1);
    }
}
