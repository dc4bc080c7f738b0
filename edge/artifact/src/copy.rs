//! An artifact with its signatures, from one place to another.

use protocol::Digest;

use crate::Error;
use crate::oci::{self, INDEX, MANIFEST, Manifest};
use crate::source::{Reference, Source, Tag, Target};

/// Copies an artifact and what refers to it (its signatures), each part checked against its digest; blobs that are
/// there already are not sent again. With a tag the target calls it by that name.
///
/// # Errors
/// A part is missing or damaged, or the target cannot be written.
pub fn copy(
    source: &(impl Source + ?Sized),
    digest: Digest,
    target: &(impl Target + ?Sized),
    tag: Option<&Tag>,
) -> Result<(), Error> {
    let (_, bytes) = source.resolve(&Reference::Digest(digest))?;
    for entry in source.index(digest)?.manifests {
        copy_manifest(source, &Reference::Digest(entry.digest), target)?;
    }
    // Last, so that an index that is there is whole.
    let name = tag.map_or(Reference::Digest(digest), |tag| Reference::Tag(tag.clone()));
    target.put_manifest(INDEX, &bytes, &name)?;
    for referrer in source.referrers(digest)? {
        let manifest = source.manifest_of(referrer.digest)?;
        // A list of referrers is not trusted: only what refers to this is copied.
        if manifest.subject.as_ref().is_some_and(|subject| subject.digest == digest) {
            copy_blobs(source, &manifest, target)?;
            target.put_referrer(digest, &manifest)?;
        }
    }
    let signatures = Reference::Tag(Tag::of_signatures(digest));
    if source.manifest(&signatures)?.is_some() {
        copy_manifest(source, &signatures, target)?;
    }
    Ok(())
}

/// Copies a manifest after its blobs.
fn copy_manifest(
    source: &(impl Source + ?Sized),
    reference: &Reference,
    target: &(impl Target + ?Sized),
) -> Result<(), Error> {
    let (digest, bytes) = source.resolve(reference)?;
    let manifest: Manifest = oci::read(&bytes, || format!("the manifest {digest} in {}", source.place()))?;
    copy_blobs(source, &manifest, target)?;
    target.put_manifest(MANIFEST, &bytes, reference)
}

fn copy_blobs(
    source: &(impl Source + ?Sized),
    manifest: &Manifest,
    target: &(impl Target + ?Sized),
) -> Result<(), Error> {
    for descriptor in std::iter::once(&manifest.config).chain(&manifest.layers) {
        if !target.has_blob(descriptor)? {
            target.put_blob(descriptor, &source.whole_blob(descriptor)?)?;
        }
    }
    Ok(())
}
