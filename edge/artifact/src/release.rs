//! A task as an index describes it, before any image is fetched.

use std::fmt::Display;
use std::str::FromStr;

use protocol::{Digest, TaskName, Tenant, document};

use crate::Error;
use crate::architecture::Architecture;
use crate::config::Config;
use crate::oci::{self, Descriptor, Index, TASK_KEY, TENANT_KEY, VERSION_KEY};
use crate::source::Source;

/// A version of a task, for some CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The index's digest: the release's name.
    pub digest: Digest,
    /// Whose task it is.
    pub tenant: Tenant,
    /// The task.
    pub task: TaskName,
    /// Its version.
    pub version: String,
    index: Index,
}

/// What a release has for one CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// What it takes, gives and needs.
    pub config: Config,
    /// What Xen boots.
    pub image: Descriptor,
}

impl Release {
    /// Reads a release's index.
    ///
    /// # Errors
    /// There is none, it is damaged, or it is no task's.
    pub fn read(source: &(impl Source + ?Sized), digest: Digest) -> Result<Self, Error> {
        let index = source.index(digest)?;
        let what = || format!("{digest} in {}", source.place());
        if index.artifact_type.as_deref() != Some(oci::TASK) {
            return Err(Error::malformed(what(), format!("no task: its artifactType is not {}", oci::TASK)));
        }
        let tenant = note(&index, TENANT_KEY, what)?;
        let (task, version) = (note(&index, TASK_KEY, what)?, note(&index, VERSION_KEY, what)?);
        Ok(Self { digest, tenant, task, version, index })
    }

    /// The CPUs that it has images for.
    #[must_use]
    pub fn architectures(&self) -> Vec<Architecture> {
        Architecture::ALL.into_iter().filter(|architecture| self.entry(*architecture).is_some()).collect()
    }

    fn entry(&self, architecture: Architecture) -> Option<&Descriptor> {
        let platform = architecture.platform();
        self.index.manifests.iter().find(|entry| entry.platform.as_ref() == Some(&platform))
    }

    /// What it has for a CPU.
    ///
    /// # Errors
    /// Nothing, or what is there is damaged or belongs to another task.
    pub fn image(&self, source: &(impl Source + ?Sized), architecture: Architecture) -> Result<Image, Error> {
        let entry = self.entry(architecture).ok_or_else(|| Error::OtherArchitecture {
            digest: self.digest,
            wanted: architecture.to_string(),
            has: self.architectures().iter().map(ToString::to_string).collect(),
        })?;
        let manifest = source.manifest_of(entry.digest)?;
        let what = || format!("the manifest {} in {}", entry.digest, source.place());
        let [image] = &*manifest.layers else {
            return Err(Error::malformed(what(), format!("{} layers, a task has one", manifest.layers.len())));
        };
        if manifest.config.media_type != oci::CONFIG || image.media_type != oci::IMAGE {
            return Err(Error::malformed(what(), format!("no task: wants {} and {}", oci::CONFIG, oci::IMAGE)));
        }
        let config: Config = document::decode(&source.whole_blob(&manifest.config)?)?;
        if config.task != self.task || config.task_version != self.version {
            let found = format!("{} {}", config.task, config.task_version);
            return Err(Error::malformed(
                what(),
                format!("of {found}, the index is of {} {}", self.task, self.version),
            ));
        }
        Ok(Image { config, image: image.clone() })
    }
}

/// A note of the index, as what it must be.
fn note<T: FromStr<Err: Display>>(index: &Index, key: &str, what: impl Fn() -> String) -> Result<T, Error> {
    let text = index.annotations.get(key).ok_or_else(|| Error::malformed(what(), format!("without the key {key}")))?;
    text.parse().map_err(|error| Error::malformed(what(), format!("{key}: {error}")))
}
