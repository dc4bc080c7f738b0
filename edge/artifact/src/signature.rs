//! Whose an artifact is: signatures in the two forms that cosign writes.
//!
//! - A Sigstore bundle, version 0.3: a manifest whose subject is the artifact, with one layer: an in-toto statement
//!   about the artifact's digest in a DSSE envelope. cosign 3 writes these, and [`sign`] does.
//! - "Simple signing": the tag `sha256-<digest>.sig`, whose layers are statements about the digest, each with its
//!   signature as an annotation. cosign 2 writes these; they are read.
//!
//! Only keys count: certificates, transparency logs and time stamps are not looked at, so that a board can verify
//! offline and whatever its clock says.
//!
//! Sources: sigstore/protobuf-specs, sigstore_bundle.proto; sigstore/cosign, specs/BUNDLE_SPEC.md and
//! specs/SIGNATURE_SPEC.md.

use base64ct::{Base64, Encoding};
use protocol::{Digest, Envelope, PublicKey, SecretKey, TaskName, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::oci::{self, Descriptor, EMPTY, EMPTY_CONTENT, INDEX, Manifest};
use crate::release::Release;
use crate::source::{Reference, Source, Tag, Target};

/// Media type and artifact type of a bundle.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What the envelope in a bundle holds.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// The kind of statement that says "I have signed this".
const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Media type of a statement in the older form.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Where the older form keeps the signature.
const SIMPLE_SIGNATURE_KEY: &str = "dev.cosignproject.cosign/signature";
/// The most signatures of an artifact that are looked at.
const MOST_SIGNATURES: usize = 16;
/// The largest statement or bundle that is read.
const MOST_BYTES: u64 = 64 * 1024;

/// An artifact whose signature was verified. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    release: Release,
    key: String,
}

impl Trusted {
    /// The artifact.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.release.tenant
    }

    /// The task's name.
    #[must_use]
    pub fn task(&self) -> &TaskName {
        &self.release.task
    }

    /// The id of the key that has signed it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// A bundle, as far as it is needed with a key. What else may be in it is ignored, as its specification demands.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: BundleEnvelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<PublicKeyHint>,
}

#[derive(Serialize, Deserialize)]
struct PublicKeyHint {
    hint: String,
}

/// [`Envelope`] with whatever else others write into it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundleEnvelope {
    payload: String,
    payload_type: String,
    signatures: Vec<BundleSignature>,
}

#[derive(Serialize, Deserialize)]
struct BundleSignature {
    sig: String,
}

/// An in-toto statement, as far as it names what it is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    sha256: String,
}

/// A statement in the older form.
#[derive(Deserialize)]
struct SimpleSigning {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: CriticalImage,
}

#[derive(Deserialize)]
struct CriticalImage {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: Digest,
}

/// Signs an artifact where it lies.
///
/// # Errors
/// It is not there, or cannot be written to.
pub fn sign(target: &(impl Target + ?Sized), digest: Digest, key: &SecretKey) -> Result<Digest, Error> {
    let (_, index) = target.resolve(&Reference::Digest(digest))?;
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": { "sha256": digest.hex() } }],
        "predicateType": PREDICATE,
        "predicate": {},
    });
    let envelope = Envelope::seal(STATEMENT, statement.to_string().as_bytes(), key);
    let hint = Base64::encode_string(&Sha256::digest(key.public().to_der()));
    let bundle = oci::write(&Bundle {
        media_type: BUNDLE.to_owned(),
        verification_material: VerificationMaterial { public_key: Some(PublicKeyHint { hint }) },
        dsse_envelope: BundleEnvelope {
            payload: envelope.payload,
            payload_type: envelope.payload_type,
            signatures: envelope.signatures.into_iter().map(|one| BundleSignature { sig: one.sig }).collect(),
        },
    });
    let mut manifest = Manifest::of(BUNDLE, Descriptor::of(EMPTY, EMPTY_CONTENT), Descriptor::of(BUNDLE, &bundle));
    manifest.subject = Some(Descriptor::of(INDEX, &index));
    let notes = [("dev.sigstore.bundle.content", "dsse-envelope"), ("dev.sigstore.bundle.predicateType", PREDICATE)];
    manifest.annotations.extend(notes.map(|(key, value)| (key.to_owned(), value.to_owned())));
    target.put_blob(&manifest.config, EMPTY_CONTENT)?;
    target.put_blob(&manifest.layers[0], &bundle)?;
    target.put_referrer(digest, &manifest)
}

