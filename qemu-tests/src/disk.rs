//! A disk that outlives its machine, so that a board's power can be cut and come back.
//!
//! The disk is a file with an ext4, which [`crate::BedOptions::disk`] gives to a machine and [`Disk::mount`] to its
//! dom0. dom0 gets the file system's modules while it runs, as an archive: no other boot pays for them. After
//! [`crate::Bed::cut_power`] the next machine finds what dom0's kernel had written; what it still had in memory is lost.
//! The disk itself keeps what it has taken, as one without a cache of its own does.

use crate::bed::Bed;
use crate::cpio::Archive;
use crate::host_tool;
use crate::initramfs::modules;
use crate::machine::Arch;
use crate::place;
use crate::root::Root;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// The disk, the file system on it, and the checksum that ext4 asks the kernel for by name: without it mounting fails with
/// "no such file".
const MODULES: [&str; 3] = ["virtio_blk", "crc32c_generic", "ext4"];
/// The list of the modules in dom0.
const MODULE_LIST: &str = "/etc/bed-disk";
/// A disk's size; the file has no more than what was written.
const SIZE: &str = "256m";

/// A disk. Its file goes when it is dropped.
#[derive(Debug)]
pub struct Disk {
    arch: Arch,
    file: PathBuf,
}

impl Disk {
    /// An empty one, for the machines of a CPU.
    ///
    /// # Errors
    /// The host's packages are missing, or the file cannot be made.
    pub fn make(arch: Arch, name: &str) -> Result<Self> {
        let disk = Self { arch, file: place::bed().join(arch.name()).join(format!("{name}.disk")) };
        let _ = fs::remove_file(&disk.file);
        let mut make = host_tool::command("/sbin/mke2fs")?;
        // All of it now: nothing is left for dom0 to do in the background.
        make.args(["-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0"]);
        let output = make.arg(&disk.file).arg(SIZE).output().context("run mke2fs")?;
        ensure!(output.status.success(), "mke2fs: {}", String::from_utf8_lossy(&output.stderr));
        Ok(disk)
    }

    /// Its file, for [`crate::BedOptions::disk`].
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Mounts it in the dom0 of a machine that has it.
    ///
    /// # Errors
    /// dom0's kernel has no such modules, or does not find a whole file system.
    pub fn mount(&self, bed: &Bed, folder: &str) -> Result<()> {
        let dom0 = self.arch.machine().packages();
        let mut archive = Archive::default();
        let kernel = dom0.version_in_name("linux-image-")?;
        modules::add(&mut archive, MODULE_LIST, &Root(dom0.root()), &kernel, MODULES)?;
        bed.put("/tmp/disk", &archive.finish())?;
        let load = modules::load(MODULE_LIST);
        bed.must(&format!(
            "set -e; cd /; cpio -id </tmp/disk; rm /tmp/disk
            {load}
            mkdir -p {folder}
            mount -t ext4 /dev/vda {folder}"
        ))
        .map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A machine that has just been killed has it no more; one that cannot be removed is overwritten by the next.
        let _ = fs::remove_file(&self.file);
    }
}
