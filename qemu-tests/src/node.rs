//! The node `spored` in dom0, with its programs where its package has them.

use crate::bed::Bed;
use crate::dom0_program::{self, Program};
use crate::machine::Arch;
use crate::place;
use crate::progress::Progress;
use crate::session::Session;
use anyhow::{Result, bail};
use bed_agent::protocol;
use std::time::{Duration, Instant};

/// The programs and their folders.
const PROGRAMS: [(Program, &str); 3] = [
    (Program { package: "node", name: "spored", example: false }, "/usr/sbin"),
    (Program { package: "node", name: "spore-vif", example: false }, "/usr/lib/spore"),
    (Program { package: "cli", name: "spore", example: false }, "/usr/bin"),
];
/// Where it reads what its operator decides.
pub const CONFIG: &str = "/etc/spore/node.toml";
/// What it says, in dom0.
pub const LOG: &str = "/var/log/xen/spored.log";

/// Builds what is not up to date.
///
/// # Errors
/// As [`dom0_program::build`].
pub fn build(arch: Arch, progress: &mut dyn Progress) -> Result<()> {
    let _lock = place::lock()?;
    PROGRAMS.iter().try_for_each(|(program, _)| dom0_program::build(arch.machine(), *program, progress).map(drop))
}

/// Installs the programs in dom0, and this config.
///
/// # Errors
/// They cannot be built, or dom0 is gone.
pub fn install(bed: &Bed, arch: Arch, config: &str, progress: &mut dyn Progress) -> Result<()> {
    for (program, folder) in PROGRAMS {
        bed.bring(arch, program, folder, progress)?;
    }
    bed.put(CONFIG, config.as_bytes())
}

/// How long it may take until it serves.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts it and waits until it serves; it ends with the session.
///
/// # Errors
/// It does not serve, with what it said, or dom0 is gone.
pub fn start(bed: &Bed) -> Result<Session> {
    let environment = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())];
    let command = Some(format!("exec spored >>{LOG} 2>&1"));
    let node = bed.start(protocol::Session { command, directory: "/".into(), environment, terminal: None })?;
    let deadline = Instant::now() + PATIENCE;
    while bed.shell("spore node")?.status != 0 {
        if Instant::now() >= deadline {
            bail!("the node does not serve: {}", bed.must(&format!("cat {LOG}"))?);
        }
    }
    Ok(node)
}
