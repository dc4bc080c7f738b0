//! The workspace and its tasks, as cargo describes them.
//!
//! A task is a package with a table `[package.metadata.image]`; [`Settings`] are its keys.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use serde::Deserialize;

use crate::arch::Arch;
use crate::process;

/// Where the workspace lies and which tasks it has.
#[derive(Debug)]
pub struct Workspace {
    /// The folder of the root Cargo.toml.
    pub root: PathBuf,
    /// Cargo's target directory.
    pub target: PathBuf,
    packages: Vec<Package>,
}

/// A package whose program runs as a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The package's name, and the program's.
    pub name: String,
    /// One line about it.
    pub description: String,
    /// What its image needs.
    pub settings: Settings,
}

/// The table `[package.metadata.image]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Memory of the guest; Xen's builder wants 4 at least.
    pub memory_mib: u32,
    /// Whether the guest has a network interface.
    #[serde(default)]
    pub vif: bool,
    /// The build fails above this size of the stripped image.
    pub largest_image_bytes: LargestImage,
}

/// `largest_image_bytes`: a number for all architectures, or one for each: `{ x86_64 = 24000, armv7 = 20000 }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "largest_image_bytes must be a number, or a table with a number for each architecture")]
pub enum LargestImage {
    /// For all.
    Any(u64),
    /// For each.
    Each {
        /// For [`Arch::X86_64`].
        x86_64: u64,
        /// For [`Arch::Armv7`].
        armv7: u64,
    },
}

impl LargestImage {
    /// That for an architecture.
    pub const fn bytes(&self, arch: Arch) -> u64 {
        match (self, arch) {
            (Self::Any(bytes), _)
            | (Self::Each { x86_64: bytes, .. }, Arch::X86_64)
            | (Self::Each { armv7: bytes, .. }, Arch::Armv7) => *bytes,
        }
    }
}

/// What tasks are found by.
#[derive(Debug)]
struct Package {
    name: String,
    description: Option<String>,
    metadata: serde_json::Value,
}

impl Workspace {
    /// Asks cargo about the workspace that xtask itself belongs to.
    ///
    /// # Errors
    /// When cargo does not start, or a Cargo.toml is damaged.
    pub fn load() -> Result<Self> {
        Self::of(Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into())))
    }

    /// Asks cargo about the workspace to which a folder belongs.
    ///
    /// # Errors
    /// As [`Workspace::load`].
    pub fn of(folder: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new().current_dir(folder).no_deps().exec().context("cargo metadata")?;
        let packages = metadata.packages.into_iter().map(|package| Package {
            name: package.name.to_string(),
            description: package.description,
            metadata: package.metadata,
        });
        Ok(Self {
            root: metadata.workspace_root.into(),
            target: metadata.target_directory.into(),
            packages: packages.collect(),
        })
    }

    /// Whether one of its packages has this name.
    pub fn has(&self, name: &str) -> bool {
        self.packages.iter().any(|package| package.name == name)
    }

    /// All tasks, by name.
    pub fn tasks(&self) -> Result<Vec<Task>> {
        let mut tasks = Vec::new();
        for package in &self.packages {
            tasks.extend(package.task()?);
        }
        tasks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tasks)
    }

    /// The task of this name.
    pub fn task(&self, name: &str) -> Result<Task> {
        let mut tasks = self.tasks()?;
        let Some(at) = tasks.iter().position(|task| task.name == name) else {
            let hint = match self.has(name) {
                true => format!(
                    "\"{name}\" is a package, but not a task: a task has [package.metadata.image] in its Cargo.toml"
                ),
                false => format!("there is no task \"{name}\""),
            };
            let names: Vec<_> = tasks.iter().map(|task| task.name.as_str()).collect();
            bail!("{hint}; the tasks are: {}", names.join(", "));
        };
        Ok(tasks.swap_remove(at))
    }

    /// Where a task's image files are put, whatever cargo's target directory is: scenarios and people look here.
    pub fn images(&self, arch: Arch, task: &str) -> PathBuf {
        self.root.join("target/images").join(arch.name()).join(task)
    }

    /// A path as a person reads it: from the current directory or the workspace's root where it lies within.
    pub fn shown<'p>(&self, path: &'p Path) -> std::path::Display<'p> {
        let current = std::env::current_dir().unwrap_or_default();
        path.strip_prefix(&current).or_else(|_| path.strip_prefix(&self.root)).unwrap_or(path).display()
    }

    /// A command of cargo about what runs in a guest.
    #[must_use]
    pub fn in_guest(&self, subcommand: &str, arch: Arch) -> Command {
        let mut cargo = process::cargo();
        cargo.current_dir(&self.root).arg(subcommand).arg("--target").arg(format!("targets/{}.json", arch.target()));
        // Lets the pinned stable compiler take -Z flags: build-std has no stable form yet, nor have targets of one's own.
        cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zjson-target-spec");
        cargo
    }
}

