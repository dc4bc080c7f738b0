//! `spore sign`.

use std::path::PathBuf;

use anyhow::Result;
use artifact::{Release, sign, verify};

use super::secret_key;
use crate::output::{Format, Shown};
use crate::place::Place;
use crate::reach::{Registries, Tls};

/// What is signed, and with what.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The artifact: oci:FOLDER:TAG or HOST/PATH:TAG, or with @sha256:... instead of the tag.
    place: Place,
    /// The tenant's private key, such as `spore key new` makes.
    #[arg(long)]
    key: PathBuf,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    tls: Tls,
}

/// Signs the artifact where it lies.
///
/// # Errors
/// It is not there or no task, the key is none, or the place cannot be written to.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let key = secret_key(&arguments.key)?;
    let target = arguments.place.open(&arguments.registries.access(&arguments.tls))?;
    let (digest, _) = target.resolve(&arguments.place.reference)?;
    let release = Release::read(&*target, digest)?;
    sign(&*target, digest, &key)?;
    let trusted = verify(&*target, digest, &release.tenant, &[key.public()])?;
    Shown::of(&*target, &release, Some(trusted.key()))?.print(format)
}
