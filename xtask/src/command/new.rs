//! `new`: a task to begin with.

use std::process::ExitCode;

use anyhow::Result;

use crate::new::{self, Kind};
use crate::terminal::{self, Style};
use crate::workspace::Workspace;

/// Write the package of a new task below tasks/: it builds, runs on this machine, boots, and has a test.
///
/// The task does something small, to be replaced: without a network it finds the highest of some readings, with one it
/// tells whoever connects how many bytes they sent. The package is added to the members of the workspace.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Its name: small letters, digits and "-".
    task: String,
    /// It uses the network.
    #[arg(long)]
    network: bool,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let (kind, example) = match arguments.network {
        false => (Kind::Plain, "readings=21,19,24 limit=20"),
        true => (Kind::Network, "port=7000"),
    };
    let name = &arguments.task;
    let folder = new::create(&workspace, name, kind)?;
    let written = format!("{} is a task now, and a member of the workspace; next:", workspace.shown(&folder));
    terminal::say(terminal::on_stderr(written, Style::Green));
    let forward = if arguments.network { " --forward 7000:7000" } else { "" };
    println!("    cargo test --package {name}");
    println!("    cargo xtask host {name} -- {example}");
    println!("    cargo xtask boot {name}{forward} -- {example}");
    Ok(ExitCode::SUCCESS)
}
