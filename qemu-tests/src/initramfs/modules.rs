//! Kernel modules in the order in which they load.

use crate::cpio::Archive;
use crate::elf;
use crate::root::Root;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// Adds modules of a kernel and, at `list`, the list of their paths, each after those that it needs. What is built into
/// the kernel is left out.
///
/// # Errors
/// There is no such kernel or module in the packages.
pub fn add<'m>(
    archive: &mut Archive,
    list: &str,
    root: &Root,
    kernel: &str,
    modules: impl IntoIterator<Item = &'m str>,
) -> Result<()> {
    let folder = format!("/lib/modules/{kernel}");
    let files = root.files_below(&format!("{folder}/kernel"))?;
    let by_name: BTreeMap<String, &String> = files.iter().filter_map(|file| Some((module_name(file)?, file))).collect();
    let built_in = String::from_utf8_lossy(&root.read(&format!("{folder}/modules.builtin"))?).into_owned();
    let built_in: BTreeSet<String> = built_in.lines().filter_map(module_name).collect();
    let mut order = Vec::new();
    let mut load = Load { root, by_name: &by_name, built_in: &built_in, order: &mut order };
    for module in modules {
        load.add(module)?;
    }
    let mut lines = String::new();
    for (path, content) in order {
        archive.file(&path, 0o644, &content);
        lines += &format!("{path}\n");
    }
    archive.file(list, 0o644, lines.as_bytes());
    Ok(())
}

/// A script with which a running dom0 loads the modules of such a list that it does not have yet.
#[must_use]
pub fn load(list: &str) -> String {
    format!(
        "while read -r path; do
            name=$(basename $path .ko | tr - _)
            grep -q \"^$name \" /proc/modules || insmod $path || exit 1
        done <{list}"
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_names_are_the_kernels() {
        assert_eq!(module_name("/lib/modules/6/kernel/xen-evtchn.ko").as_deref(), Some("xen_evtchn"));
        assert_eq!(module_name("/lib/modules/6/kernel/readme"), None);
    }
}
