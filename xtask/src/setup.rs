//! What this machine must have before images are built or booted.
//!
//! Each check looks at the file that would be missing, so that a machine which has everything loses no time.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::process;
use crate::terminal::{self, Style};

/// What building an image needs: the standard library's source.
///
/// # Errors
/// Says what to type when it cannot be brought.
pub fn for_images() -> Result<()> {
    need(&library()?.join("core/src/lib.rs"), &["component", "add", "rust-src"])
}

/// What booting an image needs in addition: QEMU, Debian's packages, the bed's agent.
///
/// # Errors
/// Says what to type when something cannot be brought.
pub fn for_bed(arch: Arch) -> Result<()> {
    for_images()?;
    qemu_tests::setup::setup(arch.machine(), &mut Lines)
}

/// What the crates' own tests need: Xen's C headers, an MQTT broker and its clients, iperf3.
///
/// # Errors
/// As [`for_bed`].
pub fn for_host_tests() -> Result<()> {
    qemu_tests::setup::setup_host(&mut Lines)
}

/// What experiments in dom0 need in addition: tools as Debian has them.
///
/// # Errors
/// As [`for_bed`].
pub fn for_tools(arch: Arch) -> Result<()> {
    for_bed(arch)?;
    qemu_tests::tools::setup(arch.machine(), &mut Lines)
}

/// What a board with a node needs in addition: the programs for its dom0.
///
/// # Errors
/// As [`for_bed`].
pub fn for_nodes(arch: Arch) -> Result<()> {
    for_bed(arch)?;
    qemu_tests::node::build(arch.machine(), &mut Lines)
}

/// What the tests of an architecture need: every machine of the bed on which its guests run.
///
/// # Errors
/// As [`for_bed`].
pub fn for_tests(arch: Arch) -> Result<()> {
    for_images()?;
    arch.machines().try_for_each(|machine| qemu_tests::setup::setup(machine, &mut Lines))
}

/// Shows what the bed's setup does.
pub struct Lines;

impl qemu_tests::progress::Progress for Lines {
    fn say(&mut self, line: &str) {
        terminal::say(terminal::on_stderr(line, Style::Dim));
    }
}

/// Lets rustup bring what `path` belongs to.
fn need(path: &Path, rustup: &[&str]) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let typed = format!("rustup {}", rustup.join(" "));
    process::run(Command::new("rustup").args(rustup)).with_context(|| format!("needed before all else: {typed}"))?;
    if !path.exists() {
        bail!("\"{typed}\" succeeded, yet there is no {}: is this the toolchain that rustup manages?", path.display());
    }
    Ok(())
}

/// The folder of the standard library's source.
///
/// # Errors
/// When rustc cannot be asked.
pub fn library() -> Result<PathBuf> {
    Ok(sysroot()?.join("lib/rustlib/src/rust/library"))
}

/// Where the toolchain that runs us is installed.
///
/// # Errors
/// When rustc cannot be asked.
pub fn sysroot() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = process::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(String::from_utf8(output.stdout).context("the sysroot's path is no UTF-8")?.trim()))
}

#[cfg(test)]
mod tests {
    use super::{need, sysroot};

    #[test]
    fn nothing_is_run_for_what_is_there() {
        need(&sysroot().unwrap(), &["this", "would", "fail"]).unwrap();
    }
}
