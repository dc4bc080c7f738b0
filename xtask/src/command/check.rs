//! `check`: what must hold before a commit, as far as this machine can tell without Xen.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::arch::Arch;
use crate::part::{self, Part};
use crate::workspace::Workspace;
use crate::{host_tests, process, setup};

/// Check everything that must hold before a commit: formatting, lints, documentation, licences, and the crates' tests.
///
/// Lints and documentation are those of this machine and of both guests' processors, with each set of Cargo features that
/// a task can choose. A part that fails does not keep the others from running. Images and guests are left to
/// cargo xtask test.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Leave out the crates' tests: for who runs cargo xtask test next, which begins with them.
    #[arg(long)]
    no_tests: bool,
}

/// The drivers that a task can choose, as features of `xen-pv`; each has what it stands on.
const DRIVERS: [Option<&str>; 5] =
    [None, Some("xenstore"), Some("vchan"), Some("netfront"), Some("segmentation-offload")];

/// Of the kernel, on this machine: xen-pv brings the others in guests.
const KERNEL: [Option<&str>; 3] = [None, Some("net"), Some("segmentation-offload")];

/// What rustdoc must not say. Links to private items are broken for who reads the page elsewhere.
const RUSTDOCFLAGS: &str = "-D warnings";

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    setup::for_images()?;
    let check = Check { workspace };
    let mut parts = vec![
        Part::run("formatting", || check.run("fmt", &["--all", "--check"])),
        Part::run("lints on this machine", || check.lint_host()),
    ];
    for arch in Arch::ALL {
        parts.push(Part::run(format!("lints in a guest, {arch}"), || check.lint_guest(*arch)));
    }
    parts.push(Part::run("documentation on this machine", || check.document_host()));
    for arch in Arch::ALL {
        parts.push(Part::run(format!("documentation in a guest, {arch}"), || check.document_guest(*arch)));
    }
    parts.push(check.dependencies());
    if !arguments.no_tests {
        setup::for_host_tests()?;
        parts.extend(host_tests::run(&check.workspace));
    }
    Ok(part::summary(&parts))
}

struct Check {
    workspace: Workspace,
}

impl Check {
    fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = process::cargo();
        cargo.current_dir(&self.workspace.root).arg(subcommand);
        cargo
    }

    fn run(&self, subcommand: &str, arguments: &[&str]) -> Result<()> {
        process::run(self.cargo(subcommand).args(arguments))
    }

    /// Warnings are errors. `arguments` say what to look at.
    fn lint(&self, cargo: &mut Command, arguments: &[&str]) -> Result<()> {
        process::run(cargo.arg("--locked").args(arguments).args(["--", "-D", "warnings"]))
    }

    fn lint_host(&self) -> Result<()> {
        self.lint(&mut self.cargo("clippy"), &["--workspace", "--all-targets"])?;
        for (package, sets) in [("kernel", &KERNEL[..]), ("xen-pv", &DRIVERS)] {
            for features in sets {
                let mut arguments = vec!["--package", package, "--all-targets"];
                arguments.extend(features.iter().flat_map(|features| ["--features", *features]));
                self.lint(&mut self.cargo("clippy"), &arguments)?;
            }
        }
        // The fuzzer's programs. A library of the user's own is not looked for before linking, which does not come; without
        // one, libfuzzer-sys would want a C++ compiler.
        let mut fuzz = self.cargo("clippy");
        fuzz.env("CUSTOM_LIBFUZZER_PATH", "/none/libfuzzer.a");
        self.lint(&mut fuzz, &["--package", "fuzz", "--bins", "--features", "libfuzzer"])
    }

    fn lint_guest(&self, arch: Arch) -> Result<()> {
        for features in DRIVERS {
            let mut arguments = vec!["--package", "xen-pv"];
            arguments.extend(features.iter().flat_map(|features| ["--features", *features]));
            self.lint(&mut self.guest("clippy", arch), &arguments)?;
        }
        let tasks = self.workspace.tasks()?;
        let packages: Vec<_> = tasks.iter().flat_map(|task| ["--package", &task.name]).collect();
        self.lint(&mut self.guest("clippy", arch), &packages)
    }

    /// What deny.toml says about the crates that all is made of. The advisories are left out: they are another repository,
    /// to be fetched at each look.
    fn dependencies(&self) -> Part {
        const NAME: &str = "licences and sources of the crates";
        if process::output(self.cargo("deny").arg("--version")).is_err() {
            return Part::skipped(NAME, "cargo install --locked cargo-deny");
        }
        Part::run(NAME, || self.run("deny", &["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
    }

    fn document_host(&self) -> Result<()> {
        process::run(self.document(&mut self.cargo("doc")).arg("--workspace"))
    }

    fn document_guest(&self, arch: Arch) -> Result<()> {
        let mut cargo = self.guest("doc", arch);
        process::run(self.document(&mut cargo).args([
            "--package",
            "xen-pv",
            "--features",
            "segmentation-offload,vchan",
        ]))
    }

    fn document<'c>(&self, cargo: &'c mut Command) -> &'c mut Command {
        cargo.env("RUSTDOCFLAGS", RUSTDOCFLAGS).args(["--locked", "--no-deps"])
    }

    /// What runs only in a guest is behind target_os = "none": looked at for each guest's target.
    fn guest(&self, subcommand: &str, arch: Arch) -> Command {
        let mut cargo = self.workspace.in_guest(subcommand, arch);
        cargo.arg("-Zbuild-std=core,alloc");
        // A folder of its own, as for images: what is compiled for build scripts and macros depends on RUSTC_BOOTSTRAP, and
        // would be compiled anew whenever it comes and goes.
        cargo.arg("--target-dir").arg(self.workspace.target.join("guest"));
        cargo
    }
}
