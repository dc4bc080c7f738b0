//! dom0's first and only file system, made from the unpacked packages and the agent.
//!
//! It holds the agent as `/init`, the Xen tools, busybox with all of its names, bash for Xen's hotplug scripts, the
//! libraries that these need and the kernel modules of the bed in the order in which they load. It is not compressed:
//! unpacking costs emulated time.

pub mod modules;
pub mod programs;

use crate::cpio::Archive;
use crate::root::Root;
use anyhow::{Context, Result};
use bed_agent::protocol::MODULE_LIST;
use programs::Programs;

/// The Xen tools that run in dom0.
const XEN_TOOLS: [&str; 7] =
    ["xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0", "libxl-save-helper", "xentrace"];
/// The one program behind all `xenstore-*` commands, and the names that scripts and people use.
const XENSTORE_NAMES: [&str; 8] = ["chmod", "exists", "list", "ls", "read", "rm", "watch", "write"];
/// Modules that every machine's dom0 needs; those of its bus for virtio come from the machine.
const MODULES: [&str; 14] = [
    "virtio_console",
    "virtio_net",
    "virtio_rng",
    "xen-privcmd",
    "xenfs",
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-netback",
    "llc",
    "stp",
    "bridge",
    "failover",
    "pktgen",
];

/// Connects a guest's interface to the bridge. Xen's own script, `vif-bridge`, does the same and costs two seconds more
/// of the emulated CPU for each guest; it is there too, for the scenario that asks for it.
const HOTPLUG_SCRIPT: &str = r#"#!/bin/sh
case "$1" in
add | online)
    ip link set "$vif" master "$(xenstore-read "$XENBUS_PATH/bridge")" up &&
        xenstore-write "$XENBUS_PATH/hotplug-status" connected
    ;;
esac
"#;
const HOTPLUG_NAME: &str = "vif-bed";

/// Users. tcpdump wants to continue as the user of its name: that is root too, so that it can write into the shared
/// folder.
const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\ntcpdump:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";

/// What the file system is made of.
#[derive(Debug)]
pub struct Ingredients<'a> {
    /// The unpacked packages.
    pub root: Root,
    /// The kernel's version, as in `/lib/modules/<version>`.
    pub kernel: &'a str,
    /// Xen's version, as in `/usr/lib/xen-<version>`.
    pub xen: &'a str,
    /// Debian's name for the folder of this CPU's libraries.
    pub triplet: &'a str,
    /// The machine's modules, beyond those of every machine.
    pub modules: &'a [&'a str],
    /// The agent.
    pub agent: &'a [u8],
}

impl Ingredients<'_> {
    /// Makes the archive.
    ///
    /// # Errors
    /// A file, a library or a module is not in the packages.
    pub fn make(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        // The kernel opens it for the first process's input and output, before anything is mounted.
        archive.character_device("/dev/console", 5, 1);
        for directory in ["/proc", "/sys", "/run", "/tmp", "/root", "/var/log/xen", "/etc/xen/auto"] {
            archive.directory(directory);
        }
        archive.link("/var/run", "/run");
        archive.link("/var/lock", "/run/lock");
        archive.file("/etc/passwd", 0o644, PASSWD);
        archive.file("/etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
        self.programs(&mut archive)?;
        modules::add(&mut archive, MODULE_LIST, &self.root, self.kernel, self.modules.iter().chain(&MODULES).copied())?;
        Ok(archive.finish())
    }

    fn programs(&self, archive: &mut Archive) -> Result<()> {
        let folder = format!("/usr/lib/xen-{}/bin", self.xen);
        let mut programs = Programs::new(&self.root, self.triplet);
        programs.add_as(archive, "/init", self.agent).context("the agent")?;
        programs.add(archive, "/bin/bash")?;
        programs.add(archive, "/usr/bin/xenstore")?;
        for tool in XEN_TOOLS {
            programs.add(archive, &format!("{folder}/{tool}"))?;
            archive.link(&format!("/usr/sbin/{tool}"), &format!("{folder}/{tool}"));
        }
        for name in XENSTORE_NAMES {
            archive.link(&format!("/usr/bin/xenstore-{name}"), "xenstore");
        }
        // xl loads it while a thread ends, by dlopen: no ELF file names it.
        programs.want("libgcc_s.so.1");
        programs.finish(archive, Some(&format!("usr/lib/xen-{}/lib/{}", self.xen, self.triplet)))?;
        let settings = self.root.read("/etc/xen/xl.conf")?;
        let default = format!("\nvif.default.script=\"{HOTPLUG_NAME}\"\n");
        archive.file("/etc/xen/xl.conf", 0o644, &[settings.as_slice(), default.as_bytes()].concat());
        archive.file(&format!("/etc/xen/scripts/{HOTPLUG_NAME}"), 0o755, HOTPLUG_SCRIPT.as_bytes());
        for file in self.root.files_below("/etc/xen")? {
            archive.file(&file, 0o755, &self.root.read(&file)?);
        }
        busybox(archive, &self.root)
    }
}

/// Adds busybox under all of its names.
///
/// # Errors
/// It is not in the packages.
pub fn busybox(archive: &mut Archive, root: &Root) -> Result<()> {
    let program = root.read("/bin/busybox")?;
    // Before its names, which has "busybox" among them.
    archive.file("/bin/busybox", 0o755, &program);
    for name in busybox_names(&program)? {
        archive.link(&format!("/bin/{name}"), "busybox");
    }
    Ok(())
}

/// The commands that a busybox has, from the table of names in the program: it may be for another CPU and cannot be
/// asked.
///
/// # Errors
/// There is no such table.
fn busybox_names(program: &[u8]) -> Result<Vec<String>> {
    // Sorted, so it begins with "[" and "[[", and ends with an empty name.
    let start = b"\0[\0[[\0a";
    let at =
        program.windows(start.len()).position(|window| window == start).context("busybox has no table of names")?;
    let names = program[at + 1..].split(|byte| *byte == 0).take_while(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busybox_names_end_at_the_empty_one() {
        let names = busybox_names(b"code\0[\0[[\0ash\0cat\0\0more").unwrap();
        assert_eq!(names, ["[", "[[", "ash", "cat"]);
        assert!(busybox_names(b"nothing").is_err());
    }
}
