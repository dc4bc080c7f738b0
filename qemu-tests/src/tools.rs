//! Tools for experiments in dom0, as Debian has them, and the shell to use them from.
//!
//! They are not part of dom0's first file system, because they would cost each boot emulated time: a running dom0 gets
//! them as an archive. There they replace nothing. They lie in folders of their own, which only the shell's PATH names,
//! so that the bed's own scripts do what they did before.

use crate::bed::Bed;
use crate::cpio::Archive;
use crate::initramfs::{modules, programs::Programs};
use crate::machine::{Arch, SHARE_TAG, write_whole};
use crate::place;
use crate::progress::Progress;
use crate::root::Root;
use anyhow::{Context, Result};
use bed_agent::protocol::{Session, TerminalSize};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Where the shared folder is in dom0.
pub const SHARE: &str = "/share";
/// Where a shell begins.
pub const HOME: &str = "/root";

/// The programs, by their paths in the packages.
const PROGRAMS: [&str; 5] = ["/bin/ip", "/bin/ss", "/sbin/tc", "/usr/bin/tcpdump", "/usr/sbin/dnsmasq"];
/// Xen's program that shows a guest's registers and stack; in the folder of its own version.
const XEN_PROGRAM: &str = "xenctx";
/// Data that they look for; what `tc` has for each CPU comes with it.
const DATA: [&str; 2] = ["/etc/iproute2", "/lib/terminfo"];
/// Where the programs lie in dom0.
const FOLDER: &str = "/usr/local/sbin";
/// Kernel modules: what `tc` arranges, interfaces for stations behind the bridge, and the shared folder.
const MODULES: [&str; 10] = [
    "sch_netem",
    "sch_tbf",
    "sch_ingress",
    "cls_u32",
    "cls_matchall",
    "act_mirred",
    "ifb",
    "veth",
    "dummy",
    "9pnet_virtio",
];
const FILE_SYSTEM: &str = "9p";
/// The list of the modules in dom0, which is there once the tools are.
const MODULE_LIST: &str = "/etc/bed-tools";
/// How long dom0 may take to unpack the tools.
const PATIENCE: Duration = Duration::from_secs(180);

/// Brings the packages and makes the archive, when that has not been done.
///
/// # Errors
/// The bed is not set up, a package cannot be had, or one does not hold what it should.
pub fn setup(arch: Arch, progress: &mut dyn Progress) -> Result<()> {
    let _lock = place::lock()?;
    let machine = arch.machine();
    machine.tools().provide(progress)?;
    let mut archive = Archive::default();
    let root = Root(machine.tools().root());
    let mut programs = Programs::new(&root, machine.triplet());
    for program in PROGRAMS {
        let name = program.rsplit('/').next().unwrap_or(program);
        let content = root.read(program)?;
        programs.add_as(&mut archive, &format!("{FOLDER}/{name}"), &content).with_context(|| program.to_owned())?;
    }
    programs.finish(&mut archive, None)?;
    let distributions = format!("/usr/lib/{}/tc", machine.triplet());
    for folder in DATA.into_iter().chain([distributions.as_str()]) {
        for file in root.files_below(folder)? {
            archive.file(&file, 0o644, &root.read(&file)?);
        }
    }
    let dom0 = machine.packages();
    let xen = format!("/usr/lib/xen-{}", dom0.version_in_name("xen-utils-")?);
    let dom0_root = Root(dom0.root());
    let mut programs = Programs::new(&dom0_root, machine.triplet());
    let content = dom0_root.read(&format!("{xen}/bin/{XEN_PROGRAM}"))?;
    programs.add_as(&mut archive, &format!("{FOLDER}/{XEN_PROGRAM}"), &content)?;
    programs.finish(&mut archive, Some(&format!("{}/lib/{}", xen.trim_start_matches('/'), machine.triplet())))?;
    let modules = MODULES.into_iter().chain([FILE_SYSTEM]);
    modules::add(&mut archive, MODULE_LIST, &dom0_root, &dom0.version_in_name("linux-image-")?, modules)?;
    archive.directory(SHARE);
    write_whole(&file(arch), &archive.finish())
}

/// Gives a running bed the tools, and mounts the shared folder where it has one; nothing is done for one that has them.
///
/// # Errors
/// [`setup`] was not called, or dom0 cannot take them.
pub fn bring(bed: &Bed, arch: Arch) -> Result<()> {
    if bed.shell(&format!("test -e {MODULE_LIST}"))?.status == 0 {
        return Ok(());
    }
    let archive = fs::read(file(arch)).context("the tools are missing: run setup")?;
    bed.put("/tmp/tools", &archive)?;
    // What dom0 has already stays: cpio replaces only what is older, and everything here is of one age.
    let script = format!(
        "set -e; cd /; cpio -id </tmp/tools; rm /tmp/tools
        {}
        if grep -qx {SHARE_TAG} /sys/bus/virtio/drivers/9pnet_virtio/*/mount_tag; then
            mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072 {SHARE_TAG} {SHARE}
        fi",
        modules::load(MODULE_LIST)
    );
    bed.must_within(&script, PATIENCE).context("bring tools to dom0").map(drop)
}

/// A shell in a dom0 that has the tools, or a command for it.
#[must_use]
pub fn shell(command: Option<String>, terminal: Option<TerminalSize>) -> Session {
    let path = format!("{FOLDER}:/usr/sbin:/usr/bin:/sbin:/bin");
    let environment = [("HOME", HOME), ("PATH", &path), ("PS1", r"dom0:\w\$ ")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Session { command, directory: HOME.to_owned(), environment, terminal }
}

fn file(arch: Arch) -> PathBuf {
    place::bed().join(arch.name()).join("tools.cpio")
}
