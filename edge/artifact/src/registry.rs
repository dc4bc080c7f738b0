//! A registry that speaks OCI's distribution protocol.
//!
//! Source: OCI distribution specification 1.1.

use std::io::{self, Read};
use std::time::Duration;

use protocol::{Digest, Repository};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::Error;
use crate::oci::{self, Descriptor, INDEX, Index, MANIFEST, Manifest};
use crate::source::{Reference, Source, Tag, Target, read_manifest};

/// The longest wait for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait for the beginning of an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// The most of a refusal's text that is shown.
const MOST_ERROR_BYTES: u64 = 1000;

/// One repository of a registry.
#[derive(Debug, Clone)]
pub struct Registry {
    repository: Repository,
    /// `http://host:port/v2/path`.
    base: String,
    agent: Agent,
}

impl Registry {
    /// The repository; nothing is asked yet.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        let (host, path) = repository.as_str().split_once('/').unwrap_or((repository.as_str(), ""));
        let base = format!("http://{host}/v2/{path}");
        let config = Agent::config_builder()
            // A status is an answer: what it means depends on the question.
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_PATIENCE))
            .timeout_recv_response(Some(ANSWER_PATIENCE))
            .user_agent(concat!("spore/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { base, repository, agent: config.new_agent() }
    }

    fn get(&self, path: &str, accept: &str, from: u64) -> Result<Response<Body>, Error> {
        let url = format!("{}/{path}", self.base);
        let mut request = self.agent.get(&url).header("accept", accept);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().map_err(|error| Error::Registry { url, reason: error.to_string() })
    }

    /// The answer's content when it is the wanted one, nothing when there is no such thing.
    fn content(&self, path: &str, accept: &str) -> Result<Option<Vec<u8>>, Error> {
        let response = self.get(path, accept, 0)?;
        match response.status() {
            StatusCode::OK => {
                let name = || format!("{}/{path}", self.base);
                read_manifest(response.into_body().into_reader(), name).map(Some)
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.unexpected(path, response)),
        }
    }

    /// An answer that says no, with what the registry says about it.
    fn unexpected(&self, path: &str, response: Response<Body>) -> Error {
        let status = response.status();
        let mut text = String::new();
        // What cannot be read adds nothing to the status.
        let _ = response.into_body().into_reader().take(MOST_ERROR_BYTES).read_to_string(&mut text);
        Error::Registry {
            url: format!("{}/{path}", self.base),
            reason: format!("{status} {}", text.trim().escape_debug()),
        }
    }

    /// Puts an index or manifest there; whether the registry keeps lists of referrers itself.
    fn put(&self, media_type: &str, bytes: &[u8], name: &str) -> Result<bool, Error> {
        let path = format!("manifests/{name}");
        let url = format!("{}/{path}", self.base);
        let sent = self.agent.put(&url).header("content-type", media_type).send(bytes);
        let response = sent.map_err(|error| Error::Registry { url, reason: error.to_string() })?;
        match response.status() {
            StatusCode::CREATED => Ok(response.headers().contains_key("oci-subject")),
            _ => Err(self.unexpected(&path, response)),
        }
    }

    /// Referrers by the tag that stands for the list where the registry has no interface for it.
    fn tagged_referrers(&self, subject: Digest) -> Result<Index, Error> {
        let tag = Tag::of_referrers(subject);
        match self.content(&format!("manifests/{tag}"), INDEX)? {
            None => Ok(Index::of(Vec::new())),
            Some(bytes) => oci::read(&bytes, || format!("the referrers of {subject} in {}", self.place())),
        }
    }
}

impl Source for Registry {
    fn place(&self) -> String {
        self.repository.to_string()
    }

    fn manifest(&self, reference: &Reference) -> Result<Option<Vec<u8>>, Error> {
        self.content(&format!("manifests/{}", name(reference)), &format!("{INDEX}, {MANIFEST}"))
    }

    fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<Box<dyn Read + '_>, Error> {
        let path = format!("blobs/{}", descriptor.digest);
        let response = self.get(&path, "*/*", from)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if from > 0 => Ok(Box::new(response.into_body().into_reader())),
            StatusCode::OK => {
                // A registry may not know of ranges: then what is there already comes again.
                let mut reader = response.into_body().into_reader();
                let skipped = io::copy(&mut reader.by_ref().take(from), &mut io::sink());
                skipped.map_err(|error| Error::malformed(format!("the blob {}", descriptor.digest), error))?;
                Ok(Box::new(reader))
            }
            StatusCode::NOT_FOUND => {
                Err(Error::Missing { place: self.place(), what: format!("blob {}", descriptor.digest) })
            }
            _ => Err(self.unexpected(&path, response)),
        }
    }

    fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        match self.content(&format!("referrers/{subject}"), INDEX)? {
            Some(bytes) => {
                let index: Index = oci::read(&bytes, || format!("the referrers of {subject} in {}", self.place()))?;
                Ok(index.manifests)
            }
            None => Ok(self.tagged_referrers(subject)?.manifests),
        }
    }
}

impl Target for Registry {
    fn has_blob(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        let path = format!("blobs/{}", descriptor.digest);
        let url = format!("{}/{path}", self.base);
        let response =
            self.agent.head(&url).call().map_err(|error| Error::Registry { url, reason: error.to_string() })?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.unexpected(&path, response)),
        }
    }

    fn put_blob(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        let url = format!("{}/blobs/uploads/", self.base);
        let failed =
            |url: &str, reason: &dyn ToString| Error::Registry { url: url.to_owned(), reason: reason.to_string() };
        let response = self.agent.post(&url).send_empty().map_err(|error| failed(&url, &error))?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.unexpected("blobs/uploads/", response));
        }
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| failed(&url, &"no location for the upload"))?;
        // It may be relative to the registry, and has a query of its own.
        let host = self.base.split_inclusive('/').take(3).collect::<String>();
        let place = match location.strip_prefix('/') {
            Some(path) => format!("{host}{path}"),
            None => location.to_owned(),
        };
        let digest = descriptor.digest.to_string().replace(':', "%3A");
        let place = format!("{place}{}digest={digest}", if place.contains('?') { '&' } else { '?' });
        let sent = self.agent.put(&place).header("content-type", "application/octet-stream").send(bytes);
        let response = sent.map_err(|error| failed(&place, &error))?;
        match response.status() {
            StatusCode::CREATED => Ok(()),
            _ => Err(self.unexpected("blobs/uploads/", response)),
        }
    }

    fn put_manifest(&self, media_type: &str, bytes: &[u8], reference: &Reference) -> Result<(), Error> {
        self.put(media_type, bytes, &name(reference)).map(drop)
    }

    fn put_referrer(&self, subject: Digest, manifest: &Manifest) -> Result<Digest, Error> {
        let bytes = oci::write(manifest);
        let mut entry = Descriptor::of(MANIFEST, &bytes);
        let digest = entry.digest;
        if self.put(MANIFEST, &bytes, &digest.to_string())? {
            return Ok(digest);
        }
        entry.artifact_type = manifest.artifact_type.clone();
        entry.annotations = manifest.annotations.clone();
        let mut index = self.tagged_referrers(subject)?;
        index.manifests.retain(|old| old.digest != digest);
        index.manifests.push(entry);
        self.put(INDEX, &oci::write(&index), &Tag::of_referrers(subject).to_string())?;
        Ok(digest)
    }
}

/// A reference as it stands in a URL.
fn name(reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => tag.to_string(),
        Reference::Digest(digest) => digest.to_string(),
    }
}
