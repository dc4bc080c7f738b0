//! `spore pull`.

use anyhow::Result;

use super::copy_and_show;
use crate::output::Format;
use crate::place::Place;
use crate::reach::{Registries, Tls};

/// From where to where.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The artifact: HOST/PATH:TAG or HOST/PATH@sha256:...
    #[arg(value_parser = Place::in_registry)]
    from: Place,
    /// The folder, made when there is none: oci:FOLDER:TAG.
    #[arg(value_parser = Place::in_folder)]
    to: Place,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    tls: Tls,
}

/// Copies the artifact and its signatures.
///
/// # Errors
/// It is not there or damaged, or the folder cannot be written.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    copy_and_show(&arguments.from, &arguments.to, &arguments.registries.access(&arguments.tls), format)
}
