//! What several tests need.

use std::fs;
use std::path::{Path, PathBuf};

/// The files below a directory that are wanted, without what is built, and git's own.
pub fn files(directory: &Path, wanted: impl Fn(&Path) -> bool + Copy) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable directory").path();
        match path.file_name().unwrap_or_default().to_string_lossy().as_ref() {
            "target" | ".git" => {}
            _ if path.is_dir() => found.append(&mut files(&path, wanted)),
            _ if wanted(&path) => found.push(path),
            _ => {}
        }
    }
    found
}
