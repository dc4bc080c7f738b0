//! A running bed: QEMU and the line to the agent in its dom0.

use crate::dom0::Dom0;
use crate::link::Link;
use crate::machine::{Arch, Clock, Forward, Qemu};
use crate::place;
use crate::setup::initramfs;
use anyhow::{Context, Result, bail};
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest boot that is waited for; it takes about eight seconds on an idle machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);

/// How to boot a bed.
#[derive(Debug, Clone)]
pub struct BedOptions {
    /// Which machine.
    pub arch: Arch,
    /// Ports of the host's loopback interface that lead to guests.
    pub forwards: Vec<Forward>,
    /// The machine's memory, where it is not the usual one.
    pub memory_mib: Option<u32>,
    /// Which clock the machine has.
    pub clock: Clock,
    /// Names the serial log, `target/bed/logs/<name>.serial.log`.
    pub name: String,
}

impl BedOptions {
    /// A bed without forwarded ports.
    #[must_use]
    pub fn new(arch: Arch) -> Self {
        Self { arch, forwards: Vec::new(), memory_mib: None, clock: Clock::Host, name: "bed".into() }
    }
}

/// A machine with Xen, dom0 and the agent, up and running. Dropping it ends QEMU.
#[derive(Debug)]
pub struct Bed {
    dom0: Dom0,
    qemu: Mutex<Qemu>,
    serial: PathBuf,
}

impl Bed {
    /// Starts QEMU and waits for the agent in dom0.
    ///
    /// # Errors
    /// [`crate::setup::setup`] was not called, or the machine did not come up; the end of its serial log is in the message.
    pub fn boot(options: &BedOptions) -> Result<Self> {
        let initramfs = initramfs(options.arch);
        if !initramfs.exists() {
            bail!("the bed for {} is not set up: run setup", options.arch.name());
        }
        fs::create_dir_all(place::logs()).context("make the folder for logs")?;
        let serial = place::logs().join(format!("{}.serial.log", options.name));
        let (qemu, stream) = Qemu::start(options, &initramfs, &serial)?;
        let bed = Self { dom0: Dom0::new(Link::new(stream)?), qemu: Mutex::new(qemu), serial };
        bed.dom0.link().wait_ready(BOOT_PATIENCE).with_context(|| bed.symptoms())?;
        Ok(bed)
    }

    /// The machine's serial console, which has Xen's and dom0's messages.
    #[must_use]
    pub fn serial_log(&self) -> &Path {
        &self.serial
    }

    /// Whether the line to dom0's agent is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.dom0.link().closed().is_none()
    }

    /// What is known about a bed that does not answer: whether QEMU runs, and the end of the serial console.
    #[must_use]
    pub fn symptoms(&self) -> String {
        let ended = self.qemu.lock().unwrap_or_else(PoisonError::into_inner).ended();
        let qemu = ended.map_or("QEMU runs".to_owned(), |status| format!("QEMU ended ({status})"));
        let errors = fs::read_to_string(self.serial.with_extension("qemu")).unwrap_or_default();
        let serial = fs::read(&self.serial).unwrap_or_default();
        let serial = String::from_utf8_lossy(&serial);
        let last: Vec<_> = serial.lines().rev().take(12).collect();
        let last: Vec<_> = last.into_iter().rev().collect();
        format!("{qemu}; {errors}the serial console's last lines ({}):\n{}\n", self.serial.display(), last.join("\n"))
    }
}

/// A bed is used through its dom0.
impl Deref for Bed {
    type Target = Dom0;

    fn deref(&self) -> &Dom0 {
        &self.dom0
    }
}
