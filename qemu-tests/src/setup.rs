//! Brings everything that a bed needs; idempotent, and quick when nothing is missing.

use crate::apt;
use crate::dom0_program;
use crate::initramfs::Ingredients;
use crate::machine::{Arch, write_whole};
use crate::packages;
use crate::place;
use crate::progress::Progress;
use crate::root::Root;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Brings what is missing: QEMU, Debian packages, the images that QEMU boots, the agent, and Rust's target for it.
///
/// # Errors
/// Something is missing that this process cannot bring; the message says what to type.
pub fn setup(arch: Arch, progress: &mut dyn Progress) -> Result<()> {
    let _lock = place::lock()?;
    let machine = arch.machine();
    let (program, package) = machine.qemu();
    if !is_program(program) {
        progress.say(&format!("installing {package}"));
        apt::install(package, &format!("{program} is missing"))?;
        ensure!(is_program(program), "{package} is installed, but there is no {program} on the PATH");
    }
    packages::HOST.provide(progress)?;
    machine.packages().provide(progress)?;
    let agent = dom0_program::build(machine, dom0_program::AGENT, progress)?;
    let ingredients = Ingredients {
        root: Root(machine.packages().root()),
        kernel: &machine.packages().version_in_name("linux-image-")?,
        xen: &machine.packages().version_in_name("xen-utils-")?,
        triplet: machine.triplet(),
        modules: machine.modules(),
        agent: &fs::read(&agent).with_context(|| format!("read {}", agent.display()))?,
    };
    let initramfs = initramfs(arch);
    write_whole(&initramfs, &ingredients.make().context("make the file system of dom0")?)?;
    machine.prepare(&initramfs, progress)
}

/// Only what runs on the host itself: the MQTT broker and its clients, a registry, iperf3, and Xen's C headers.
///
/// # Errors
/// As [`setup`].
pub fn setup_host(progress: &mut dyn Progress) -> Result<()> {
    let _lock = place::lock()?;
    packages::HOST.provide(progress)
}

/// The newer MQTT broker.
///
/// # Errors
/// As [`setup`].
pub fn setup_newer_broker(progress: &mut dyn Progress) -> Result<()> {
    let _lock = place::lock()?;
    packages::NEWER_BROKER.provide(progress)?;
    // Some packages leave a library's short name to be made when they are installed.
    let libraries = packages::NEWER_BROKER.root().join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let named = Command::new("/sbin/ldconfig").arg("-n").arg(&libraries).status().context("run ldconfig")?;
    ensure!(named.success(), "ldconfig -n {}: {named}", libraries.display());
    Ok(())
}

/// The MQTT broker that is written in Erlang.
///
/// # Errors
/// As [`setup`].
pub fn setup_erlang_broker(progress: &mut dyn Progress) -> Result<()> {
    let _lock = place::lock()?;
    packages::ERLANG_BROKER.provide(progress)
}

/// dom0's file system.
pub(crate) fn initramfs(arch: Arch) -> PathBuf {
    place::bed().join(arch.name()).join("initramfs.cpio")
}

fn is_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(name).is_file())
}
