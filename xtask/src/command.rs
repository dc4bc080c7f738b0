//! The command line: one module per subcommand.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::terminal::{self, Style};

mod bed;
mod bench;
mod boot;
mod build_image;
mod check;
mod deb;
mod demo;
mod fuzz;
mod host;
mod licenses;
mod logs;
mod mutants;
mod new;
mod setup;
mod size;
mod test;

/// Builds, checks, boots and shows Spore's tasks: single-purpose virtual machines for Xen.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::Arguments),
    BuildImage(build_image::Arguments),
    Boot(boot::Arguments),
    Host(host::Arguments),
    Logs(logs::Arguments),
    Demo(demo::Arguments),
    Check(check::Arguments),
    Test(test::Arguments),
    Bed(bed::Arguments),
    Deb(deb::Arguments),
    Size(size::Arguments),
    Licenses(licenses::Arguments),
    Bench(bench::Arguments),
    Fuzz(fuzz::Arguments),
    Mutants(mutants::Arguments),
    Setup(setup::Arguments),
}

/// Runs the subcommand that the process's arguments name.
pub fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::New(arguments) => new::run(&arguments),
        Command::BuildImage(arguments) => build_image::run(&arguments),
        Command::Boot(arguments) => boot::run(&arguments),
        Command::Host(arguments) => host::run(&arguments),
        Command::Logs(arguments) => logs::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bed(arguments) => bed::run(&arguments),
        Command::Deb(arguments) => deb::run(&arguments),
        Command::Size(arguments) => size::run(&arguments),
        Command::Licenses(arguments) => licenses::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Mutants(arguments) => mutants::run(&arguments),
        Command::Setup(arguments) => setup::run(&arguments),
    };
    verdict(result)
}

/// A subcommand's exit status: its own, or 1 with the error's message.
fn verdict(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        terminal::say(format_args!("{} {error:#}", terminal::on_stderr("error:", Style::Red)));
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed_and_every_subcommand_explains_itself() {
        let command = super::Arguments::command();
        command.clone().debug_assert();
        for subcommand in command.get_subcommands() {
            assert!(subcommand.get_about().is_some(), "{}", subcommand.get_name());
            for argument in subcommand.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", subcommand.get_name(), argument.get_id());
            }
        }
    }
}
