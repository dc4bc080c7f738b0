//! `spore`: makes artifacts of tasks, signs them, and moves them between folders and registries.
//!
//! One module of [`command`] is one subcommand. Errors go to stderr, each with what to do about it; what was asked
//! for goes to stdout, as a table or as JSON.

#![forbid(unsafe_code)]

mod command;
mod output;
mod place;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use output::Format;

/// Makes, signs and moves tasks for Spore's boards.
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
    /// Make the keys that tenants sign with.
    #[command(subcommand)]
    Key(command::key::Command),
    /// Print a completion script for a shell.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
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
        Command::Key(command::key::Command::New(arguments)) => command::key::new(&arguments, format),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "spore", &mut std::io::stdout());
            Ok(())
        }
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
