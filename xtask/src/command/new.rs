//! `new`: a task to begin with.

use std::process::ExitCode;

use anyhow::Result;

use crate::new::{self, Kind};
use crate::terminal::{self, Style};
use crate::workspace::Workspace;

/// Write the package of a new task below tasks/: it builds, runs on this machine, boots, and has a test.
///
/// The task does something small, to be replaced: it finds the highest of some readings, which are parameters or come with
/// a feed, or with a network it tells whoever connects how many bytes they sent. The package is added to the members of the workspace.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Its name: small letters, digits and "-".
    task: String,
    /// It uses the network.
    #[arg(long)]
    network: bool,
    /// It reads a feed.
    #[arg(long, conflicts_with = "network")]
    feed: bool,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let name = &arguments.task;
    let readings = "readings=21,19,24 limit=20";
    // What is typed to run it here, and in a guest. A guest waits for its feed until somebody in dom0 feeds it.
    let (kind, host, guest) = if arguments.feed {
        let file = "limit=20 feed=tasks/collect/data/weather.csv";
        (Kind::Feed, file, format!("cargo xtask build-image {name}"))
    } else if arguments.network {
        (Kind::Network, "port=7000", format!("cargo xtask boot {name} --forward 7000:7000 -- port=7000"))
    } else {
        (Kind::Plain, readings, format!("cargo xtask boot {name} -- {readings}"))
    };
    let folder = new::create(&workspace, name, kind)?;
    let written = format!("{} is a task now, and a member of the workspace; next:", workspace.shown(&folder));
    terminal::say(terminal::on_stderr(written, Style::Green));
    println!("    cargo test --package {name}");
    println!("    cargo xtask host {name} -- {host}");
    println!("    {guest}");
    Ok(ExitCode::SUCCESS)
}
