//! `setup`: brings what this machine lacks.

use std::process::ExitCode;

use anyhow::Result;

use crate::setup;
use crate::workspace::Workspace;

/// Bring what is missing: a rustup component, a rustup target, the Debian packages that the test bed is made of.
///
/// Every other subcommand does this by itself for what it needs; when nothing is missing it takes no time. Packages for
/// the bed are downloaded and unpacked below target/, not installed; QEMU is installed where it is missing and this is
/// root, else the command to type is shown.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Runs it.
pub fn run(_: &Arguments) -> Result<ExitCode> {
    setup::for_bed(&Workspace::load()?)?;
    Ok(ExitCode::SUCCESS)
}
