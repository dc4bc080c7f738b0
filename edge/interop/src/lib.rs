//! Other implementations of what Spore's artifacts are made of, from Debian's packages: a registry, cosign 2 and 3,
//! oras and skopeo.
//!
//! The packages are unpacked below `target/`, as those of the bed are, and their programs run on the host, on its
//! loopback interface. Only the tests use this; they are apart from `artifact`'s own, which need nothing but the crate.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use qemu_tests::packages::{HOST, Set};
use qemu_tests::progress::Progress;
use qemu_tests::{host_tool, place};
use tempfile::TempDir;

/// Longest wait for the registry to listen.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Debian's development release: what is newest.
const SID: Set = Set {
    name: "peers-sid",
    architecture: HOST.architecture,
    release: Some("sid"),
    wanted: &["cosign", "docker-registry", "libc6", "oras", "skopeo"],
    newest: &[],
};

/// Debian 13, for the cosign before version 3.
const TRIXIE: Set = Set {
    name: "peers-trixie",
    architecture: HOST.architecture,
    release: Some("trixie"),
    wanted: &["cosign", "libc6"],
    newest: &[],
};

/// Tells the test's own output, which is shown when it fails.
struct Printed;

impl Progress for Printed {
    fn say(&mut self, line: &str) {
        println!("{line}");
    }
}

/// A program of another project.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// cosign 2, of Debian 13.
    Cosign2,
    /// cosign 3, of Debian's development release.
    Cosign3,
    /// oras.
    Oras,
    /// skopeo.
    Skopeo,
}

impl Peer {
    /// A command that runs it, with a home of its own.
    ///
    /// # Errors
    /// Its package cannot be had.
    pub fn command(self, home: &TempDir) -> Result<Command> {
        let (set, program) = match self {
            Self::Cosign2 => (TRIXIE, "/usr/bin/cosign"),
            Self::Cosign3 => (SID, "/usr/bin/cosign"),
            Self::Oras => (SID, "/usr/bin/oras"),
            Self::Skopeo => (SID, "/usr/bin/skopeo"),
        };
        provide()?;
        let mut command = host_tool::command_of(&set, program)?;
        command.current_dir(home.path()).env("HOME", home.path()).env("COSIGN_PASSWORD", "").stdin(Stdio::null());
        Ok(command)
    }
}

/// Brings the packages.
fn provide() -> Result<()> {
    let _lock = place::lock()?;
    SID.provide(&mut Printed)?;
    TRIXIE.provide(&mut Printed)
}

/// Runs a command and gives what it printed on both outputs.
///
/// # Errors
/// It fails; then the message has what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if !output.status.success() {
        bail!("{command:?}: {}\n{text}", output.status);
    }
    Ok(text)
}

/// A registry on the loopback interface. It ends on drop, with all that it holds.
#[derive(Debug)]
pub struct RegistryServer {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl RegistryServer {
    /// Starts an empty registry on a free port.
    ///
    /// # Errors
    /// Its package cannot be had, or it does not start.
    pub fn start() -> Result<Self> {
        provide()?;
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let root = folder.path().join("data");
        let config = folder.path().join("config.yml");
        let settings = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            root.display()
        );
        fs::write(&config, settings)?;
        let mut command = host_tool::command_of(&SID, "/usr/bin/docker-registry")?;
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().context("start docker-registry")?;
        let lines = process.stderr.take().map(BufReader::new).context("docker-registry without a log")?;
        let (said, listens) = mpsc::channel();
        // Reads to the end, so that the registry never waits for its log.
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                // Nobody listens any more once it is known to run.
                let _ = said.send(line);
            }
        });
        let server = Self { port, process, _folder: folder };
        let mut log = Vec::new();
        loop {
            match listens.recv_timeout(START_PATIENCE) {
                Ok(line) if line.contains("listening on") => return Ok(server),
                Ok(line) => log.push(line),
                Err(_) => bail!("docker-registry did not start:\n{}", log.join("\n")),
            }
        }
    }

    /// A repository of it.
    #[must_use]
    pub fn repository(&self, path: &str) -> String {
        format!("127.0.0.1:{}/{path}", self.port)
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
