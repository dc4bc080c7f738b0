//! A running bed: QEMU and the line to the agent in its dom0.

use crate::capture::Capture;
use crate::dom0::Dom0;
use crate::dom0_program::{self, Program};
use crate::guest::{Guest, GuestSpec};
use crate::link::Link;
use crate::machine::{Arch, BedOptions, Qemu};
use crate::place;
use crate::progress::Progress;
use crate::setup::initramfs;
use anyhow::{Context, Result, bail};
use bed_agent::protocol::LaunchResult;
use std::fs;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest boot that is waited for; it takes about eight seconds on an idle machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);

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
    /// [`crate::setup::setup`] was not called, or the machine did not come up; the end of its serial log is in the
    /// message.
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

    /// Starts a guest with `xl`.
    ///
    /// # Errors
    /// `xl` refuses it: its words are in the message.
    pub fn create(&self, spec: &GuestSpec) -> Result<Guest> {
        Guest::create(self.dom0.clone(), spec)
    }

    /// Starts a guest as a user does, who does not follow its console before it runs, and takes the time until the
    /// console has a line and an echo request to `address` is answered.
    ///
    /// # Errors
    /// `xl` refuses it: its words are in the message. A guest that is never heard is no error.
    pub fn create_timed(
        &self,
        spec: &GuestSpec,
        address: Ipv4Addr,
        patience: Duration,
    ) -> Result<(Guest, LaunchResult)> {
        Guest::launch(self.dom0.clone(), spec, address, patience)
    }

    /// Cuts the machine's power: nothing of it runs any more when this returns, and what dom0's kernel had not yet
    /// written to the disk is lost.
    pub fn cut_power(&self) {
        self.qemu.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    /// The packets between the machine and the host, where the options ask for them.
    #[must_use]
    pub fn capture(&self) -> Option<Capture> {
        self.qemu.lock().unwrap_or_else(PoisonError::into_inner).capture().cloned()
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

    /// Builds a program for dom0 and puts it into a folder there.
    ///
    /// # Errors
    /// It cannot be built, or dom0 is gone.
    pub fn bring(&self, arch: Arch, program: Program, folder: &str, progress: &mut dyn Progress) -> Result<()> {
        let built = {
            let _lock = place::lock()?;
            dom0_program::build(arch.machine(), program, progress)?
        };
        let path = format!("{folder}/{}", program.name);
        self.put(&path, &fs::read(&built).with_context(|| format!("read {}", built.display()))?)?;
        self.must(&format!("chmod 755 {path}")).map(drop)
    }
}

/// A bed is used through its dom0.
impl Deref for Bed {
    type Target = Dom0;

    fn deref(&self) -> &Dom0 {
        &self.dom0
    }
}
