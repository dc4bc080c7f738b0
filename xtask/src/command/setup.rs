//! `setup`: brings what this machine lacks.

use std::process::ExitCode;

use anyhow::Result;

use crate::arch::Arch;
use crate::setup;
use crate::terminal::{self, Style};

/// Bring what is missing: a rustup component, a rustup target, the Debian packages that the test bed is made of.
///
/// Every other subcommand does this by itself for what it needs; when nothing is missing it takes no time. Packages for
/// the bed are downloaded and unpacked below target/, not installed; QEMU is installed where it is missing and this is
/// root, else the command to type is shown.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only for this processor.
    #[arg(long, value_enum)]
    arch: Option<Arch>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    Arch::chosen(arguments.arch).into_iter().try_for_each(setup::for_tests)?;
    terminal::say(terminal::on_stderr("nothing is missing", Style::Green));
    Ok(ExitCode::SUCCESS)
}
