//! A registry of OCI artifacts on the host's loopback interface, which dom0 reaches at 10.0.2.2.

use crate::host_tool;
use crate::place;
use crate::process::{Log, Process};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for the registry to listen.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Debian's docker-registry. It ends on drop, with all that it holds.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    folder: PathBuf,
    process: Option<Process>,
}

impl Registry {
    /// Starts an empty registry on a free port, without TLS and open to everyone.
    ///
    /// # Errors
    /// The host's packages are missing, or the registry does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(|_| Ok(String::new()))
    }

    /// Starts one that speaks https with this certificate and key, and lets in whom these lines of an htpasswd file name.
    ///
    /// # Errors
    /// As [`Registry::start`].
    pub fn start_private(certificate: &Path, key: &Path, users: &str) -> Result<Self> {
        Self::start_with(|folder| {
            let file = folder.join("htpasswd");
            fs::write(&file, users).with_context(|| format!("write {}", file.display()))?;
            let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display());
            Ok(format!("{tls}auth:\n  htpasswd:\n    realm: registry\n    path: {}\n", file.display()))
        })
    }

    /// Starts one whose config ends with these lines, the first of which are about its HTTP.
    fn start_with(lines: impl FnOnce(&Path) -> Result<String>) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = place::bed().join(format!("registry-{port}"));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let mut registry = Self { port, folder, process: None };
        let (config, log) = (registry.folder.join("config.yml"), registry.folder.join("log"));
        let settings = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n{}",
            registry.folder.join("data").display(),
            lines(&registry.folder)?
        );
        fs::write(&config, settings).with_context(|| format!("write {}", config.display()))?;
        let mut command = host_tool::command("/usr/bin/docker-registry")?;
        command.arg("serve").arg(&config);
        let (said, file) = (Log::default(), File::create(&log).with_context(|| format!("create {}", log.display()))?);
        registry.process = Some(Process::start(command, &said, file).context("start docker-registry")?);
        if !said.wait(0, "listening on", 1, START_PATIENCE) {
            bail!("docker-registry did not start:\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        Ok(registry)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process = None;
        // What cannot be removed does no harm: the next one has another port.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
