//! An authority for tests, and certificates of it that are as they should be, or not.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Valid {
    /// In every year in which tests run.
    Now,
    /// Until the end of 2020.
    Before,
    /// From 2090 on.
    Later,
}

/// An authority, with a folder for what it issues.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An authority that nobody knows yet.
    ///
    /// # Panics
    /// There is no folder for it.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        // Each has a name of its own: by the name, an issuer is known or unknown.
        let name = format!("authority {}", folder.path().display());
        let mut params = params(&name, &[], Valid::Now);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its own certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A new certificate for these hosts and addresses, and its key: `<name>.pem` and `<name>.key` in the folder, in
    /// place of those that were there.
    ///
    /// # Panics
    /// A name is none, or the folder cannot be written.
    #[must_use]
    pub fn issue(&self, name: &str, hosts: &[&str], valid: Valid) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, hosts, valid).signed_by(&key, &self.issuer).unwrap();
        let (certificate_file, key_file) =
            (self.folder.path().join(format!("{name}.pem")), self.folder.path().join(format!("{name}.key")));
        fs::write(&certificate_file, certificate.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        (certificate_file, key_file)
    }
}

fn params(name: &str, hosts: &[&str], valid: Valid) -> CertificateParams {
    let mut params = CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let (from, until) = match valid {
        Valid::Now => (2020, 2099),
        Valid::Before => (2019, 2021),
        Valid::Later => (2090, 2099),
    };
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    params
}
