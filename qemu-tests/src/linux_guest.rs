//! A Linux guest to compare with: Debian's kernel for guests, busybox, iperf3 and an echo server, from one initramfs.
//!
//! Linux is left as Debian has it: the packaged kernel with its own command line's defaults, all offloads of its
//! network driver on.

use crate::cpio::Archive;
use crate::dom0_program;
use crate::guest::GuestSpec;
use crate::initramfs::{busybox, modules, programs::Programs};
use crate::machine::{Arch, Machine};
use crate::place;
use crate::progress::Progress;
use crate::root::Root;
use anyhow::{Context, Result};
use bed_agent::protocol::MODULE_LIST;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;

/// What it prints when all of it serves.
pub const READY: &str = "linux: ready";
/// What it prints first, before the kernel's own age in seconds.
pub const STARTED: &str = "linux: started at ";
/// What it prints after it has fetched a body, from a server that answered a ping: wget's exit status, and the kernel's
/// age in seconds before and after it.
pub const FETCHED: &str = "linux: fetched ";
/// Its memory when nothing else is asked for.
pub const MEMORY_MIB: u32 = 128;

const IPERF: &str = "/usr/bin/iperf3";
const AGENT: &str = "/bin/bed-agent";

/// The kernel's command line; `panic` ends the domain, so that one without enough memory is not waited for.
const COMMAND_LINE: &str = "console=hvc0 quiet panic=-1 rdinit=/init";
/// The parameter with its address.
const ADDRESS: &str = "bed.address=";
/// The parameter with the URL of a body to fetch and forget before it serves.
const FETCH: &str = "bed.fetch=";

/// Its first process.
const INIT: &str = r#"#!/bin/sh
export PATH=/bin:/usr/bin
mount -t devtmpfs dev /dev
exec </dev/hvc0 >/dev/hvc0 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
read age idle </proc/uptime
echo "$STARTED$age"
for module in $(cat /etc/bed-modules); do insmod $module; done
for word in $(cat /proc/cmdline); do
    case $word in
        $ADDRESS*) address=${word#*=} ;;
        $FETCH*) body=${word#*=} ;;
    esac
done
while [ ! -e /sys/class/net/eth0 ]; do usleep 10000; done
ip link set lo up
ip addr add $address/24 dev eth0
ip link set eth0 up
if [ -n "$body" ]; then
    server=${body#http://}
    until ping -c 1 -W 1 ${server%%[:/]*} >/dev/null; do :; done
    read begin idle </proc/uptime
    wget -q -O /dev/null "$body"
    status=$?
    read end idle </proc/uptime
    echo "$FETCHED$status $begin $end"
fi
bed-agent echo >/dev/null &
iperf3 -s -D
for port in 7 5201; do
    until netstat -ltn | grep -q ":$port "; do usleep 10000; done
done
echo "$READY"
while :; do sleep 1000; done
"#;

/// What `xl` boots.
#[derive(Debug, Clone)]
pub struct LinuxGuest {
    /// The kernel, as packaged.
    pub kernel: Vec<u8>,
    /// Its version, as in `/lib/modules/<version>`.
    pub version: String,
    /// The first and only file system, packed with gzip.
    pub ramdisk: Vec<u8>,
}

impl LinuxGuest {
    /// Brings the packages that are missing and makes the guest of them.
    ///
    /// # Errors
    /// A package cannot be had or holds something else.
    pub fn provide(arch: Arch, progress: &mut dyn Progress) -> Result<Self> {
        let _lock = place::lock()?;
        let machine = arch.machine();
        let packages = machine.linux_guest();
        packages.provide(progress)?;
        let (root, version) = (Root(packages.root()), packages.version_in_name("linux-image-")?);
        let kernel = root.read(&format!("/boot/vmlinuz-{version}"))?;
        let program = dom0_program::build(machine, dom0_program::AGENT, progress)?;
        let program = fs::read(&program).with_context(|| format!("read {}", program.display()))?;
        let archive = file_system(&root, machine.triplet(), &version, &program)?;
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&archive)?;
        Ok(Self { kernel, version, ramdisk: packer.finish()? })
    }

    /// Bytes that `xl` reads to boot it.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        self.kernel.len() + self.ramdisk.len()
    }

    /// A guest that first fetches the body at the URL, and forgets it.
    #[must_use]
    pub fn fetching(&self, name: &str, address: Ipv4Addr, url: &str) -> GuestSpec {
        let mut spec = self.spec(name, address);
        spec.extra = format!("{} {FETCH}{url}", spec.extra);
        spec
    }

    /// A guest with this name and address.
    #[must_use]
    pub fn spec(&self, name: &str, address: Ipv4Addr) -> GuestSpec {
        let mut spec = GuestSpec::new(name, self.kernel.clone());
        spec.ramdisk = Some(self.ramdisk.clone());
        spec.memory_mib = MEMORY_MIB;
        spec.vif = true;
        spec.extra = format!("{COMMAND_LINE} {ADDRESS}{address}");
        spec
    }
}

fn file_system(root: &Root, triplet: &str, version: &str, agent: &[u8]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.character_device("/dev/console", 5, 1);
    // iperf3 keeps its streams' buffers in files below /tmp.
    for directory in ["/proc", "/sys", "/tmp"] {
        archive.directory(directory);
    }
    let words =
        [("$STARTED", STARTED), ("$READY", READY), ("$ADDRESS", ADDRESS), ("$FETCHED", FETCHED), ("$FETCH", FETCH)];
    let init = words.iter().fold(INIT.to_owned(), |init, (word, text)| init.replace(word, text));
    archive.file("/init", 0o755, init.as_bytes());
    let mut programs = Programs::new(root, triplet);
    programs.add(&mut archive, IPERF)?;
    programs.add_as(&mut archive, AGENT, agent)?;
    programs.finish(&mut archive, None)?;
    busybox(&mut archive, root)?;
    modules::add(&mut archive, MODULE_LIST, root, version, ["xen-netfront"])?;
    Ok(archive.finish())
}

/// iperf3 and its libraries, for dom0: an archive that its `cpio -i` unpacks.
///
/// # Errors
/// [`LinuxGuest::provide`] was not called.
pub fn iperf_for_dom0(machine: &dyn Machine) -> Result<Vec<u8>> {
    let root = Root(machine.linux_guest().root());
    let mut archive = Archive::default();
    let mut programs = Programs::new(&root, machine.triplet());
    programs.add(&mut archive, IPERF)?;
    programs.finish(&mut archive, None)?;
    Ok(archive.finish())
}
