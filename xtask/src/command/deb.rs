//! `deb`: Debian's package of the edge node.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::licenses;
use crate::process;
use crate::terminal;
use crate::workspace::Workspace;

/// The programs and the packages that they are built of.
const PROGRAMS: [(&str, &str, &str); 3] =
    [("node", "spored", "usr/sbin"), ("node", "spore-vif", "usr/lib/spore"), ("cli", "spore", "usr/bin")];
/// Debian's names of processors, and Rust's of the targets that programs for them are built for.
const TARGETS: [(&str, &str); 3] = [
    ("amd64", "x86_64-unknown-linux-gnu"),
    ("arm64", "aarch64-unknown-linux-gnu"),
    ("armhf", "armv7-unknown-linux-gnueabihf"),
];
/// The package's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where its documents are.
const DOC: &str = "usr/share/doc/spored";
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
    let named = TARGETS.into_iter().find(|(name, _)| *name == architecture);
    let named = named.with_context(|| format!("no target for {architecture}"))?;
    let maintainer = maintainer(root)?;
    let folder = root.join("target/deb").join(architecture);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    lay_out(root, &folder, &programs)?;
    describe(root, &folder, (architecture == HERE).then(|| programs.join("spore")))?;
    notices(&workspace, &folder, named, &maintainer)?;
    let package = control(root, &folder, architecture, &maintainer)?;
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
    packed(folder, "usr/share/man/man8/spored.8", &read(&debian.join("spored.8"))?)?;
    packed(folder, &format!("{DOC}/node.md"), &read(&root.join("docs/node.md"))?)
}

/// What the licences of all that is in the programs ask for, and when they were made.
fn notices(workspace: &Workspace, folder: &Path, (_, target): (&str, &str), maintainer: &str) -> Result<()> {
    let notices = licenses::of_programs(workspace, &["node", "cli"], target)?;
    packed(folder, &format!("{DOC}/notices"), notices.as_bytes())?;
    // Debian wants no file named so to repeat the Apache licence, which its base system has.
    let head = "Spore is under the MIT licence, which follows, or the Apache licence 2.0, as you like; on Debian that is\n\
                /usr/share/common-licenses/Apache-2.0. What else is compiled into the programs, and the notices that its\n\
                licences ask for: notices.gz and rust-library.html.gz, beside this file.\n\n";
    let own = [head.as_bytes(), &read(&workspace.root.join("LICENSE-MIT"))?].concat();
    install(folder, &format!("{DOC}/copyright"), 0o644, &own)?;
    packed(folder, &format!("{DOC}/rust-library.html"), &licenses::library_of_programs()?)?;
    let mut date = Command::new("git");
    let date = process::output(date.current_dir(&workspace.root).args(["log", "-1", "--format=%cD"]))?;
    let date = String::from_utf8(date.stdout).context("a date")?;
    let changelog = format!(
        "spored ({VERSION}) unstable; urgency=medium\n\n  * CHANGELOG.md in the source says what is new.\n\n \
         -- {maintainer}  {date}"
    );
    packed(folder, &format!("{DOC}/changelog"), changelog.as_bytes())
}

/// Who made the package, as Debian's own tools ask it: DEBFULLNAME and DEBEMAIL, or else who makes commits here.
fn maintainer(root: &Path) -> Result<String> {
    let of = |variable: &str, key: &str| -> Result<String> {
        if let Ok(value) = std::env::var(variable) {
            return Ok(value);
        }
        let mut git = Command::new("git");
        let output = process::output(git.current_dir(root).args(["config", key]));
        let output = output.with_context(|| format!("the package needs a maintainer: set {variable}"))?;
        Ok(String::from_utf8(output.stdout).context(key.to_owned())?.trim().to_owned())
    };
    Ok(format!("{} <{}>", of("DEBFULLNAME", "user.name")?, of("DEBEMAIL", "user.email")?))
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
    for page in fs::read_dir(&man)? {
        pack(&page?.path())?;
    }
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
fn control(root: &Path, folder: &Path, architecture: &str, maintainer: &str) -> Result<PathBuf> {
    let sums = "find . -type f -printf '%P\\n' | grep -v ^DEBIAN/ | LC_ALL=C sort | xargs -d '\\n' md5sum";
    let sums = process::output(Command::new("sh").args(["-c", sums]).current_dir(folder))?.stdout;
    let used = process::output(Command::new("du").arg("-sk").arg(folder))?.stdout;
    let installed_kib = String::from_utf8_lossy(&used).split_whitespace().next().unwrap_or_default().to_owned();
    let control = format!(
        "Package: spored\nVersion: {VERSION}\nArchitecture: {architecture}\nMaintainer: {maintainer}\n\
         Installed-Size: {installed_kib}\nSection: admin\nPriority: optional\n\
         Depends: libc6 (>= 2.36), libgcc-s1 (>= 4.2), xen-utils-common\n\
         Recommends: bridge-utils, ca-certificates\nDescription: runs offloaded tasks on a Xen board, each in a guest of its own\n \
         spored is the node in dom0: it takes signed commands from tenants, fetches and\n verifies their tasks, runs \
         each within its quota, and keeps results until they\n are taken. spore is what a person types.\n"
    );
    install(folder, "DEBIAN/control", 0o644, control.as_bytes())?;
    install(folder, "DEBIAN/md5sums", 0o644, &sums)?;
    install(folder, "DEBIAN/conffiles", 0o644, b"/etc/spore/node.toml\n")?;
    for script in ["postinst", "prerm", "postrm"] {
        install(folder, &format!("DEBIAN/{script}"), 0o755, &read(&root.join("edge/node/debian").join(script))?)?;
    }
    Ok(folder.with_file_name(format!("spored_{VERSION}_{architecture}.deb")))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Writes a file of the package, packed as Debian wants all documents to be but the licence.
fn packed(folder: &Path, place: &str, content: &[u8]) -> Result<()> {
    pack(&install(folder, place, 0o644, content)?)
}

/// Packs a file. Without its time, so that the same content gives the same package.
fn pack(path: &Path) -> Result<()> {
    process::output(Command::new("gzip").args(["-9nf"]).arg(path)).map(drop)
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
