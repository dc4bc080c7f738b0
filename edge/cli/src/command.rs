//! The subcommands.

pub mod key;
pub mod pack;
pub mod pull;
pub mod push;
pub mod sign;
pub mod verify;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use artifact::{Release, copy};

use crate::output::{Format, Shown};
use crate::place::Place;

/// Copies an artifact with its signatures and shows it.
fn copy_and_show(from: &Place, to: &Place, format: Format) -> Result<()> {
    let source = from.open()?;
    let (digest, _) = source.resolve(&from.reference)?;
    let target = to.create()?;
    copy(&*source, digest, &*target, to.tag())?;
    let release = Release::read(&*target, digest)?;
    Shown::of(&*target, &release, None)?.print(format)
}

/// Reads a small text file.
fn read(path: &Path, what: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {what} {}", path.display()))
}
