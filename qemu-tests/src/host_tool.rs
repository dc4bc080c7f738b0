//! Programs of the unpacked packages, run on the host.
//!
//! A program is started through the loader of its own package with its own libraries: those of the host may be older or
//! newer.

use crate::elf;
use crate::packages::{self, Set};
use crate::root::Root;
use anyhow::{Context, Result};
use std::env::consts::ARCH;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A command that runs a program of the host's set of packages, such as `/usr/sbin/mosquitto`.
///
/// # Errors
/// The packages are not unpacked.
pub fn command(program: &str) -> Result<Command> {
    command_of(&packages::HOST, program)
}

/// A command that runs a program of another set of packages for the host's CPU.
///
/// # Errors
/// The packages are not unpacked.
pub fn command_of(set: &Set, program: &str) -> Result<Command> {
    let root = Root(set.root());
    let missing = || format!("the packages for {} are missing: run setup", set.name);
    let file = root.resolve(program).with_context(missing)?;
    let content = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let loader = elf::needs(&content)?.loader.with_context(|| format!("{program} names no loader"))?;
    let folders = ["lib", "usr/lib"].map(|folder| root.0.join(format!("{folder}/{ARCH}-linux-gnu")));
    // Newer releases have it below /usr alone; the link that leads there belongs to a package that nothing else is
    // wanted of.
    let loader = root.resolve(&loader).or_else(|_| root.resolve(&format!("/usr{loader}")))?;
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(std::env::join_paths(folders)?).arg(file);
    Ok(command)
}

/// Where a file or folder of the host's set of packages is.
///
/// # Errors
/// The packages are not unpacked.
pub fn path(name: &str) -> Result<PathBuf> {
    Root(packages::HOST.root()).resolve(name).context("the host's packages are missing: run setup")
}
