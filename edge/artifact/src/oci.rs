//! OCI's documents, as far as an artifact needs them.
//!
//! Unknown fields are ignored, as the specification demands of readers.
//!
//! Source: OCI image specification 1.1, descriptor.md, image-index.md, manifest.md.

use std::collections::BTreeMap;

use protocol::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of a config that says nothing.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The content of such a config.
pub const EMPTY_CONTENT: &[u8] = b"{}";
/// Artifact type of a task.
pub const TASK: &str = "application/vnd.spore.task.v1";
/// Media type of a task's [`crate::Config`].
pub const CONFIG: &str = "application/vnd.spore.task.config.v1+json";
/// Media type of an image that Xen boots.
pub const IMAGE: &str = "application/vnd.spore.task.image.v1";

/// Key of an index: the tenant that the task belongs to.
pub const TENANT_KEY: &str = "dev.spore.tenant";
/// Key of an index: the task's name.
pub const TASK_KEY: &str = "dev.spore.task";
/// Key of an index: the task's version.
pub const VERSION_KEY: &str = "dev.spore.version";
/// Key of a layer: the file's name.
pub const TITLE_KEY: &str = "org.opencontainers.image.title";
/// Key of a descriptor in a folder's index: the tag.
pub const REF_NAME_KEY: &str = "org.opencontainers.image.ref.name";

/// The largest index or manifest that is read. Registries must take 4 MiB; a task's are below 2 KiB.
pub const MOST_MANIFEST_BYTES: u64 = 256 * 1024;
/// The largest image, config or signature that is read.
pub const MOST_BLOB_BYTES: u64 = 64 * 1024 * 1024;

/// Notes beside a document, by key.
pub type Annotations = BTreeMap<String, String>;

/// Content by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// What the artifact is that it is the manifest of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

impl Descriptor {
    /// That of some bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            size: bytes.len() as u64,
            digest: Digest::of(bytes),
            artifact_type: None,
            platform: None,
            annotations: Annotations::new(),
        }
    }
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The CPU, by Go's name: `amd64`, `arm`, `arm64`.
    pub architecture: String,
    /// The operating system: `spore`, for a task is its own.
    pub os: String,
    /// The CPU's variant, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Manifests that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u8,
    /// [`INDEX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

impl Index {
    /// One with these manifests.
    #[must_use]
    pub fn of(manifests: Vec<Descriptor>) -> Self {
        let media_type = Some(INDEX.to_owned());
        Self { schema_version: 2, media_type, artifact_type: None, manifests, annotations: Annotations::new() }
    }
}

/// A config and layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u8,
    /// [`MANIFEST`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What is said about the layers.
    pub config: Descriptor,
    /// The content.
    pub layers: Vec<Descriptor>,
    /// What this says something about, such as what a signature signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

impl Manifest {
    /// One of this type, with config and one layer.
    #[must_use]
    pub fn of(artifact_type: &str, config: Descriptor, layer: Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            artifact_type: Some(artifact_type.to_owned()),
            config,
            layers: vec![layer],
            subject: None,
            annotations: Annotations::new(),
        }
    }
}

/// Reads a document; `what` names it in the error.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], what: impl FnOnce() -> String) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::malformed(what(), error))
}

/// Writes a document; equal ones are equal bytes.
pub(crate) fn write<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("maps have text as keys")
}
