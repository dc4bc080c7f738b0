//! The images of another revision, built by that revision's own xtask, to compare sizes with.
//!
//! What was built is kept below `target/compare/<commit>`: a second look at the same revision builds nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::process;
use crate::terminal;
use crate::workspace::Workspace;

/// A revision of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The commit's full hash.
    commit: String,
}

impl Revision {
    /// The commit that git finds for a name, such as a branch, a tag, HEAD~3 or the beginning of a hash.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(workspace: &Workspace, name: &str) -> Result<Self> {
        let mut git = git(&workspace.root);
        let asked = git.args(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")]);
        let Ok(output) = process::output(asked) else { bail!("git knows no revision \"{name}\"") };
        Ok(Self { commit: String::from_utf8_lossy(&output.stdout).trim().to_owned() })
    }

    /// As much of the hash as tells it from others.
    pub fn short(&self) -> &str {
        &self.commit[..self.commit.len().min(9)]
    }

    /// Sizes of the revision's images in bytes, by task.
    ///
    /// # Errors
    /// When it does not build.
    pub fn sizes(&self, workspace: &Workspace, arch: Arch) -> Result<BTreeMap<String, u64>> {
        let folder = workspace.target.join("compare");
        let kept = folder.join(&self.commit).join(arch.name());
        if !kept.exists() {
            let tree = Tree::check_out(workspace, folder.join("tree"), &self.commit)?;
            terminal::say(format_args!("building the images of {}, which are kept in target/compare", self.short()));
            let images = tree.build(&folder.join("build"), arch)?;
            // Whole or not at all: a copy that was interrupted must not pass for all of the revision's images.
            let partial = folder.join("partial");
            let _ = fs::remove_dir_all(&partial);
            fs::create_dir_all(&partial)?;
            for (task, image) in &images {
                fs::copy(image, partial.join(format!("{task}.img")))?;
            }
            fs::create_dir_all(folder.join(&self.commit))?;
            fs::rename(&partial, &kept).with_context(|| format!("keep {}", kept.display()))?;
        }
        let mut sizes = BTreeMap::new();
        for entry in fs::read_dir(&kept)? {
            let path = entry?.path();
            let task = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            sizes.insert(task, fs::metadata(&path)?.len());
        }
        Ok(sizes)
    }
}

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(root);
    git
}

/// A second copy of the source. It is always in the same place, so that the compiler finds again what it has built.
struct Tree<'w> {
    workspace: &'w Workspace,
    path: PathBuf,
}

impl<'w> Tree<'w> {
    fn check_out(workspace: &'w Workspace, path: PathBuf, commit: &str) -> Result<Self> {
        let tree = Self { workspace, path };
        // One that an interrupted call has left.
        tree.remove();
        let mut git = git(&workspace.root);
        process::output(git.args(["worktree", "add", "--detach", "--force", "--quiet"]).arg(&tree.path).arg(commit))?;
        Ok(tree)
    }

    /// Builds all images, and returns them by their tasks' names.
    fn build(&self, build: &Path, arch: Arch) -> Result<BTreeMap<String, PathBuf>> {
        // The cargo of the toolchain that the revision asks for, not the one that runs us.
        let mut xtask = Command::new("cargo");
        for variable in ["CARGO", "CARGO_MANIFEST_DIR", "RUSTC", "RUSTUP_TOOLCHAIN"] {
            xtask.env_remove(variable);
        }
        xtask.current_dir(&self.path).env("CARGO_TARGET_DIR", build);
        xtask.args(["run", "--quiet", "--package", "xtask", "--", "size", "--arch", arch.name()]);
        // Its exit status also says whether all images are within their limits, which is no matter here.
        let built = process::output(&mut xtask);
        let images: BTreeMap<_, _> = Workspace::of(&self.path)?
            .tasks()?
            .into_iter()
            .map(|task| {
                let image = self.path.join(format!("target/images/{arch}/{0}/{0}.img", task.name));
                (task.name, image)
            })
            .collect();
        match built {
            Err(error) if !images.values().all(|image| image.exists()) => Err(error),
            _ => Ok(images),
        }
    }

    fn remove(&self) {
        let mut git = git(&self.workspace.root);
        // Without a tree there is nothing to remove.
        let _ = process::output(git.args(["worktree", "remove", "--force"]).arg(&self.path));
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}
