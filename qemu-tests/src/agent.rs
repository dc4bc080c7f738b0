//! Builds the program that runs in dom0.
//!
//! It is linked statically by Rust's own linker, with the C library of dom0's own packages: so no C toolchain for dom0's CPU is needed on
//! the host, and every CPU is treated alike.

use crate::machine::Machine;
use crate::place;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds the agent for a machine's dom0, when it is not up to date; returns the program's path.
///
/// # Errors
/// The target cannot be added by rustup, or the build fails.
pub fn build(machine: &dyn Machine, progress: &mut dyn Progress) -> Result<PathBuf> {
    let target = machine.agent_target();
    add_target(target, progress)?;
    let folder = place::bed().join("agent");
    let program = folder.join(target).join("release/bed-agent");
    if !program.exists() {
        progress.say("building the bed's agent");
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--release", "--package", "bed-agent", "--target", target, "--target-dir"])
        .arg(&folder);
    cargo
        .current_dir(place::workspace())
        // Not as cargo's own setting: where dom0's CPU is the host's, build scripts would be linked with it too.
        .env("CARGO_ENCODED_RUSTFLAGS", link_flags(&machine.packages().root(), machine.triplet()).join("\x1f"))
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    // What an outer cargo says about its own build is not meant for this one.
    for variable in ["RUSTFLAGS", "RUSTC_BOOTSTRAP", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    let output = cargo.stdin(Stdio::null()).output().context("run cargo")?;
    if !output.status.success() {
        bail!("building the bed's agent for {target} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(program)
}

/// What a C compiler would tell the linker: to link statically, the folders of the C library's and of the compiler's
/// own parts, and the three files that a program begins and ends with.
fn link_flags(root: &Path, triplet: &str) -> Vec<String> {
    let library = root.join("usr/lib").join(triplet);
    // The folder of the package libgcc-12-dev.
    let compiler = root.join("usr/lib/gcc").join(triplet).join("12");
    // Rust makes a static program position independent where the C library has a start for such programs.
    let start = if library.join("rcrt1.o").exists() { "rcrt1.o" } else { "crt1.o" };
    let mut flags = vec!["-Clinker=rust-lld".to_owned(), "-Ctarget-feature=+crt-static".to_owned()];
    flags.extend([&library, &compiler].map(|folder| format!("-Lnative={}", folder.display())));
    flags.extend([start, "crti.o", "crtn.o"].map(|object| format!("-Clink-arg={}", library.join(object).display())));
    flags
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
