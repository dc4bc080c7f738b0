//! The subcommands.

pub mod board;
pub mod doctor;
pub mod key;
pub mod logs;
pub mod metrics;
pub mod pack;
pub mod ps;
pub mod pull;
pub mod push;
pub mod result;
pub mod rm;
pub mod run;
pub mod sign;
pub mod stop;
pub mod task;
pub mod tenant;
pub mod top;
pub mod verify;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use artifact::{Access, Release, copy};
use protocol::SecretKey;

use crate::output::{Format, Shown};
use crate::place::Place;

/// Copies an artifact with its signatures and shows it.
fn copy_and_show(from: &Place, to: &Place, access: &Access, format: Format) -> Result<()> {
    let source = from.open(access)?;
    let (digest, _) = source.resolve(&from.reference)?;
    let target = to.create(access)?;
    copy(&*source, digest, &*target, to.tag())?;
    let release = Release::read(&*target, digest)?;
    Shown::of(&*target, &release, None)?.print(format)
}

/// Reads a private key.
///
/// # Errors
/// There is no such file, or it is none.
pub fn secret_key(path: &Path) -> Result<SecretKey> {
    SecretKey::from_pem(&read(path, "the private key")?).with_context(|| path.display().to_string())
}

/// Reads a small text file.
fn read(path: &Path, what: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {what} {}", path.display()))
}
