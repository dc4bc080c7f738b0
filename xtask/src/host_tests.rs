//! The tests that run on this machine, without Xen.

use std::process::Command;

use anyhow::Result;

use crate::part::Part;
use crate::process;
use crate::workspace::Workspace;

/// The packages that differ with the Cargo feature `segmentation-offload`, and the features that they are tested with once
/// more. In the workspace's own tests they have it, because xen-fake's default turns it on; most tasks ship without it.
const DIFFERENT: [&str; 3] = ["kernel", "xen-pv", "xen-fake"];
const WITHOUT_OFFLOAD: &str = "kernel/net,xen-pv/netfront";

/// Runs all of them.
pub fn run(workspace: &Workspace) -> Vec<Part> {
    let mut parts = vec![
        Part::run("tests of the crates", || crates(workspace)),
        Part::run("tests of the network without segmentation offload", || without_offload(workspace)),
    ];
    parts.push(under_miri(workspace));
    parts
}

fn test(workspace: &Workspace) -> Command {
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root).args(["test", "--locked", "--no-fail-fast"]);
    cargo
}

/// The tests of all crates. The scenarios are a test of qemu-tests as well, and have their own part.
fn crates(workspace: &Workspace) -> Result<()> {
    let mut all = test(workspace);
    all.args(["--workspace", "--exclude", "qemu-tests"]);
    let mut bed = test(workspace);
    bed.args(["--package", "qemu-tests", "--lib"]);
    for name in ["host_broker", "host_collect", "host_filter", "host_iperf"] {
        bed.args(["--test", name]);
    }
    let (all, bed) = (process::run(&mut all), process::run(&mut bed));
    all.and(bed)
}

fn without_offload(workspace: &Workspace) -> Result<()> {
    let mut cargo = test(workspace);
    cargo.args(DIFFERENT.iter().flat_map(|package| ["--package", *package]));
    process::run(cargo.args(["--no-default-features", "--features", WITHOUT_OFFLOAD]))
}

/// The tests of rings and grants under Miri, which finds undefined behaviour and races. Not where Miri is missing: its
/// toolchain is not the one that the project is built with, so that bringing it is left to who wants it.
fn under_miri(workspace: &Workspace) -> Part {
    const NAME: &str = "rings and grants under Miri";
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
        return Part::skipped(NAME, "rustup toolchain install nightly --component miri --component rust-src");
    }
    let mut tests = miri();
    tests.args(["test", "--package", "xen-fake", "--test", "grants", "--test", "ring", "--target-dir"]);
    tests.arg(workspace.target.join("miri"));
    // What takes long and moves numbers only.
    tests.args(["--", "--skip", "no_wake_up_is_lost", "--skip", "across_every_wrap", "--skip", "at_the_end_of_u32"]);
    // Handles of what lives as long as a guest are never freed.
    tests.env("MIRIFLAGS", "-Zmiri-ignore-leaks");
    Part::run(NAME, || process::run(&mut tests))
}
