//! Programs with the libraries and the loaders that they need.

use crate::cpio::Archive;
use crate::elf;
use crate::root::Root;
use anyhow::{Context, Result};
use std::collections::BTreeSet;

/// Adds programs to an archive, and their libraries when all programs are there.
pub struct Programs<'a> {
    /// The unpacked packages.
    root: &'a Root,
    /// Debian's name for the folder of this CPU's libraries.
    triplet: &'a str,
    /// Names of libraries that were asked for.
    wanted: BTreeSet<String>,
}

impl<'a> Programs<'a> {
    /// None yet.
    #[must_use]
    pub fn new(root: &'a Root, triplet: &'a str) -> Self {
        Self { root, triplet, wanted: BTreeSet::new() }
    }

    /// Adds a program of the packages at its own path.
    ///
    /// # Errors
    /// It, or its loader, is not in the packages.
    pub fn add(&mut self, archive: &mut Archive, path: &str) -> Result<()> {
        self.add_as(archive, path, &self.root.read(path)?).with_context(|| path.to_owned())
    }

    /// Adds a program from elsewhere.
    ///
    /// # Errors
    /// Its loader is not in the packages.
    pub fn add_as(&mut self, archive: &mut Archive, path: &str, content: &[u8]) -> Result<()> {
        let needs = elf::needs(content)?;
        if let Some(loader) = needs.loader {
            archive.file(&loader, 0o755, &self.root.read(&loader)?);
        }
        self.wanted.extend(needs.libraries);
        archive.file(path, 0o755, content);
        Ok(())
    }

    /// Asks for a library that no program names.
    pub fn want(&mut self, library: &str) {
        self.wanted.insert(library.to_owned());
    }

    /// Adds the libraries and those that they need in turn, where the loader looks first. `more` is a folder to look in
    /// beside the usual ones.
    ///
    /// # Errors
    /// One is not in the packages.
    pub fn finish(self, archive: &mut Archive, more: Option<&str>) -> Result<()> {
        let triplet = self.triplet;
        let usual = [format!("lib/{triplet}"), format!("usr/lib/{triplet}")];
        let folders: Vec<&str> = usual.iter().map(String::as_str).chain(more).collect();
        let mut left: Vec<String> = self.wanted.into_iter().collect();
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
}
