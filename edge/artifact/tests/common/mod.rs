//! Tasks, folders and keys for the tests.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};

use artifact::{Architecture, Built, Config, Feature, Layout, Reference, pack};
use description::Description;
use protocol::{Digest, SecretKey, Tenant};
use tempfile::TempDir;

/// A folder with artifacts, which goes with the test.
pub struct Folder {
    pub layout: Layout,
    pub path: PathBuf,
    _temporary: TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("tasks");
        Self { layout: Layout::create(&path).unwrap(), path, _temporary: temporary }
    }

    /// Changes the file of a blob.
    pub fn change(&self, digest: Digest, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path.join("blobs/sha256").join(digest.hex());
        let mut content = std::fs::read(&path).unwrap();
        change(&mut content);
        std::fs::write(&path, content).unwrap();
    }

    /// Packs a task whose image for each CPU is the given bytes.
    pub fn task(&self, tenant: &str, task: &str, image: &[u8]) -> Digest {
        let built = [Architecture::X86_64, Architecture::Armv7].map(|one| built(one, task, image));
        let tag = Reference::Tag(task.parse().unwrap());
        pack(&built, &tenant.parse().unwrap(), &self.layout, Some(&tag)).unwrap()
    }
}

/// A built image of a task.
pub fn built(architecture: Architecture, task: &str, image: &[u8]) -> Built {
    let config = Config::new(Description::of::<(), u32>(task), 4, vec![Feature::Network]).unwrap();
    Built { architecture, config, image: [architecture.name().as_bytes(), image].concat() }
}

pub fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

pub fn key() -> SecretKey {
    SecretKey::new()
}

/// The names of the files in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
