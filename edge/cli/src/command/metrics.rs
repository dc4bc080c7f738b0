//! `spore metrics`.

use std::io::{self, Write};

use anyhow::{Context, Result};
use protocol::Purpose;

use crate::node::{Node, Options};

/// Prints what the node counts.
///
/// # Errors
/// The node does not answer, the caller is not the operator, or nobody reads any more.
pub fn run(options: &Options) -> Result<()> {
    let mut stdout = io::stdout();
    Node::connect(options, Purpose::Read)?.stream("/metrics", |bytes| {
        stdout.write_all(bytes).context("writing to stdout")?;
        Ok(true)
    })
}
