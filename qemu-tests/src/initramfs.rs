//! dom0's first and only file system, made from the unpacked packages and the agent.
//!
//! It holds the agent as `/init`, the Xen tools, busybox with all of its names, bash for Xen's hotplug scripts, the libraries that these
//! need and the kernel modules of the bed in the order in which they load. It is not compressed: unpacking costs emulated time.

use crate::cpio::Archive;
use crate::elf;
use crate::root::Root;
use anyhow::{Context, Result, bail};
use bed_agent::protocol::MODULE_LIST;
use std::collections::{BTreeMap, BTreeSet};

/// The Xen tools that run in dom0.
const XEN_TOOLS: [&str; 6] = ["xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0", "libxl-save-helper"];
/// The one program behind all `xenstore-*` commands, and the names that scripts and people use.
const XENSTORE_NAMES: [&str; 8] = ["chmod", "exists", "list", "ls", "read", "rm", "watch", "write"];
/// Modules that every machine's dom0 needs; those of its bus for virtio come from the machine.
const MODULES: [&str; 13] = [
    "virtio_console",
    "virtio_net",
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

/// Connects a guest's interface to the bridge. Xen's own script, `vif-bridge`, does the same and costs two seconds more of the emulated
/// CPU for each guest; it is there too, for the scenario that asks for it.
const HOTPLUG_SCRIPT: &str = r#"#!/bin/sh
case "$1" in
add | online)
    ip link set "$vif" master "$(xenstore-read "$XENBUS_PATH/bridge")" up &&
        xenstore-write "$XENBUS_PATH/hotplug-status" connected
    ;;
