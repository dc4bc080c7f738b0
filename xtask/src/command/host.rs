//! `host`: a task as a process on this machine.

use std::process::ExitCode;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// Run a task as a process on this machine, without Xen: with ordinary sockets, under a debugger if you like.
///
/// The exit status is the process's. `-- --help` shows the task's parameters.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task's package; a wrong name lists the tasks there are.
    task: String,
    /// The task's parameters.
    #[arg(last = true, value_name = "KEY=VALUE")]
    parameters: Vec<String>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let task = workspace.task(&arguments.task)?;
    let mut cargo = process::cargo();
    // The command is run where the user stands, so that paths in parameters mean what they say.
    cargo.arg("run").arg("--quiet").arg("--manifest-path").arg(workspace.root.join("Cargo.toml"));
    cargo.args(["--package", &task.name, "--"]).args(&arguments.parameters);
    let status = process::spawn(&mut cargo)?.wait()?;
    // A process that a signal ended has no code.
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
