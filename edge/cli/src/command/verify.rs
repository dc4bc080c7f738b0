//! `spore verify`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use artifact::verify;
use protocol::{PublicKey, Tenant};

use super::read;
use crate::output::{Format, Shown};
use crate::place::Place;
use crate::reach::{Registries, Tls};

/// What is verified, and with what.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The artifact: oci:FOLDER:TAG or HOST/PATH:TAG, or with @sha256:... instead of the tag.
    place: Place,
    /// Whose task it is to be.
    #[arg(long)]
    tenant: Tenant,
    /// The tenant's public key; several for a tenant with several.
    #[arg(long, required = true)]
    key: Vec<PathBuf>,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    tls: Tls,
}

/// Verifies the artifact's parts, whose it is, and who signed it.
///
/// # Errors
/// Any of it does not hold: the message says which part and why.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let key = |path: &PathBuf| {
        PublicKey::from_pem(&read(path, "the public key")?).with_context(|| path.display().to_string())
    };
    let keys: Vec<_> = arguments.key.iter().map(key).collect::<Result<_>>()?;
    let source = arguments.place.open(&arguments.registries.access(&arguments.tls))?;
    let (digest, _) = source.resolve(&arguments.place.reference)?;
    let trusted = verify(&*source, digest, &arguments.tenant, &keys)?;
    for architecture in trusted.release().architectures() {
        source.whole_blob(&trusted.release().image(&*source, architecture)?.image)?;
    }
    Shown::of(&*source, trusted.release(), Some(trusted.key()))?.print(format)
}
