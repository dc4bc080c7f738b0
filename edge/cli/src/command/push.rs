//! `spore push`.

use anyhow::Result;

use super::copy_and_show;
use crate::output::Format;
use crate::place::Place;
use crate::reach::{Registries, Tls};

/// From where to where.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The artifact: oci:FOLDER:TAG or oci:FOLDER@sha256:...
    #[arg(value_parser = Place::in_folder)]
    from: Place,
    /// The registry: HOST/PATH:TAG.
    #[arg(value_parser = Place::in_registry)]
    to: Place,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    tls: Tls,
}

/// Copies the artifact and its signatures.
///
/// # Errors
/// It is not there or damaged, or the registry does not take it.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    copy_and_show(&arguments.from, &arguments.to, &arguments.registries.access(&arguments.tls), format)
}
