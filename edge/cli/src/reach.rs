//! How registries and nodes are reached, as a person says it. The options have the names that oras gives them.

use std::env;
use std::path::PathBuf;

use artifact::Access;

/// Whom to trust, and what to show to who wants to know who connects.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Tls {
    /// Trust the authorities in this PEM file besides the system's.
    #[arg(long, env = "SPORE_CA_FILE", value_name = "FILE", help_heading = "TLS")]
    ca_file: Option<PathBuf>,
    /// Show this certificate.
    #[arg(long, env = "SPORE_CERT_FILE", value_name = "FILE", requires = "key_file", help_heading = "TLS")]
    cert_file: Option<PathBuf>,
    /// The certificate's private key (not the tenant's, which signs).
    #[arg(long, env = "SPORE_KEY_FILE", value_name = "FILE", requires = "cert_file", help_heading = "TLS")]
    key_file: Option<PathBuf>,
}

impl Tls {
    /// The same, for connections.
    #[must_use]
    pub fn client(&self) -> tls::Client {
        tls::Client { ca: self.ca_file.clone(), identity: self.cert_file.clone().zip(self.key_file.clone()) }
    }
}

/// How registries are reached.
#[derive(Debug, Clone, clap::Args)]
pub struct Registries {
    /// Ask the registry without TLS. On the loopback interface that is so unless it is `--plain-http=false`.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    plain_http: Option<bool>,
    /// A file with names and passwords, as `docker login` and `oras login` write it. Theirs when it is left out.
    #[arg(long, env = "SPORE_REGISTRY_CONFIG", value_name = "FILE")]
    registry_config: Option<PathBuf>,
}

impl Registries {
    /// The same, for a registry.
    #[must_use]
    pub fn access(&self, tls: &Tls) -> Access {
        let credentials = self.registry_config.clone().or_else(usual_credentials);
        Access { plain_http: self.plain_http, tls: tls.client(), credentials }
    }
}

/// Where docker and oras, and then podman and skopeo, keep theirs; the first file that is there.
fn usual_credentials() -> Option<PathBuf> {
    let below = |variable: &str, path: &str| Some(PathBuf::from(env::var_os(variable)?).join(path));
    let places = [
        below("DOCKER_CONFIG", "config.json"),
        below("HOME", ".docker/config.json"),
        below("XDG_RUNTIME_DIR", "containers/auth.json"),
    ];
    places.into_iter().flatten().find(|path| path.exists())
}
