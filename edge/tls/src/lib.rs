//! TLS as the edge's programs speak it: whom they trust, who they are, and what is wrong when it fails.
//!
//! One place for the library, the cryptography behind it, and the words in which a failure is told: registries,
//! receivers, brokers, the node's own server and its clients all come here. Protocol and verification are rustls's;
//! only files and messages are ours. There is no switch that turns verification off.

#![forbid(unsafe_code)]

mod certificate;
mod failure;
mod files;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};

pub use certificate::{names, validity_problem};
pub use failure::{of, of_http};
pub use files::{FileError, Identity, Trust};
pub use rustls;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What a program is told that connects to others. The files are read whenever a connection is prepared, so that what
/// was renewed is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Authorities besides the system's.
    pub ca: Option<PathBuf>,
    /// Its own certificate and the key to it, for who asks.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Client {
    /// For connections of any kind.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn config(&self) -> Result<Arc<ClientConfig>, FileError> {
        let (trust, identity) = self.read()?;
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().expect("the provider knows these versions");
        let builder = builder.with_root_certificates(roots(&trust));
        let config = match identity {
            Some(Identity { chain, key, .. }) => {
                builder.with_client_auth_cert(chain, key).expect("the key was compared when it was read")
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// The same for requests of ureq.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn http_config(&self) -> Result<TlsConfig, FileError> {
        let (trust, identity) = self.read()?;
        let roots = trust.certificates.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>();
        let client = identity.map(|Identity { chain, http_key, .. }| {
            let chain: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
            ClientCert::new_with_certs(&chain, http_key)
        });
        let config = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).client_cert(client);
        Ok(config.unversioned_rustls_crypto_provider(provider()).build())
    }

    fn read(&self) -> Result<(Trust, Option<Identity>), FileError> {
        let identity = self.identity.as_ref().map(|(certificate, key)| Identity::read(certificate, key)).transpose()?;
        Ok((Trust::of_system(self.ca.as_deref())?, identity))
    }
}

/// A server that talks to nobody without a certificate of these authorities.
#[must_use]
pub fn server(clients: &Trust, identity: Identity) -> Arc<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(clients), provider()).build();
    let verifier = verifier.expect("each authority was looked at when it was read, and there is one");
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().expect("the provider knows these versions");
    let Identity { chain, key, .. } = identity;
    let config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key);
    let mut config = config.expect("the key was compared when it was read");
    // Each connection shows its certificate anew, and nothing is kept of those that were.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

fn roots(trust: &Trust) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // Systems have some that are not as they should be; what was named in a file was looked at when it was read.
    roots.add_parsable_certificates(trust.certificates.iter().cloned());
    Arc::new(roots)
}
