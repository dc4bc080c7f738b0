//! Other implementations of what Spore's artifacts are made of, from Debian's packages: cosign 2 and 3, oras and skopeo,
//! and the registry that the bed has; and those with which its node speaks TLS: curl, mosquitto,
//! nginx, OpenSSL.
//!
//! The packages are unpacked below `target/`, as those of the bed are, and their programs run on the host, on its
//! loopback interface. Only the tests use this; they are apart from `artifact`'s own, which need nothing but the crate.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use qemu_tests::packages::{HOST, Set};
use qemu_tests::progress::Progress;
use qemu_tests::registry::Registry;
use qemu_tests::{host_tool, place, setup};
use tempfile::TempDir;

/// Debian's development release: what is newest.
const SID: Set = Set {
    name: "peers-sid",
    architecture: HOST.architecture,
    release: Some("sid"),
    wanted: &["cosign", "curl", "libc6", "openssl", "oras", "skopeo"],
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

/// The password of ann at a registry that asks for one.
pub const PASSWORD: &str = "secret";
/// The same as the registry knows it: bcrypt, the only form that it takes.
const HTPASSWD: &str = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

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
    /// curl.
    Curl,
    /// OpenSSL's program.
    Openssl,
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
            Self::Curl => (SID, "/usr/bin/curl"),
            Self::Openssl => (SID, "/usr/bin/openssl"),
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

/// An empty registry.
///
/// # Errors
/// Its package cannot be had, or it does not start.
pub fn registry() -> Result<Registry> {
    setup::setup_host(&mut Printed)?;
    Registry::start()
}

/// An empty registry that speaks https with this certificate and key, and knows ann, whose password is [`PASSWORD`].
///
/// # Errors
/// As [`registry`].
pub fn private_registry(certificate: &Path, key: &Path) -> Result<Registry> {
    setup::setup_host(&mut Printed)?;
    Registry::start_private(certificate, key, HTPASSWD)
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
