//! `demo`: what Spore is for, shown as it happens.

mod collect;
mod node;
mod prompt;
mod weather;

use std::process::ExitCode;

use anyhow::Result;

use crate::arch::Arch;
use crate::terminal::{self, Style};

/// Show what Spore is for, on real Xen in QEMU, with a verdict at the end.
///
/// The node: a registry, two MQTT brokers and sensors on this machine, and a board with spored. Two tenants sign and push their
/// tasks and have the board run them; one task crashes and is started again, one asks for more than its quota and is refused, and
/// spored is killed in between and goes on. The commands are shown as one types them.
///
/// collect: one guest, started by xl, reads five days of 27 weather sensors from one broker and publishes summaries to another.
///
/// Both compare the figures with an independent computation. Exit status 0 means that all is right.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What is shown.
    #[arg(value_enum, default_value_t)]
    story: Story,
    /// The processor to show it on.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// Replay as fast as the brokers take it, without pauses that let one watch.
    #[arg(long)]
    fast: bool,
}

/// A demo.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Story {
    /// A board that runs tasks of several tenants by itself.
    #[default]
    Node,
    /// One guest that aggregates sensor readings.
    Collect,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let verdict = match arguments.story {
        Story::Node => node::play(arguments)?,
        Story::Collect => collect::play(arguments)?,
    };
    println!("\n{}", verdict.table());
    for line in &verdict.findings {
        println!("{line}");
    }
    let (words, style) = match verdict.passed() {
        true => ("The demo passed: everything is as it should be.", Style::Green),
        false => ("The demo FAILED: see the findings above.", Style::Red),
    };
    println!("\n{}", terminal::on_stdout(words, style));
    Ok(if verdict.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn step(text: std::fmt::Arguments<'_>) {
    terminal::say(format_args!("{} {text}", terminal::on_stderr("*", Style::Bold)));
}
