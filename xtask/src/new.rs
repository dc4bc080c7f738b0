//! The package of a new task, from the templates beside this crate's source.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::workspace::Workspace;

/// What the task uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Console and parameters.
    Plain,
    /// The network as well.
    Network,
    /// A feed of readings as well.
    Feed,
}

/// The program of every task.
const MAIN: &str = include_str!("../templates/main.rs");

/// Longest name: xl shows it in a column, and part of it is a file's.
const LONGEST_NAME: usize = 32;

impl Kind {
    /// The files of a task of this name, by their paths in its package.
    pub fn files(self, name: &str) -> Vec<(PathBuf, String)> {
        let [manifest, library, test] = match self {
            Self::Plain => [
                include_str!("../templates/plain/Cargo.toml"),
                include_str!("../templates/plain/lib.rs"),
                include_str!("../templates/plain/test.rs"),
            ],
            Self::Network => [
                include_str!("../templates/network/Cargo.toml"),
                include_str!("../templates/network/lib.rs"),
                include_str!("../templates/network/test.rs"),
            ],
            Self::Feed => [
                include_str!("../templates/feed/Cargo.toml"),
                include_str!("../templates/feed/lib.rs"),
                include_str!("../templates/feed/test.rs"),
            ],
        };
        let files = [("Cargo.toml", manifest), ("src/lib.rs", library), ("src/main.rs", MAIN), ("tests/host.rs", test)];
        let filled = |text: &str| text.replace("{name}", name).replace("{crate}", &name.replace('-', "_"));
        files.map(|(path, text)| (path.into(), filled(text))).into()
    }
}

/// Writes the package of a task below tasks/ and adds it to the workspace; returns its folder.
///
/// # Errors
/// When the name cannot be a task's, or there is something of this name already. Nothing is left behind then.
pub fn create(workspace: &Workspace, name: &str, kind: Kind) -> Result<PathBuf> {
    let folder = workspace.root.join("tasks").join(name);
    check_name(name)?;
    ensure!(!workspace.has(name), "there is a package \"{name}\" in the workspace already");
    ensure!(!folder.exists(), "there is a folder {} already", workspace.shown(&folder));
    ensure!(!["alloc", "core", "std"].contains(&name), "\"{name}\" is a crate that Rust brings");
    let lock = fs::read_to_string(workspace.root.join("Cargo.lock")).context("read Cargo.lock")?;
    let is_dependency = lock.lines().any(|line| line == format!("name = \"{name}\""));
    ensure!(!is_dependency, "\"{name}\" is a crate that Spore uses: two of one name would be mixed up");

    // Cargo knows which names Rust does not take, and adds the package to the workspace's members.
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root).args(["new", "--lib", "--quiet", "--vcs", "none"]);
    cargo.arg(Path::new("tasks").join(name));
    process::output(&mut cargo)?;
    for (path, text) in kind.files(name) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    // The order of imports and the breaks of lines depend on the name.
    process::output(process::cargo().current_dir(&workspace.root).args(["fmt", "--package", name]))?;
    // Cargo.lock has the workspace's packages as well, and checks want it complete.
    process::output(process::cargo().current_dir(&workspace.root).args([
        "update",
        "--workspace",
        "--offline",
        "--quiet",
    ]))?;
    Ok(folder)
}

/// Refuses what cargo would take and a task cannot be called.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) || name.ends_with('-') {
        bail!("\"{name}\" is no name for a task: small letters, digits and \"-\", such as \"peak\" or \"door-bell\"");
    }
    ensure!(name.len() <= LONGEST_NAME, "\"{name}\" is longer than {LONGEST_NAME} letters");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Kind, check_name};

    #[test]
    fn a_name_is_one_of_a_package_and_a_guest() {
        for good in ["peak", "door-bell", "a1"] {
            check_name(good).unwrap();
        }
        for bad in ["", "Peak", "1a", "door_bell", "-x", "x-", "a/b", "../x", "é"] {
            assert!(check_name(bad).unwrap_err().to_string().contains("is no name for a task"), "{bad}");
        }
        assert!(check_name(&"a".repeat(33)).unwrap_err().to_string().contains("longer than 32"));
    }

    #[test]
    fn no_place_for_the_name_is_left_open() {
        for kind in [Kind::Plain, Kind::Network, Kind::Feed] {
            for (path, text) in kind.files("door-bell") {
                assert!(!text.contains("{name}") && !text.contains("{crate}"), "{}", path.display());
                let is_binding = path.ends_with("src/main.rs") || path.ends_with("tests/host.rs");
                assert_eq!(text.contains("door_bell"), is_binding, "{}", path.display());
            }
        }
    }
}
