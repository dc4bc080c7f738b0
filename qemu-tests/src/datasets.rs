//! Tables that others publish: the package vega-datasets of npm, below `target/bed/datasets`.

use crate::apt;
use crate::place;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The package, at the version whose tables were looked at.
const PACKAGE: &str = "vega-datasets@2.11.0";

/// The text of a table, such as `stocks.csv`.
///
/// # Errors
/// The package cannot be had, or has no such table.
pub fn table(name: &str) -> Result<String> {
    let archive = provide()?;
    let member = format!("package/data/{name}");
    let output = Command::new("tar").arg("-xzOf").arg(&archive).arg(&member).output().context("tar")?;
    ensure!(output.status.success(), "{member}: {}", String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8(output.stdout).with_context(|| format!("{name} is no text"))
}

/// Downloads the package, unless that was done.
fn provide() -> Result<PathBuf> {
    let _lock = place::lock()?;
    let folder = place::bed().join("datasets");
    let archive = folder.join(PACKAGE.replace('@', "-") + ".tgz");
    if archive.exists() {
        return Ok(archive);
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let pack = || Command::new("npm").args(["pack", "--silent", PACKAGE]).current_dir(&folder).output();
    let output = pack().or_else(|_| {
        apt::install("npm", "npm is missing")?;
        pack().context("npm")
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && archive.exists(), "npm pack {PACKAGE}: {}", said.trim());
    Ok(archive)
}
