//! `spore pack`.

use std::path::PathBuf;

use anyhow::Result;
use artifact::{Access, Built, Release, pack, sign, verify};
use protocol::Tenant;

use super::secret_key;
use crate::output::{Format, Shown};
use crate::place::Place;

/// What is packed, for whom, and where to.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task, built before with `cargo xtask build-image`.
    task: String,
    /// The folder, made when there is none: oci:FOLDER:TAG.
    #[arg(value_parser = Place::in_folder)]
    to: Place,
    /// Whose task it is to be: only this tenant's keys count as its signature.
    #[arg(long)]
    tenant: Tenant,
    /// The folder with the built images, CPU/TASK/TASK.img below it.
    #[arg(long, default_value = "target/images")]
    images: PathBuf,
    /// Sign it too, with the tenant's private key.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Packs the task's images for every CPU that it was built for.
///
/// # Errors
/// It was not built, the key is none, or the folder cannot be written.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let built = Built::all_of(&arguments.images, &arguments.task)?;
    let target = arguments.to.create(&Access::default())?;
    let digest = pack(&built, &arguments.tenant, &*target, Some(&arguments.to.reference))?;
    let release = Release::read(&*target, digest)?;
    let Some(key) = &arguments.key else { return Shown::of(&*target, &release, None)?.print(format) };
    let key = secret_key(key)?;
    sign(&*target, digest, &key)?;
    let trusted = verify(&*target, digest, &arguments.tenant, &[key.public()])?;
    Shown::of(&*target, &release, Some(trusted.key()))?.print(format)
}
