//! `licenses`: the notices that must go where an image goes.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::licenses;
use crate::setup;
use crate::workspace::Workspace;

/// Print the notices that the licences of the software in a task's image ask for.
///
/// build-image leaves the same text beside the image: who passes the image on passes it on as well. Of a crate's licences
/// the first is used that deny.toml allows.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task's package; a wrong name lists the tasks there are.
    task: String,
    /// The processor that the image is for.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let task = workspace.task(&arguments.task)?;
    setup::for_images()?;
    let notices = licenses::of_image(&workspace, &task, arguments.arch)?;
    std::io::stdout().write_all(notices.as_bytes()).context("writing to standard output")?;
    Ok(ExitCode::SUCCESS)
}
