//! `spore key`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use protocol::SecretKey;
use serde_json::json;

use crate::output::{self, Format};

/// What is done with keys.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a pair of keys: NAME.key to sign with, to be kept secret, and NAME.pub for whoever verifies.
    New(New),
}

/// Which keys are made.
#[derive(Debug, clap::Args)]
pub struct New {
    /// The files' name without .key and .pub, such as the tenant's; files that are there are never replaced.
    name: PathBuf,
}

/// Makes a pair of keys.
///
/// # Errors
/// A file is there already or cannot be written.
pub fn new(arguments: &New, format: Format) -> Result<()> {
    let file = |extension: &str| {
        let mut name = arguments.name.clone().into_os_string();
        name.push(extension);
        PathBuf::from(name)
    };
    let (secret, public) = (file(".key"), file(".pub"));
    let key = SecretKey::new();
    // Nobody but its owner reads the secret one, not even before it is complete.
    write(&secret, OpenOptions::new().mode(0o600), &key.to_pem())?;
    write(&public, &mut File::options(), &key.public().to_pem())?;
    let id = key.public().id();
    match format {
        Format::Json => output::json(&json!({ "secret": secret, "public": public, "id": id })),
        Format::Table => output::say(&format!(
            "{} signs: keep it secret, it has no password\n{} verifies: give it to the boards\nid {id}\n",
            secret.display(),
            public.display()
        )),
    }
}

fn write(path: &Path, options: &mut OpenOptions, content: &str) -> Result<()> {
    let mut file = options.write(true).create_new(true).open(path).with_context(|| {
        format!("making {}: a key that is there is not replaced, choose another name", path.display())
    })?;
    // The board that knows the public one may outlive a power cut of this computer: so must the key.
    let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("writing {}", path.display()))
}
