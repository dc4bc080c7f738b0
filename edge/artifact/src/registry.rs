//! A registry that speaks OCI's distribution protocol.
//!
//! Source: OCI distribution specification 1.1.

mod answer;
mod connection;
mod credentials;
mod token;

use std::io::{self, Read};

use protocol::{Digest, Repository};
use ureq::Body;
use ureq::http::{Request, Response, StatusCode};

use crate::Error;
use crate::oci::{self, Descriptor, INDEX, Index, MANIFEST, Manifest};
use crate::source::{Reference, Source, Tag, Target, read_manifest};

pub use connection::Access;
use connection::Connection;

/// One repository of a registry.
#[derive(Debug)]
pub struct Registry {
    repository: Repository,
    connection: Connection,
    /// `https://host:port/v2/path`.
    base: String,
}

impl Registry {
    /// The repository; nothing is asked yet.
    ///
    /// # Errors
    /// A file that `access` names cannot be used.
    pub fn new(repository: Repository, access: &Access) -> Result<Self, Error> {
        let (host, path) = repository.as_str().split_once('/').unwrap_or((repository.as_str(), ""));
        let connection = Connection::new(host, access)?;
        let base = format!("{}/v2/{path}", connection.origin());
        Ok(Self { repository, connection, base })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    fn get(&self, path: &str, accept: &str, from: u64) -> Result<Response<Body>, Error> {
        let mut request = Request::get(self.url(path)).header("accept", accept);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        self.connection.send(request, &[])
    }

    /// The answer's content when it is the wanted one, nothing when there is no such thing.
    fn content(&self, path: &str, accept: &str) -> Result<Option<Vec<u8>>, Error> {
        let response = self.get(path, accept, 0)?;
        match response.status() {
            StatusCode::OK => {
                let name = || self.url(path);
                read_manifest(response.into_body().into_reader(), name).map(Some)
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.unexpected(path, response)),
        }
    }

    fn unexpected(&self, path: &str, response: Response<Body>) -> Error {
        self.connection.unexpected(&self.url(path), response)
    }

    /// Puts an index or manifest there; whether the registry keeps lists of referrers itself.
    fn put(&self, media_type: &str, bytes: &[u8], name: &str) -> Result<bool, Error> {
        let path = format!("manifests/{name}");
        let response = self.connection.send(Request::put(self.url(&path)).header("content-type", media_type), bytes)?;
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
        let response = self.connection.send(Request::head(self.url(&path)), &[])?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.unexpected(&path, response)),
        }
    }

    fn put_blob(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        let url = self.url("blobs/uploads/");
        let response = self.connection.send(Request::post(&url), &[])?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.unexpected("blobs/uploads/", response));
        }
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| self.connection.failed(&url, &"no location for the upload"))?;
        // It may be relative to the registry, and has a query of its own.
        let place = match location.strip_prefix('/') {
            Some(path) => format!("{}/{path}", self.connection.origin()),
            None => location.to_owned(),
        };
        let digest = descriptor.digest.to_string().replace(':', "%3A");
        let place = format!("{place}{}digest={digest}", if place.contains('?') { '&' } else { '?' });
        let upload = Request::put(&place).header("content-type", "application/octet-stream");
        let response = self.connection.send(upload, bytes)?;
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
