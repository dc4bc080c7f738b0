//! Builds programs that run in dom0: the bed's agent, and what is tested there.
//!
//! It is linked by Rust's own linker, with the C library of dom0's own packages: so no C toolchain for dom0's CPU must
//! be installed on the host, and every CPU is treated alike. What is written in C in a program's dependencies is
//! compiled by `c_compiler`.

use crate::c_compiler;
use crate::elf;
use crate::machine::Machine;
use crate::place;
use crate::progress::Progress;
use crate::root::Root;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program for dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its package.
    pub package: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Whether it is one of the package's examples.
    pub example: bool,
}

/// The bed's agent.
pub const AGENT: Program = Program { package: "bed-agent", name: "bed-agent", example: false };

/// Builds a program for a machine's dom0, when it is not up to date; returns its path.
///
/// # Errors
/// The target cannot be added by rustup, or the build fails.
pub fn build(machine: &dyn Machine, program: Program, progress: &mut dyn Progress) -> Result<PathBuf> {
    let Program { package, name, example } = program;
    let target = machine.agent_target();
    let system = Root(machine.packages().root());
    let flags = link_flags(&system, machine.triplet())?;
    add_target(target, progress)?;
    // The agent is Rust alone.
    let compiler = match program {
        AGENT => Vec::new(),
        _ => c_compiler::environment(target, machine.triplet(), &system, progress)?,
    };
    let folder = place::bed().join("agent");
    let (kind, place) = if example { ("--example", "release/examples") } else { ("--bin", "release") };
    let program = folder.join(target).join(place).join(name);
    if !program.exists() {
        progress.say(&format!("building {name} for dom0"));
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["rustc", "--quiet", "--release", "--package", package, kind, name, "--target", target, "--target-dir"])
        .arg(&folder)
        // The profile's own strip does not reach a program whose package has settings of its own there.
        .args(["--", "-Cstrip=symbols"]);
    cargo
        .current_dir(place::workspace())
        // Not as cargo's own setting: where dom0's CPU is the host's, build scripts would be linked with it too.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .envs(compiler);
    // What an outer cargo says about its own build is not meant for this one.
    for variable in ["RUSTFLAGS", "RUSTC_BOOTSTRAP", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    let output = cargo.stdin(Stdio::null()).output().context("run cargo")?;
    if !output.status.success() {
        bail!("building {name} for {target} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(program)
}

/// What a C compiler would tell the linker: where the libraries are, the object that a program starts with, and the
/// loader that all programs of dom0 ask for.
fn link_flags(root: &Root, triplet: &str) -> Result<Vec<String>> {
    let loader = elf::needs(&root.read("/bin/bash")?)?.loader.context("dom0's shell names no loader")?;
    // The last one is the folder of the package libgcc-12-dev.
    let folders = [format!("lib/{triplet}"), format!("usr/lib/{triplet}"), format!("usr/lib/gcc/{triplet}/12")];
    let start = format!("usr/lib/{triplet}/Scrt1.o");
    let mut flags = vec![
        "-Clinker=rust-lld".to_owned(),
        format!("-Clink-arg=--sysroot={}", root.0.display()),
        format!("-Clink-arg=--dynamic-linker={loader}"),
        format!("-Clink-arg={}", root.0.join(start).display()),
    ];
    flags.extend(folders.map(|folder| format!("-Lnative={}", root.0.join(folder).display())));
    Ok(flags)
}

fn add_target(target: &str, progress: &mut dyn Progress) -> Result<()> {
    let ask = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(place::workspace())
        .output();
    let ask = ask.context("run rustc")?;
    if Path::new(String::from_utf8_lossy(&ask.stdout).trim()).is_dir() {
        return Ok(());
    }
    progress.say(&format!("rustup target add {target}"));
    let added = Command::new("rustup").args(["target", "add", target]).current_dir(place::workspace()).output();
    match added {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => bail!("rustup target add {target}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => bail!("Rust's target {target} is missing and rustup cannot be run: {error}"),
    }
}
