//! Builds the program that runs in dom0.
//!
//! It is linked statically with the musl that comes with Rust's target and with Rust's own linker, so that no C toolchain for dom0's CPU
//! is needed on the host.

use crate::place;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds the agent for a Rust target, when it is not up to date; returns the program's path.
///
/// # Errors
/// The target cannot be added by rustup, or the build fails.
pub fn build(target: &str, progress: &mut dyn Progress) -> Result<PathBuf> {
    add_target(target, progress)?;
    let folder = place::bed().join("agent");
    let program = folder.join(target).join("release/bed-agent");
    if !program.exists() {
        progress.say("building the bed's agent");
    }
    let name = target.replace('-', "_").to_uppercase();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--release", "--package", "bed-agent", "--target", target, "--target-dir"])
        .arg(&folder);
    cargo
        .current_dir(place::workspace())
        .env(format!("CARGO_TARGET_{name}_LINKER"), "rust-lld")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    // What an outer cargo says about its own build is not meant for this one.
    for variable in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_BOOTSTRAP", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    let output = cargo.stdin(Stdio::null()).output().context("run cargo")?;
    if !output.status.success() {
        bail!("building the bed's agent for {target} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(program)
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
