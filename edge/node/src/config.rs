//! `/etc/spore/node.toml`: what the operator decides. Every key may be left out.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use protocol::NodeName;
use serde::Deserialize;

use crate::Key;
use crate::disk::Bounds;
use crate::toolstack::Choice;

/// What the operator decides.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The board's name; the machine's host name when it is left out.
    pub name: Option<NodeName>,
    /// Where programs talk to the node.
    pub socket: PathBuf,
    /// What must survive: journal, images, results.
    pub state: PathBuf,
    /// An OCI image layout with tasks, as `spore pack` and `spore pull` write it. It need not be there.
    pub tasks: PathBuf,
    /// Registries (`host` or `host:port`) from which a command may have its task fetched. None unless they are named:
    /// a tenant must not choose what dom0 connects to. They speak https, on the loopback interface http, unless
    /// `http://` or `https://` stands before the host.
    pub registries: Vec<String>,
    /// A file with names and passwords for registries, as `docker login` writes it.
    pub credentials: Option<PathBuf>,
    /// Hosts (`host` or `host:port`, as in the URL) to which results may be sent by HTTP; with `https://` before the
    /// host in no other way. None unless they are named.
    pub receivers: Vec<String>,
    /// The MQTT broker by which results may be published: `mqtts://host:port`, or without TLS `mqtt://host:port` or
    /// `host:port`; none unless it is named.
    pub broker: Option<String>,
    /// The command, as `tenant/id`, whose guest is the board's broker: it feeds those of commands with a contract. Without
    /// one such commands are refused.
    pub feeder: Option<Key>,
    /// Authorities, in PEM, that are trusted besides the system's: for registries, receivers and the broker.
    pub ca: Option<PathBuf>,
    /// What the node shows to those of them that want to know who connects.
    pub client: Option<KeyPair>,
    /// Where others than this machine's programs talk to the node; nowhere unless it is said.
    pub listen: Option<Listen>,
    /// Memory of Xen's that is never given to guests, in MiB.
    pub memory_reserve_mib: u32,
    /// The most bytes of images that are kept, in MiB.
    pub images_mib: u32,
    /// The bridge for guests with a network card; the empty text for none.
    pub bridge: String,
    /// What makes guests' domains.
    pub toolstack: Choice,
    /// How often guests are looked at while there are any, in milliseconds.
    pub poll_milliseconds: u32,
    /// The least pause between two writes of what a guest has saved, in seconds: what a power cut may lose, against what
    /// wears the board's flash.
    pub checkpoint_seconds: u32,
    /// How many ended commands are kept, and how much of what they left.
    pub kept: Kept,
}

/// A certificate and its key, each in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    /// The certificate, followed by those of its issuers that others do not know.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// TCP with TLS, where both sides show certificates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The address and port.
    pub address: SocketAddr,
    /// The node's certificate, followed by those of its issuers that others do not know.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities whose certificates clients must have.
    pub client_ca: PathBuf,
    /// Names in the certificates of those clients that are operators (DNS names among the subject alternative names).
    /// None unless they are named: a certificate lets in, and no more.
    #[serde(default)]
    pub operators: Vec<String>,
}

/// How much of what has ended is kept. What nobody has taken is kept beyond it: tenants' quotas bound that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kept {
    /// Commands.
    pub commands: u64,
    /// MiB of results and consoles.
    pub mib: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self { commands: 10_000, mib: 64 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            socket: "/run/spore/node.sock".into(),
            state: "/var/lib/spore".into(),
            tasks: "/var/lib/spore/tasks".into(),
            registries: Vec::new(),
            credentials: None,
            receivers: Vec::new(),
            broker: None,
            feeder: None,
            ca: None,
            client: None,
            listen: None,
            memory_reserve_mib: 16,
            images_mib: 256,
            bridge: "xenbr0".to_owned(),
            toolstack: Choice::Auto,
            poll_milliseconds: 1000,
            checkpoint_seconds: 60,
            kept: Kept::default(),
        }
    }
}

impl Config {
    /// Reads a file; one that is not there says nothing.
    ///
    /// # Errors
    /// It cannot be read, or says something that is unknown.
    pub fn read(path: &Path) -> Result<Self, String> {
        let config = match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        Ok(config)
    }

    /// The board's name.
    ///
    /// # Errors
    /// The machine's host name is none.
    pub fn node_name(&self) -> Result<NodeName, String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let path = "/proc/sys/kernel/hostname";
        let host = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let host = host.trim().to_ascii_lowercase();
        host.parse().map_err(|error| format!("the host name: {error}; set name in the config"))
    }

    /// What the node's connections to others are told about TLS.
    #[must_use]
    pub fn tls(&self) -> tls::Client {
        let identity = self.client.as_ref().map(|pair| (pair.certificate.clone(), pair.key.clone()));
        tls::Client { ca: self.ca.clone(), identity }
    }

    /// What of ended commands is kept.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds { commands: self.kept.commands, bytes: u64::from(self.kept.mib) << 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Config};

    #[test]
    fn every_key_may_be_left_out_and_an_unknown_one_is_refused_by_name() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        let config: Config = toml::from_str("name = \"board-7\"\nbridge = \"\"\nkept = { mib = 1 }").unwrap();
        assert_eq!((config.name.unwrap().as_str(), &*config.bridge, config.kept.mib), ("board-7", "", 1));
        assert_eq!(config.kept.commands, 10_000);
        let config: Config = toml::from_str("feeder = \"ops/broker\"").unwrap();
        assert_eq!(config.feeder.unwrap().to_string(), "ops/broker");
        let error = toml::from_str::<Config>("feeder = \"broker\"").unwrap_err().to_string();
        assert!(error.contains("\"broker\" is not a tenant's name, / and a command's id"), "{error}");
        let listen = "[listen]\naddress = \"[::]:7443\"\ncertificate = \"a\"\nkey = \"b\"\nclient_ca = \"c\"";
        let config: Config = toml::from_str(listen).unwrap();
        assert!(config.listen.unwrap().operators.is_empty());
        for text in ["memory = 3", "kept = { bytes = 1 }", "client = { certificate = \"a\", key = \"b\", ca = \"c\" }"]
        {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{error}");
        }
        assert_eq!(toml::from_str::<Config>("toolstack = \"xl\"").unwrap().toolstack, Choice::Xl);
        let error = toml::from_str::<Config>("toolstack = \"libxl\"").unwrap_err().to_string();
        assert!(error.contains("expected `auto` or `xl`"), "{error}");
    }
}