esac
"#;
const HOTPLUG_NAME: &str = "vif-bed";

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
        archive.file("/etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
        archive.file("/etc/group", 0o644, b"root:x:0:\n");
        self.programs(&mut archive)?;
        self.modules(&mut archive)?;
        Ok(archive.finish())
    }

    fn programs(&self, archive: &mut Archive) -> Result<()> {
        let folder = format!("/usr/lib/xen-{}/bin", self.xen);
        let mut programs = vec!["/bin/bash".to_owned(), "/usr/bin/xenstore".to_owned()];
        for tool in XEN_TOOLS {
            programs.push(format!("{folder}/{tool}"));
            archive.link(&format!("/usr/sbin/{tool}"), &format!("{folder}/{tool}"));
        }
        for name in XENSTORE_NAMES {
            archive.link(&format!("/usr/bin/xenstore-{name}"), "xenstore");
        }
        // xl loads it while a thread ends, by dlopen: no ELF file names it.
        let mut libraries = BTreeSet::from(["libgcc_s.so.1".to_owned()]);
        self.collect(self.agent, archive, &mut libraries).context("the agent")?;
        archive.file("/init", 0o755, self.agent);
        for program in &programs {
            let content = self.root.read(program)?;
            self.collect(&content, archive, &mut libraries).with_context(|| program.clone())?;
            archive.file(program, 0o755, &content);
        }
        self.libraries(archive, libraries)?;
        let settings = self.root.read("/etc/xen/xl.conf")?;
        let default = format!("\nvif.default.script=\"{HOTPLUG_NAME}\"\n");
        archive.file("/etc/xen/xl.conf", 0o644, &[settings.as_slice(), default.as_bytes()].concat());
        archive.file(&format!("/etc/xen/scripts/{HOTPLUG_NAME}"), 0o755, HOTPLUG_SCRIPT.as_bytes());
        for file in self.root.files_below("/etc/xen")? {
            archive.file(&file, 0o755, &self.root.read(&file)?);
        }
        // Before its names, which has "busybox" among them.
        let busybox = self.root.read("/bin/busybox")?;
        archive.file("/bin/busybox", 0o755, &busybox);
        for name in busybox_names(&busybox)? {
            archive.link(&format!("/bin/{name}"), "busybox");
        }
        Ok(())
    }

    /// Notes a file's libraries, and adds its loader under the path that it asks for.
    fn collect(&self, content: &[u8], archive: &mut Archive, libraries: &mut BTreeSet<String>) -> Result<()> {
        let needs = elf::needs(content)?;
        if let Some(loader) = needs.loader {
            archive.file(&loader, 0o755, &self.root.read(&loader)?);
        }
        libraries.extend(needs.libraries);
        Ok(())
    }

    /// Adds libraries and those that they need in turn, where the loader looks first.
    fn libraries(&self, archive: &mut Archive, wanted: BTreeSet<String>) -> Result<()> {
        let triplet = self.triplet;
        let private = format!("usr/lib/xen-{}/lib/{triplet}", self.xen);
        let folders = [format!("lib/{triplet}"), format!("usr/lib/{triplet}"), private];
        let mut left: Vec<String> = wanted.into_iter().collect();
        while let Some(name) = left.pop() {
            let path = format!("/lib/{triplet}/{name}");
            if archive.contains(&path) {
                continue;
            }
            let found = folders.iter().find_map(|folder| self.root.read(&format!("/{folder}/{name}")).ok());
            let content = found.with_context(|| format!("library {name} is not in the unpacked packages"))?;
            left.extend(elf::needs(&content).with_context(|| name.clone())?.libraries);
            archive.file(&path, 0o644, &content);
        }
        Ok(())
    }

    /// Adds the modules and the list of their paths, each after those that it needs.
    fn modules(&self, archive: &mut Archive) -> Result<()> {
        let folder = format!("/lib/modules/{}", self.kernel);
        let files = self.root.files_below(&format!("{folder}/kernel"))?;
        let by_name: BTreeMap<String, &String> =
            files.iter().filter_map(|file| Some((module_name(file)?, file))).collect();
        let built_in = String::from_utf8_lossy(&self.root.read(&format!("{folder}/modules.builtin"))?).into_owned();
        let built_in: BTreeSet<String> = built_in.lines().filter_map(module_name).collect();
        let mut order = Vec::new();
        let mut load = Load { root: &self.root, by_name: &by_name, built_in: &built_in, order: &mut order };
        for module in self.modules.iter().chain(&MODULES) {
            load.add(module)?;
        }
        let mut list = String::new();
        for (path, content) in order {
            archive.file(&path, 0o644, &content);
            list += &format!("{path}\n");
        }
        archive.file(MODULE_LIST, 0o644, list.as_bytes());
        Ok(())
    }
}

/// Brings modules into an order in which they load.
struct Load<'a> {
    root: &'a Root,
    by_name: &'a BTreeMap<String, &'a String>,
    built_in: &'a BTreeSet<String>,
    order: &'a mut Vec<(String, Vec<u8>)>,
}

impl Load<'_> {
    fn add(&mut self, name: &str) -> Result<()> {
        let name = name.replace('-', "_");
        if self.built_in.contains(&name) {
            return Ok(());
        }
        let Some(path) = self.by_name.get(&name) else { bail!("kernel module {name} is not in the kernel's package") };
        if self.order.iter().any(|(added, _)| added == *path) {
            return Ok(());
        }
        let content = self.root.read(path)?;
        for needed in elf::module_needs(&content).with_context(|| (*path).clone())? {
            self.add(&needed)?;
        }
        self.order.push(((*path).clone(), content));
        Ok(())
    }
}

/// `xen_evtchn` of `/lib/.../xen-evtchn.ko`: files have dashes where the kernel says underscores.
fn module_name(path: &str) -> Option<String> {
    Some(path.rsplit('/').next()?.strip_suffix(".ko")?.replace('-', "_"))
}

/// The commands that a busybox has, from the table of names in the program: it may be for another CPU and cannot be asked.
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

    #[test]
    fn module_names_are_the_kernels() {
        assert_eq!(module_name("/lib/modules/6/kernel/xen-evtchn.ko").as_deref(), Some("xen_evtchn"));
        assert_eq!(module_name("/lib/modules/6/kernel/readme"), None);
    }
}
