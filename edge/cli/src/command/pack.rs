//! `spore pack`.

use std::path::PathBuf;

use anyhow::Result;
use artifact::{Built, Release, pack};
use protocol::Tenant;

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
}

/// Packs the task's images for every CPU that it was built for.
///
/// # Errors
/// It was not built, or the folder cannot be written.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let built = Built::all_of(&arguments.images, &arguments.task)?;
    let target = arguments.to.create()?;
    let digest = pack(&built, &arguments.tenant, &*target, Some(&arguments.to.reference))?;
    Shown::of(&*target, &Release::read(&*target, digest)?, None)?.print(format)
}
