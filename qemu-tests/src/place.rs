//! Where things lie: all of the bed's files are below `target/bed` of the workspace.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The workspace's folder.
#[must_use]
pub fn workspace() -> &'static Path {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder)
}

/// The folder of all that the bed downloads, makes and logs.
#[must_use]
pub fn bed() -> PathBuf {
    workspace().join("target/bed")
}

/// Where logs of boots and scenarios are kept.
#[must_use]
pub fn logs() -> PathBuf {
    bed().join("logs")
}

/// The C headers of Xen (`xen/xen.h` and those that it names), from the unpacked package libxen-dev.
#[must_use]
pub fn xen_headers() -> PathBuf {
    bed().join("host/root/usr/include")
}

/// Holds other processes off while this one changes files below `target/bed`; released on drop.
///
/// # Errors
/// The folder cannot be made or the lock cannot be had.
pub fn lock() -> Result<File> {
    let path = bed().join("lock");
    fs::create_dir_all(bed()).with_context(|| format!("make {}", bed().display()))?;
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    file.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}
