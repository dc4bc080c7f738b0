//! Programs of the unpacked packages, run on the host.
//!
//! A program is started through the loader of its own package with its own libraries: those of the host may be older or newer.

use crate::elf;
use crate::packages;
use crate::root::Root;
use anyhow::{Context, Result};
use std::env::consts::ARCH;
use std::fs;
use std::process::Command;

/// A command that runs a program of the host's set of packages, such as `/usr/sbin/mosquitto`.
///
/// # Errors
/// The packages are not unpacked.
pub fn command(program: &str) -> Result<Command> {
    let root = Root(packages::HOST.root());
    let file = root.resolve(program).context("the host's packages are missing: run `cargo xtask setup`")?;
    let content = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let loader = elf::needs(&content)?.loader.with_context(|| format!("{program} names no loader"))?;
    let folders = ["lib", "usr/lib"].map(|folder| root.0.join(format!("{folder}/{ARCH}-linux-gnu")));
    let mut command = Command::new(root.resolve(&loader)?);
    command.arg("--library-path").arg(std::env::join_paths(folders)?).arg(file);
    Ok(command)
}
