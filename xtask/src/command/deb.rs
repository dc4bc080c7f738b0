//! `deb`: Debian's package of the edge node.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::terminal;
use crate::workspace::Workspace;

/// The programs and the packages that they are built of.
const PROGRAMS: [(&str, &str, &str); 3] =
    [("node", "spored", "usr/sbin"), ("node", "spore-vif", "usr/lib/spore"), ("cli", "spore", "usr/bin")];
/// What Debian calls the processor that this is built on.
const HERE: &str = match std::env::consts::ARCH.as_bytes() {
    b"aarch64" => "arm64",
    b"arm" => "armhf",
    _ => "amd64",
};

/// Make Debian's package of the edge node: spored, spore, their manual pages and the systemd unit.
///
/// It is installed in dom0 with `apt install ./spored_*.deb`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Take the programs from this folder instead of building them for this machine.
    #[arg(long, requires = "architecture")]
    programs: Option<PathBuf>,
    /// Debian's name of the processor that they are for.
    #[arg(long, value_parser = ["amd64", "arm64", "armhf"])]
    architecture: Option<String>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let root = workspace.root.as_path();
    let programs = match &arguments.programs {
        Some(folder) => folder.clone(),
        None => build(root)?,
    };
    let architecture = arguments.architecture.as_deref().unwrap_or(HERE);
    let folder = root.join("target/deb").join(architecture);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    lay_out(root, &folder, &programs)?;
    describe(root, &folder, (architecture == HERE).then(|| programs.join("spore")))?;
    let package = control(root, &folder, architecture)?;
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", "-Zxz", "--build"]).arg(&folder).arg(&package);
    process::run(&mut pack).context("dpkg-deb makes the package; it is a part of Debian")?;
    terminal::say(format_args!("{} ({} bytes)", package.display(), fs::metadata(&package)?.len()));
    Ok(ExitCode::SUCCESS)
}

/// Builds the programs; the folder in which they are.
fn build(root: &Path) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--release", "--locked", "--bins", "-p", "node", "-p", "cli"]).current_dir(root);
    process::run(&mut cargo)?;
    Ok(root.join("target/release"))
}

/// Puts everything that is installed where it goes.
fn lay_out(root: &Path, folder: &Path, programs: &Path) -> Result<()> {
    for (_, program, place) in PROGRAMS {
        let path = install(folder, &format!("{place}/{program}"), 0o755, &read(&programs.join(program))?)?;
        let mut strip = Command::new("objcopy");
        // A package for another processor brings its programs without symbols.
        if path.exists() && strip.args(["--strip-all"]).arg(&path).output().is_err() {
            terminal::say(format_args!("objcopy is not there: {program} keeps its symbols"));
        }
    }
    let debian = root.join("edge/node/debian");
    install(folder, "usr/lib/systemd/system/spored.service", 0o644, &read(&debian.join("spored.service"))?)?;
    install(folder, "etc/spore/node.toml", 0o644, &read(&debian.join("node.toml"))?)?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        install(folder, &format!("usr/share/doc/spored/{licence}"), 0o644, &read(&root.join(licence))?)?;
    }
    install(folder, "usr/share/doc/spored/node.md", 0o644, &read(&root.join("docs/node.md"))?)?;
    Ok(())
}

/// Manual pages and completions, written by the program itself: the one of the package where it runs here.
fn describe(root: &Path, folder: &Path, packed: Option<PathBuf>) -> Result<()> {
    let spore = |words: &[&str]| {
        let mut command = packed.as_ref().map_or_else(process::cargo, Command::new);
        if packed.is_none() {
            command.args(["run", "--quiet", "--locked", "-p", "cli", "--"]).current_dir(root);
        }
        process::output(command.args(words))
    };
    let man = folder.join("usr/share/man/man1");
    fs::create_dir_all(&man)?;
    spore(&["man", &man.display().to_string()])?;
    for (shell, place) in [
        ("bash", "usr/share/bash-completion/completions/spore"),
        ("zsh", "usr/share/zsh/vendor-completions/_spore"),
        ("fish", "usr/share/fish/vendor_completions.d/spore.fish"),
    ] {
        install(folder, place, 0o644, &spore(&["completions", shell])?.stdout)?;
    }
    Ok(())
}

/// Writes what dpkg must know; the package's path.
fn control(root: &Path, folder: &Path, architecture: &str) -> Result<PathBuf> {
    let version = env!("CARGO_PKG_VERSION");
    let control = format!(
        "Package: spored\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: Spore's maintainers\n\
         Section: admin\nPriority: optional\nDepends: libc6 (>= 2.36), xen-utils-common\n\
         Recommends: bridge-utils\nDescription: runs offloaded tasks on a Xen board, each in a guest of its own\n \
         spored is the node in dom0: it takes signed commands from tenants, fetches and\n verifies their tasks, runs \
         each within its quota, and keeps results until they\n are taken. spore is what a person types.\n"
    );
    install(folder, "DEBIAN/control", 0o644, control.as_bytes())?;
    install(folder, "DEBIAN/conffiles", 0o644, b"/etc/spore/node.toml\n")?;
    for script in ["postinst", "prerm", "postrm"] {
        install(folder, &format!("DEBIAN/{script}"), 0o755, &read(&root.join("edge/node/debian").join(script))?)?;
    }
    Ok(folder.with_file_name(format!("spored_{version}_{architecture}.deb")))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Writes a file of the package.
fn install(folder: &Path, place: &str, mode: u32, content: &[u8]) -> Result<PathBuf> {
    let path = folder.join(place);
    let parent = path.parent().context("a file is in a folder")?;
    fs::create_dir_all(parent)?;
    fs::write(&path, content)?;
    fs::set_permissions(&path, Permissions::from_mode(mode))?;
    ensure!(!content.is_empty(), "{place} is empty");
    Ok(path)
}
