//! `spore`: makes artifacts of tasks, signs and moves them, and has boards run them.
//!
//! One module of [`command`] is one subcommand. Errors go to stderr, each with what to do about it; what was asked
//! for goes to stdout, as a table or as JSON.

#![forbid(unsafe_code)]

mod command;
mod contract;
mod node;
mod output;
mod place;
mod reach;

use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use output::Format;

/// Makes, signs, moves and runs tasks on Spore's boards.
///
/// A task's artifact lies in a registry (registry.example/tenant/task:tag) or in a folder (oci:folder:tag), which
/// other programs that know OCI image layouts (oras, skopeo) can read too.
#[derive(Debug, Parser)]
#[command(name = "spore", version)]
struct Arguments {
    /// How to print what was asked for.
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an artifact of a task's built images, in a folder.
    Pack(command::pack::Arguments),
    /// Copy an artifact and its signatures from a folder to a registry.
    Push(command::push::Arguments),
    /// Copy an artifact and its signatures from a registry to a folder.
    Pull(command::pull::Arguments),
    /// Sign an artifact where it lies, so that boards take it as its tenant's.
    Sign(command::sign::Arguments),
    /// Check whose an artifact is, as a board does before it runs it.
    Verify(command::verify::Arguments),
    /// Have a task run: sign a command and give it to the node.
    Run(Box<command::run::Arguments>),
    /// List commands and how far they are.
    Ps(command::ps::Arguments),
    /// Print what a command has come to.
    Result(command::result::Arguments),
    /// Print what a command's guest has printed.
    Logs(command::logs::Arguments),
    /// Take commands back; their guests are destroyed.
    Stop(command::stop::Arguments),
    /// Remove what ended commands have left.
    Rm(command::rm::Arguments),
    /// Watch the board: guests, memory, CPU and what waits.
    Top(command::top::Arguments),
    /// Show the board.
    Node(node::Options),
    /// Print what the node counts, as Prometheus reads it: for the textfile collector of its node exporter.
    Metrics(node::Options),
    /// Show the tasks that the board keeps.
    #[command(subcommand)]
    Task(command::task::Command),
    /// Say who may use the board, and how much of it.
    #[command(subcommand)]
    Tenant(command::tenant::Command),
    /// Say what this machine lacks to be a board, and what to do about it.
    Doctor(command::doctor::Arguments),
    /// Make the keys that tenants sign with.
    #[command(subcommand)]
    Key(command::key::Command),
    /// Print a completion script for a shell.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder.
    Man {
        /// The folder, which must be there.
        folder: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let format = arguments.output;
    let outcome = match arguments.command {
        Command::Pack(arguments) => command::pack::run(&arguments, format),
        Command::Push(arguments) => command::push::run(&arguments, format),
        Command::Pull(arguments) => command::pull::run(&arguments, format),
        Command::Sign(arguments) => command::sign::run(&arguments, format),
        Command::Verify(arguments) => command::verify::run(&arguments, format),
        Command::Run(arguments) => command::run::run(&arguments, format),
        Command::Ps(arguments) => command::ps::run(&arguments, format),
        Command::Result(arguments) => command::result::run(&arguments, format),
        Command::Logs(arguments) => command::logs::run(&arguments),
        Command::Stop(arguments) => command::stop::run(&arguments, format),
        Command::Rm(arguments) => command::rm::run(&arguments),
        Command::Top(arguments) => command::top::run(&arguments),
        Command::Node(options) => command::board::run(&options, format),
        Command::Metrics(options) => command::metrics::run(&options),
        Command::Task(command::task::Command::Ls(options)) => command::task::run(&options, format),
        Command::Tenant(command) => command::tenant::run(&command, format),
        Command::Doctor(arguments) => command::doctor::run(&arguments, format),
        Command::Key(command::key::Command::New(arguments)) => command::key::new(&arguments, format),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "spore", &mut std::io::stdout());
            Ok(())
        }
        Command::Man { folder } => clap_mangen::generate_to(Arguments::command(), &folder)
            .with_context(|| format!("writing manual pages into {}", folder.display())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
