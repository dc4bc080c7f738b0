//! What can go wrong with an artifact. Each message names the thing at fault.

use std::io;
use std::path::{Path, PathBuf};

use protocol::{Digest, DocumentError, Tenant};
use thiserror::Error;

/// Why an artifact, or a part of one, is not there or not taken.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no such thing.
    #[error("{place} has no {what}")]
    Missing {
        /// Where it was looked for.
        place: String,
        /// What was looked for.
        what: String,
    },
    /// The content is not what its digest says.
    #[error("{what} is damaged: its content has the digest {found}, not {expected}")]
    Damaged {
        /// What it was.
        what: String,
        /// The digest that it is known by.
        expected: Digest,
        /// That of the content.
        found: Digest,
    },
    /// The content is shorter or longer than its descriptor says.
    #[error("{what} is {} at {found} of {expected} bytes", if found < expected { "cut off" } else { "not at its end" })]
    WrongSize {
        /// What it was.
        what: String,
        /// Its size by its descriptor.
        expected: u64,
        /// How much came.
        found: u64,
    },
    /// Larger than anything of its kind.
    #[error("{what} has {bytes} bytes, more than the {most} that are taken")]
    TooLarge {
        /// What it is.
        what: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// Not what it should be.
    #[error("{what}: {reason}")]
    Malformed {
        /// What it is.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing says whose it is.
    #[error("{digest} is not signed: sign it with `spore sign`")]
    NotSigned {
        /// The artifact.
        digest: Digest,
    },
    /// None of its signatures is the tenant's.
    #[error("{digest} is not signed by tenant \"{tenant}\": {}", reasons.join("; "))]
    NotSignedByTenant {
        /// The artifact.
        digest: Digest,
        /// Whose it was to be.
        tenant: Tenant,
        /// What is wrong with each signature.
        reasons: Vec<String>,
    },
    /// Someone else's task.
    #[error("{digest} is a task of tenant \"{owner}\", not of \"{tenant}\"")]
    OtherTenant {
        /// The artifact.
        digest: Digest,
        /// Whose it says it is.
        owner: String,
        /// Whose it was to be.
        tenant: Tenant,
    },
    /// It has no image for the CPU.
    #[error("{digest} has no image for {wanted}; it has {}", list(has))]
    OtherArchitecture {
        /// The artifact.
        digest: Digest,
        /// The CPU, as OCI writes it.
        wanted: String,
        /// Those that it has images for.
        has: Vec<String>,
    },
    /// The store cannot hold it beside what must stay.
    #[error("the store has no room for {bytes} bytes: {pinned} of its {most} are in use or kept to go back to")]
    NoRoom {
        /// What it would need.
        bytes: u64,
        /// What cannot be evicted.
        pinned: u64,
        /// The store's limit.
        most: u64,
    },
    /// A download that broke off.
    #[error("{what} broke off after {there} of {bytes} bytes: {reason}; try again to go on from there")]
    BrokenOff {
        /// What it was.
        what: String,
        /// How much of it is there.
        there: u64,
        /// Its size.
        bytes: u64,
        /// What the system says.
        reason: io::Error,
    },
    /// A registry that does not answer as one.
    #[error("{url}: {reason}")]
    Registry {
        /// What was asked.
        url: String,
        /// What came back.
        reason: String,
    },
    /// A registry, or who gives out its tokens, that does not let in who asks.
    #[error("{url}: {reason}")]
    NotLetIn {
        /// What was asked.
        url: String,
        /// What came back, and what to do.
        reason: String,
    },
    /// A file for TLS that cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::FileError),
    /// A file or folder that cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl Error {
    /// Whether the same may work later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Registry { .. } | Self::BrokenOff { .. } => true,
            Self::WrongSize { expected, found, .. } => found < expected,
            _ => false,
        }
    }

    /// A document that cannot be read.
    pub(crate) fn malformed(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Malformed { what: what.into(), reason: reason.to_string() }
    }

    /// For `map_err`: the file that could not be used.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::File { path, reason }
    }
}

impl From<DocumentError> for Error {
    fn from(error: DocumentError) -> Self {
        Self::malformed("an artifact's document", error)
    }
}