/// Verifies that an artifact is a task of the tenant, and that one of the tenant's keys has signed it.
///
/// # Errors
/// It is missing or damaged, another tenant's, not signed, or signed by none of these keys: then with what is wrong
/// with each signature.
pub fn verify(
    source: &(impl Source + ?Sized),
    digest: Digest,
    tenant: &Tenant,
    keys: &[PublicKey],
) -> Result<Trusted, Error> {
    let release = Release::read(source, digest)?;
    if release.tenant != *tenant {
        let owner = release.tenant.to_string();
        return Err(Error::OtherTenant { digest, owner, tenant: tenant.clone() });
    }
    let mut reasons = Vec::new();
    for signature in signatures(source, digest)? {
        match signature.and_then(|signature| signature.key(source, digest, keys)) {
            Ok(key) => return Ok(Trusted { release, key }),
            Err(reason) => reasons.push(reason.to_string()),
        }
    }
    match reasons.is_empty() {
        true => Err(Error::NotSigned { digest }),
        false => Err(Error::NotSignedByTenant { digest, tenant: tenant.clone(), reasons }),
    }
}

/// Where a signature is and of what form.
enum Found {
    Bundle(Descriptor),
    Simple(Descriptor),
}

/// The signatures that a place has of an artifact; one that cannot be read is an error of its own and hides no other.
fn signatures(source: &(impl Source + ?Sized), digest: Digest) -> Result<Vec<Result<Found, Error>>, Error> {
    let mut found = Vec::new();
    for referrer in source.referrers(digest)? {
        match source.manifest_of(referrer.digest) {
            // Others may refer to it too: bills of materials, say. They are no signatures.
            Ok(manifest) => found.extend(
                manifest.layers.into_iter().filter(|layer| layer.media_type == BUNDLE).map(Found::Bundle).map(Ok),
            ),
            Err(error) => found.push(Err(error)),
        }
    }
    if let Some(bytes) = source.manifest(&Reference::Tag(Tag::of_signatures(digest)))? {
        let manifest: Manifest = oci::read(&bytes, || format!("the signatures of {digest} in {}", source.place()))?;
        let simple = manifest.layers.into_iter().filter(|layer| layer.media_type == SIMPLE_SIGNING);
        found.extend(simple.map(Found::Simple).map(Ok));
    }
    found.truncate(MOST_SIGNATURES);
    Ok(found)
}

impl Found {
    /// The id of the key that has signed the artifact in this.
    fn key(self, source: &(impl Source + ?Sized), digest: Digest, keys: &[PublicKey]) -> Result<String, Error> {
        let (Self::Bundle(blob) | Self::Simple(blob)) = &self;
        let name = format!("signature {}", blob.digest);
        let refused = |reason: &dyn ToString| Error::malformed(name.clone(), reason.to_string());
        if blob.size > MOST_BYTES {
            return Err(Error::TooLarge { what: name, bytes: blob.size, most: MOST_BYTES });
        }
        let content = source.whole_blob(blob)?;
        let (key, about) = match self {
            Self::Bundle(_) => open_bundle(&content, keys).map_err(|reason| refused(&reason))?,
            Self::Simple(blob) => open_simple(&blob, &content, keys).map_err(|reason| refused(&reason))?,
        };
        if about != digest {
            return Err(refused(&format!("it signs {about}")));
        }
        Ok(key)
    }
}

/// Who signed a bundle, and what it is about.
fn open_bundle(bytes: &[u8], keys: &[PublicKey]) -> Result<(String, Digest), String> {
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if bundle.media_type != BUNDLE {
        return Err(format!("a bundle of the type \"{}\", not {BUNDLE}", bundle.media_type.escape_debug()));
    }
    let sealed = bundle.dsse_envelope;
    let signatures = sealed.signatures.into_iter();
    let envelope = Envelope {
        payload: sealed.payload,
        payload_type: sealed.payload_type,
        signatures: signatures
            .map(|one| protocol::envelope::EnvelopeSignature { keyid: String::new(), sig: one.sig })
            .collect(),
    };
    let (payload, key) = envelope.open(STATEMENT, keys).map_err(|error| error.to_string())?;
    let statement: Statement = serde_json::from_slice(&payload).map_err(|error| error.to_string())?;
    if statement.predicate_type != PREDICATE {
        return Err(format!("a statement of the kind \"{}\"", statement.predicate_type.escape_debug()));
    }
    let [subject] = &*statement.subject else {
        return Err(format!("a statement about {} things", statement.subject.len()));
    };
    let about = format!("sha256:{}", subject.digest.sha256).parse::<Digest>().map_err(|error| error.to_string())?;
    Ok((key.id(), about))
}

/// Who signed a statement in the older form, and what it is about.
fn open_simple(blob: &Descriptor, content: &[u8], keys: &[PublicKey]) -> Result<(String, Digest), String> {
    let signature = blob.annotations.get(SIMPLE_SIGNATURE_KEY).ok_or("without a signature")?;
    let signature = Base64::decode_vec(signature).map_err(|_| "the signature is not base64")?;
    let key = keys.iter().find(|key| key.verifies(content, &signature)).ok_or_else(|| {
        let ids: Vec<_> = keys.iter().map(PublicKey::id).collect();
        format!("not by one of the keys {}", ids.join(", "))
    })?;
    let statement: SimpleSigning = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    Ok((key.id(), statement.critical.image.docker_manifest_digest))
}
