//! `test`: everything that can be tested on this machine.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::arch::Arch;
use crate::terminal::{self, Style};
use crate::workspace::Workspace;
use crate::{guest, image, process, setup};

/// Run all tests: those of every crate on this machine, then each task on real Xen in QEMU.
///
/// The parts: the crates' own tests, some of them under Miri where that is installed; for each processor the images (each
/// within its size) and the scenarios in the bed; for ARMv7 also some on a 64-bit Xen. A part that fails does not keep the
/// others from running. Logs of scenarios that fail are kept in target/bed/logs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run only the scenarios in the bed.
    #[arg(long)]
    bed: bool,
    /// Of the scenarios, run only those whose names contain one of these.
    #[arg(value_name = "PART OF NAME", requires = "bed")]
    filters: Vec<String>,
    /// Build images and run scenarios for this processor only.
    #[arg(long, value_enum)]
    arch: Option<Arch>,
}

/// What runs on machines of the bed that are not a guest's own: one guest that does nothing but print, one with all drivers.
const ELSEWHERE: [&str; 2] = ["hello: prints its line", "echo: answers 700 pings"];

/// One part and how it ended.
struct Part {
    name: String,
    took: Duration,
    error: Option<anyhow::Error>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let all = Arch::chosen(arguments.arch);
    all.iter().try_for_each(|arch| setup::for_tests(*arch))?;
    let mut parts = Vec::new();
    if !arguments.bed {
        parts.push(part("tests of the crates".into(), || host_tests(&workspace)));
        parts.extend(under_miri(&workspace));
    }
    let images: Vec<_> = all.into_iter().map(|arch| (arch, build(&workspace, arch))).collect();
    parts.extend(on_xen(&workspace, images, &arguments.filters));
    terminal::say("");
    parts.iter().for_each(summary);
    let passed = parts.iter().all(|part| part.error.is_none());
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The tests of rings and grants under Miri, which finds undefined behaviour and races. Not where Miri is missing: its
/// toolchain is not the one that the project is built with, so that bringing it is left to who wants it.
fn under_miri(workspace: &Workspace) -> Option<Part> {
    let miri = || {
        let mut command = Command::new("rustup");
        command.current_dir(&workspace.root).args(["run", "nightly", "cargo", "miri"]);
        // Those of the cargo that runs us.
        for tool in ["CARGO", "RUSTC", "RUSTDOC"] {
            command.env_remove(tool);
        }
        command
    };
    if process::output(miri().arg("setup")).is_err() {
        let typed = "rustup toolchain install nightly --component miri --component rust-src";
        terminal::say(format_args!("skipped: rings and grants under Miri, which is not installed: {typed}"));
        return None;
    }
    let mut tests = miri();
    tests.args(["test", "--package", "xen-fake", "--test", "grants", "--test", "ring", "--target-dir"]);
    tests.arg(workspace.target.join("miri"));
    // What takes long and moves numbers only.
    tests.args(["--", "--skip", "no_wake_up_is_lost", "--skip", "across_every_wrap", "--skip", "at_the_end_of_u32"]);
    // Handles of what lives as long as a guest are never freed.
    tests.env("MIRIFLAGS", "-Zmiri-ignore-leaks");
    Some(part("rings and grants under Miri".into(), || process::run(&mut tests)))
}

/// The images for each processor, and the scenarios with them: the processors side by side, because an emulated machine
/// uses one processor of ours, and each line of a scenario names the machine.
fn on_xen(workspace: &Workspace, images: Vec<(Arch, Part)>, filters: &[String]) -> Vec<Part> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = images
            .into_iter()
            .map(|(arch, images)| {
                scope.spawn(move || {
                    let built = images.error.is_none();
                    let mut parts = vec![images];
                    for machine in guest::machines(arch) {
                        parts.extend(on_machine(workspace, arch, machine, built, filters));
                    }
                    parts
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a part that fails says so")).collect()
    })
}

/// The scenarios on one machine, unless the filters leave none for it.
fn on_machine(
    workspace: &Workspace,
    arch: Arch,
    machine: qemu_tests::Arch,
    built: bool,
    filters: &[String],
) -> Option<Part> {
    let filters = match machine == guest::machine(arch) {
        true => filters.to_vec(),
        false if filters.is_empty() => ELSEWHERE.map(str::to_owned).to_vec(),
        false => return None,
    };
    Some(part(format!("scenarios on Xen for {}", machine.name()), || match built {
        true => scenarios(workspace, machine, &filters),
        false => bail!("not run, because an image is missing"),
    }))
}

fn part(name: String, run: impl FnOnce() -> Result<()>) -> Part {
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
    bed.current_dir(&workspace.root).args(["test", "--package", "qemu-tests", "--lib"]);
    bed.args(["--test", "host_collect", "--test", "host_iperf"]);
    let (all, bed) = (process::run(&mut all), process::run(&mut bed));
    all.and(bed)
}

fn build(workspace: &Workspace, arch: Arch) -> Part {
    part(format!("images for {arch}"), || images(workspace, arch))
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

fn scenarios(workspace: &Workspace, machine: qemu_tests::Arch, filters: &[String]) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root).args(["test", "--package", "qemu-tests", "--test", "scenarios", "--"]);
    cargo.args(["--arch", machine.name()]).args(filters);
    process::run(&mut cargo)
}
