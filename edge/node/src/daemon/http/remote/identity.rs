//! The node's certificate and whom it lets in, as their files have them now.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tls::rustls::ServerConfig;
use tls::rustls::pki_types::CertificateDer;
use tls::{FileError, Identity, Trust};

use crate::Listen;
use crate::daemon::log::{self, Level};

/// What tells one state of a file from another; nothing when it is not there.
type Stamp = Option<(SystemTime, u64, u64)>;

/// What was read last, and from which files.
pub(super) struct CurrentIdentity {
    listen: Listen,
    stamps: Option<[Stamp; 3]>,
    read: Option<Read>,
}

/// What was in the files.
struct Read {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
    /// What was said about its validity.
    said: Option<String>,
}

impl CurrentIdentity {
    pub(super) fn of(listen: Listen) -> Self {
        Self { listen, stamps: None, read: None }
    }

    /// The config for a new connection. Files that have changed are read anew; if they cannot be used (one may have
    /// been replaced and the other not yet), what was read before stays. Nothing when nothing was read yet.
    pub(super) fn look(&mut self) -> Option<Arc<ServerConfig>> {
        let Listen { certificate, key, client_ca, .. } = &self.listen;
        let stamps = [certificate, key, client_ca].map(|path| stamp(path));
        if self.stamps != Some(stamps) {
            self.stamps = Some(stamps);
            match read(&self.listen) {
                Ok(read) => self.read = Some(read),
                Err(error) => {
                    let rest =
                        if self.read.is_some() { "what was read before stays" } else { "nobody is let in by TCP" };
                    log::say(Level::Warning, &format!("{error}; {rest}, until the files change"));
                }
            }
        }
        let read = self.read.as_mut()?;
        let problem = tls::validity_problem(&read.certificate, SystemTime::now());
        if problem.is_some() != read.said.is_some() {
            let rest = "clients may refuse to talk to this node; what runs goes on";
            match &problem {
                Some(problem) => {
                    log::say(Level::Warning, &format!("{}: it {problem}: {rest}", self.listen.certificate.display()));
                }
                None => log::say(Level::Info, &format!("{}: it is valid now", self.listen.certificate.display())),
            }
            read.said = problem;
        }
        Some(read.config.clone())
    }
}

fn read(listen: &Listen) -> Result<Read, FileError> {
    let identity = Identity::read(&listen.certificate, &listen.key)?;
    let certificate = identity.certificate().clone();
    let config = tls::server(&Trust::of_file(&listen.client_ca)?, identity);
    Ok(Read { config, certificate, said: None })
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}
