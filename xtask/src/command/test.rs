//! `test`: everything that can be tested on this machine.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::arch::Arch;
use crate::terminal::{self, Style};
use crate::workspace::Workspace;
use crate::{image, process, setup};

/// Run all tests: those of every crate on this machine, then each task on real Xen in QEMU.
///
/// Three parts: the crates' own tests, the images (each within its size), the scenarios in the bed. A part that fails does
/// not keep the others from running. Logs of scenarios that fail are kept in target/bed/logs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run only the scenarios in the bed.
    #[arg(long)]
    bed: bool,
    /// Of the scenarios, run only those whose names contain one of these.
    #[arg(value_name = "PART OF NAME", requires = "bed")]
    filters: Vec<String>,
    /// The processor that the bed emulates.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
}

/// One part and how it ended.
struct Part {
    name: &'static str,
    took: Duration,
    error: Option<anyhow::Error>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    setup::for_bed(arguments.arch)?;
    let mut parts = Vec::new();
    if !arguments.bed {
        parts.push(part("tests of the crates", || host_tests(&workspace)));
    }
    let images = part("images", || images(&workspace, arguments.arch));
    let built = images.error.is_none();
    parts.push(images);
    parts.push(part("scenarios on Xen", || match built {
        true => scenarios(&workspace, arguments),
        false => bail!("not run, because an image is missing"),
    }));
    terminal::say("");
    parts.iter().for_each(summary);
    let passed = parts.iter().all(|part| part.error.is_none());
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn part(name: &'static str, run: impl FnOnce() -> Result<()>) -> Part {
    terminal::say(terminal::on_stderr(format_args!("\n== {name}"), Style::Bold));
    let since = Instant::now();
    let error = run().err();
    if let Some(error) = &error {
        terminal::say(format_args!("{error:#}"));
    }
    Part { name, took: since.elapsed(), error }
}

fn summary(part: &Part) {
    let verdict = match part.error {
        None => terminal::on_stderr("passed", Style::Green),
        Some(_) => terminal::on_stderr("FAILED", Style::Red),
    };
    terminal::say(format_args!("{verdict}  {} ({:.0} s)", part.name, part.took.as_secs_f64()));
}

/// The tests of all crates. The scenarios are a test of qemu-tests as well, and have their own part.
fn host_tests(workspace: &Workspace) -> Result<()> {
    let mut all = process::cargo();
    all.current_dir(&workspace.root).args(["test", "--workspace", "--exclude", "qemu-tests", "--no-fail-fast"]);
    let mut bed = process::cargo();
    bed.current_dir(&workspace.root).args(["test", "--package", "qemu-tests", "--lib", "--test", "host_collect"]);
    let (all, bed) = (process::run(&mut all), process::run(&mut bed));
    all.and(bed)
}

fn images(workspace: &Workspace, arch: Arch) -> Result<()> {
    let mut failed = Vec::new();
    for task in workspace.tasks()? {
        if let Err(error) = image::build_and_say(workspace, &task, arch) {
            terminal::say(format_args!("{error:#}"));
            failed.push(task.name);
        }
    }
    if !failed.is_empty() {
        bail!("no image of: {}", failed.join(", "));
    }
    Ok(())
}

fn scenarios(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root).args(["test", "--package", "qemu-tests", "--test", "scenarios", "--"]);
    cargo.args(["--arch", arguments.arch.name()]).args(&arguments.filters);
    process::run(&mut cargo)
}