impl Package {
    /// The package as a task, if it is one.
    fn task(&self) -> Result<Option<Task>> {
        let Some(image) = self.metadata.get("image") else { return Ok(None) };
        let settings = Settings::deserialize(image)
            .with_context(|| format!("[package.metadata.image] in the Cargo.toml of \"{}\"", self.name))?;
        if settings.memory_mib < 4 {
            bail!(
                "[package.metadata.image] in the Cargo.toml of \"{}\": memory_mib = {}, but Xen builds no guest with \
                 less than 4",
                self.name,
                settings.memory_mib
            );
        }
        let description = self.description.clone().unwrap_or_default();
        Ok(Some(Task { name: self.name.clone(), description, settings }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Arch, LargestImage, Package, Workspace};

    fn workspace(image: &str) -> Workspace {
        let image: Value = serde_json::from_str(image).unwrap();
        let package = |name: &str, description: Option<&str>, metadata| Package {
            name: name.to_owned(),
            description: description.map(str::to_owned),
            metadata,
        };
        Workspace {
            root: "/spore".into(),
            target: "/spore/target".into(),
            packages: vec![
                package("echo", Some("echoes"), json!({ "image": image })),
                package("adder", None, json!({ "image": { "memory_mib": 4, "largest_image_bytes": 9 } })),
                package("kernel", None, Value::Null),
            ],
        }
    }

    const GOOD: &str = r#"{"memory_mib": 8, "vif": true, "largest_image_bytes": 90000}"#;

    #[test]
    fn a_task_is_found_by_name_with_its_settings() {
        let task = workspace(GOOD).task("echo").unwrap();
        assert_eq!(task.description, "echoes");
        assert_eq!((task.settings.memory_mib, task.settings.vif), (8, true));
        assert_eq!(task.settings.largest_image_bytes, LargestImage::Any(90000));
    }

    #[test]
    fn a_limit_may_differ_between_architectures() {
        let image = r#"{"memory_mib": 8, "largest_image_bytes": {"x86_64": 9, "armv7": 7}}"#;
        let limit = workspace(image).task("echo").unwrap().settings.largest_image_bytes;
        assert_eq!((limit.bytes(Arch::X86_64), limit.bytes(Arch::Armv7)), (9, 7));
        let one = r#"{"memory_mib": 8, "largest_image_bytes": {"x86_64": 9}}"#;
        let error = format!("{:#}", workspace(one).task("echo").unwrap_err());
        assert!(error.contains("a number for each architecture"), "{error}");
    }

    #[test]
    fn a_wrong_name_lists_the_tasks() {
        let error = workspace(GOOD).task("ehco").unwrap_err();
        assert_eq!(error.to_string(), "there is no task \"ehco\"; the tasks are: adder, echo");
    }

    #[test]
    fn a_package_that_is_no_task_is_said_to_be_none() {
        let error = workspace(GOOD).task("kernel").unwrap_err().to_string();
        assert!(error.starts_with("\"kernel\" is a package, but not a task"), "{error}");
    }

    #[test]
    fn an_unknown_setting_names_the_package_and_the_key() {
        let image = r#"{"memory_mib": 8, "largest_image_bytes": 1, "memory": 4}"#;
        let error = format!("{:#}", workspace(image).task("adder").unwrap_err());
        assert!(error.starts_with("[package.metadata.image] in the Cargo.toml of \"echo\": unknown field `memory`"));
        assert!(error.contains("largest_image_bytes"), "{error}");
    }

    #[test]
    fn a_missing_setting_names_the_key() {
        let error = format!("{:#}", workspace(r#"{"memory_mib": 8}"#).tasks().unwrap_err());
        assert!(error.ends_with("missing field `largest_image_bytes`"), "{error}");
    }

    #[test]
    fn too_little_memory_is_refused() {
        let image = r#"{"memory_mib": 2, "largest_image_bytes": 1}"#;
        let error = workspace(image).tasks().unwrap_err().to_string();
        assert!(error.contains("memory_mib = 2, but Xen builds no guest with less than 4"), "{error}");
    }
}
