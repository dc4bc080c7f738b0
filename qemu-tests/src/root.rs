//! A folder that looks like the root of a Debian system, and the files in it as that system would see them.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The longest chain of symbolic links that is followed.
const LONGEST_CHAIN: usize = 16;

/// Unpacked packages.
#[derive(Debug, Clone)]
pub struct Root(pub PathBuf);

impl Root {
    /// Where a path of that system lies on this one; symbolic links are followed within the folder, absolute ones too.
    ///
    /// # Errors
    /// There is no such file.
    pub fn resolve(&self, path: &str) -> Result<PathBuf> {
        let mut path = PathBuf::from(path.trim_start_matches('/'));
        for _ in 0..LONGEST_CHAIN {
            let place = self.0.join(&path);
            match fs::read_link(&place) {
                Ok(target) => {
                    let above = path.parent().unwrap_or(Path::new(""));
                    path = inside(&above.join(target));
                }
                Err(_) if place.exists() => return Ok(place),
                Err(_) => break,
            }
        }
        bail!("{} is not in the unpacked packages", path.display())
    }

    /// A file's content.
    ///
    /// # Errors
    /// There is no such file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let place = self.resolve(path)?;
        fs::read(&place).with_context(|| format!("read {}", place.display()))
    }

    /// All regular files and links below a folder, as paths of that system.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn files_below(&self, folder: &str) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let mut folders = vec![folder.trim_end_matches('/').to_owned()];
        while let Some(folder) = folders.pop() {
            let place = self.0.join(folder.trim_start_matches('/'));
            for entry in fs::read_dir(&place).with_context(|| format!("read {}", place.display()))? {
                let entry = entry?;
                let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
                match entry.file_type()?.is_dir() {
                    true => folders.push(path),
                    false => files.push(path),
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

/// A link's target as a path below the root: without a leading slash, without `..`.
fn inside(path: &Path) -> PathBuf {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir => inside.clear(),
            Component::ParentDir => drop(inside.pop()),
            Component::Normal(name) => inside.push(name),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_root() {
        assert_eq!(inside(Path::new("lib64/./ld.so")), Path::new("lib64/ld.so"));
        assert_eq!(inside(Path::new("/lib/x/ld.so")), Path::new("lib/x/ld.so"));
        assert_eq!(inside(&Path::new("usr/lib").join("../../lib/x")), Path::new("lib/x"));
    }
}
