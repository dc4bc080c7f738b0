//! Certificates and keys as they lie in files.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use ureq::tls::PrivateKey;

/// A file that is not what it should be.
#[derive(Debug, Error)]
#[error("{}: {reason}", path.display())]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Authorities whose certificates are believed.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Those that the system believes (`ca-certificates` on Debian; `SSL_CERT_FILE` and `SSL_CERT_DIR` are heeded, as
    /// OpenSSL does), and those in this file.
    ///
    /// # Errors
    /// The file is not there, or holds none.
    pub fn of_system(file: Option<&Path>) -> Result<Self, FileError> {
        // What of the system's cannot be read is not believed: then an issuer is unknown, and that is said.
        let mut certificates = rustls_native_certs::load_native_certs().certs;
        if let Some(file) = file {
            certificates.extend(authorities(file)?);
        }
        Ok(Self { certificates })
    }

    /// Those in this file and no others.
    ///
    /// # Errors
    /// As [`Trust::of_system`].
    pub fn of_file(file: &Path) -> Result<Self, FileError> {
        Ok(Self { certificates: authorities(file)? })
    }
}

/// A certificate with its issuers, and its key.
#[derive(Debug)]
pub struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    /// The same key, as ureq has it.
    pub(crate) http_key: PrivateKey<'static>,
}

impl Identity {
    /// Reads both, each in a PEM file; they may be in one.
    ///
    /// # Errors
    /// One is not there, holds none, or the key is another's.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, FileError> {
        let chain = certificates(certificate)?;
        let wrong = |reason: String| FileError { path: key.to_owned(), reason };
        let no_key = |error: &dyn ToString| wrong(format!("no private key in PEM: {}", error.to_string()));
        let pem = fs::read(key).map_err(|error| wrong(error.to_string()))?;
        let http_key = PrivateKey::from_pem(&pem).map_err(|error| no_key(&error))?;
        let read = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| no_key(&error))?;
        // Compared now, with the files' names at hand, and not when somebody connects.
        CertifiedKey::from_der(chain.clone(), read.clone_key(), &crate::provider())
            .map_err(|error| wrong(format!("not the key of {}: {error}", certificate.display())))?;
        Ok(Self { chain, key: read, http_key })
    }

    /// The certificate itself, without its issuers.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }
}

/// The certificates in a PEM file, one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let wrong = |reason: String| FileError { path: path.to_owned(), reason };
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| wrong(format!("no certificate in PEM: {error}")))?;
    if found.is_empty() { Err(wrong("no certificate in PEM".to_owned())) } else { Ok(found) }
}

/// The same, each of which can be an authority's.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found = certificates(path)?;
    for certificate in &found {
        let added = RootCertStore::empty().add(certificate.clone());
        added.map_err(|error| FileError { path: path.to_owned(), reason: error.to_string() })?;
    }
    Ok(found)
}
