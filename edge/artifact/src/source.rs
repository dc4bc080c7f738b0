//! Where artifacts come from and go to.

use std::fmt::{self, Display, Formatter};
use std::io::Read;
use std::str::FromStr;

use protocol::Digest;

use crate::Error;
use crate::oci::{self, Descriptor, Index, MOST_BLOB_BYTES, MOST_MANIFEST_BYTES, Manifest};

/// A name for a version that may change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// The tag under which registries without an interface for referrers list them.
    ///
    /// Source: OCI distribution specification 1.1, "Referrers Tag Schema".
    #[must_use]
    pub fn of_referrers(digest: Digest) -> Self {
        Self(format!("sha256-{}", digest.hex()))
    }

    /// The tag of signatures in cosign's older form.
    #[must_use]
    pub fn of_signatures(digest: Digest) -> Self {
        Self(format!("sha256-{}.sig", digest.hex()))
    }
}

impl FromStr for Tag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let may_begin = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let may_follow = |byte: u8| may_begin(byte) || byte == b'.' || byte == b'-';
        if text.len() <= 128 && text.bytes().next().is_some_and(may_begin) && text.bytes().all(may_follow) {
            return Ok(Self(text.to_owned()));
        }
        let rule = "a tag has 1 to 128 letters, digits and ._-, and does not begin with . or -";
        Err(Error::malformed(format!("the tag \"{}\"", text.escape_debug()), rule))
    }
}

impl Display for Tag {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which index or manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// What the tag names now.
    Tag(Tag),
    /// This very one.
    Digest(Digest),
}

impl Display for Reference {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(formatter, "tag \"{tag}\""),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

/// Where artifacts can be read. What it gives is not trusted: the provided methods check it.
pub trait Source {
    /// What it is called in messages.
    fn place(&self) -> String;

    /// The bytes of an index or manifest, unchecked; nothing when there is none.
    ///
    /// # Errors
    /// It cannot be asked, or gives more than [`MOST_MANIFEST_BYTES`].
    fn manifest(&self, reference: &Reference) -> Result<Option<Vec<u8>>, Error>;

    /// The bytes of a blob from the one with this number on, unchecked.
    ///
    /// # Errors
    /// There is none, or it cannot be asked.
    fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<Box<dyn Read + '_>, Error>;

    /// Manifests that say they have this subject, unchecked.
    ///
    /// # Errors
    /// It cannot be asked.
    fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, Error>;

    /// The digest that a reference stands for, and its document.
    ///
    /// # Errors
    /// There is none, or it is not what its digest says.
    fn resolve(&self, reference: &Reference) -> Result<(Digest, Vec<u8>), Error> {
        let missing = || Error::Missing { place: self.place(), what: reference.to_string() };
        let bytes = self.manifest(reference)?.ok_or_else(missing)?;
        let found = Digest::of(&bytes);
        match reference {
            Reference::Digest(expected) if *expected != found => {
                Err(Error::Damaged { what: format!("{reference} in {}", self.place()), expected: *expected, found })
            }
            _ => Ok((found, bytes)),
        }
    }

    /// An index by its digest.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    fn index(&self, digest: Digest) -> Result<Index, Error> {
        let (_, bytes) = self.resolve(&Reference::Digest(digest))?;
        oci::read(&bytes, || format!("the index {digest} in {}", self.place()))
    }

    /// A manifest by its digest.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    fn manifest_of(&self, digest: Digest) -> Result<Manifest, Error> {
        let (_, bytes) = self.resolve(&Reference::Digest(digest))?;
        oci::read(&bytes, || format!("the manifest {digest} in {}", self.place()))
    }

    /// A blob, whole and checked.
    ///
    /// # Errors
    /// There is none, it is cut off or damaged, or larger than [`MOST_BLOB_BYTES`].
    fn whole_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let what = || format!("the blob {} in {}", descriptor.digest, self.place());
        check_size(descriptor.size, MOST_BLOB_BYTES, what)?;
        let mut bytes = Vec::new();
        // One byte more than there may be tells a blob that is too long.
        let mut reader = self.blob(descriptor, 0)?.take(descriptor.size + 1);
        reader.read_to_end(&mut bytes).map_err(|error| Error::malformed(what(), error))?;
        check(descriptor, bytes.len() as u64, || Digest::of(&bytes), what)?;
        Ok(bytes)
    }
}

/// Where artifacts can be written too.
pub trait Target: Source {
    /// Whether a blob is there already.
    ///
    /// # Errors
    /// It cannot be asked.
    fn has_blob(&self, descriptor: &Descriptor) -> Result<bool, Error>;

    /// Puts a blob there.
    ///
    /// # Errors
    /// It cannot be written.
    fn put_blob(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error>;

    /// Puts an index or manifest there.
    ///
    /// # Errors
    /// It cannot be written.
    fn put_manifest(&self, media_type: &str, bytes: &[u8], reference: &Reference) -> Result<(), Error>;

    /// Puts a manifest with a subject there, so that [`Source::referrers`] finds it.
    ///
    /// # Errors
    /// It cannot be written.
    fn put_referrer(&self, subject: Digest, manifest: &Manifest) -> Result<Digest, Error>;
}

/// Refuses what is larger than anything of its kind.
pub(crate) fn check_size(bytes: u64, most: u64, what: impl Fn() -> String) -> Result<(), Error> {
    if bytes > most { Err(Error::TooLarge { what: what(), bytes, most }) } else { Ok(()) }
}

/// Reads an index or manifest that may be at most [`MOST_MANIFEST_BYTES`] long.
pub(crate) fn read_manifest(reader: impl Read, what: impl Fn() -> String) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut reader = reader.take(MOST_MANIFEST_BYTES + 1);
    reader.read_to_end(&mut bytes).map_err(|error| Error::malformed(what(), error))?;
    check_size(bytes.len() as u64, MOST_MANIFEST_BYTES, what)?;
    Ok(bytes)
}

/// Compares content with its descriptor.
pub(crate) fn check(
    descriptor: &Descriptor,
    size: u64,
    digest: impl FnOnce() -> Digest,
    what: impl Fn() -> String,
) -> Result<(), Error> {
    if size != descriptor.size {
        return Err(Error::WrongSize { what: what(), expected: descriptor.size, found: size });
    }
    let found = digest();
    if found != descriptor.digest {
        return Err(Error::Damaged { what: what(), expected: descriptor.digest, found });
    }
    Ok(())
}
