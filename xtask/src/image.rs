//! From a task's package to the three files a user takes to a board: image, ELF file, xl config.

pub mod barriers;
pub mod config;
pub mod contents;
pub mod stack_check;
pub mod strip;
pub mod zimage;

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fnv::FnvHasher;

use crate::arch::Arch;
use crate::licenses;
use crate::process;
use crate::terminal::{self, Style, bytes};
use crate::workspace::{Task, Workspace};
use contents::Contents;
use description::Description;

/// Compiler flags of every crate in an image, with what each is worth in that of echo for x86_64.
const RUSTFLAGS: &[&str] = &[
    // Names that keep their crate when they are demangled: the size table groups by it.
    "-Csymbol-mangling-version=v0",
    // A panic is one instruction that traps, instead of a call with a message: 17 % of echo. The price is the message,
    // not the place: the trap handler names the address on the console, and xtask the line, from the ELF file.
    "-Zunstable-options",
    "-Cpanic=immediate-abort",
    // Each panic keeps an address of its own, instead of sharing one with all others of its function: 3 % of echo.
    "-Cllvm-args=-enable-tail-merge=false",
    // No copies of code on other paths for the sake of speed on one ("partial redundancy elimination"): 1 % of echo.
    "-Cllvm-args=-enable-pre=false",
];

/// Compiler flags that make sense for one architecture only.
const fn arch_flags(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::X86_64 => &[
            // Five bytes at the start of each function for the stack check, see `stack_check`: 2 %.
            "-Zpatchable-function-entry=5",
            // Comparisons instead of tables of addresses, eight bytes each: 1 %.
            "-Cjump-tables=no",
            // Blocks stay in the order of the source instead of the likeliest one, loops and constants as they are
            // written: what these passes do for speed costs 1 %.
            "-Cllvm-args=-disable-block-placement",
            "-Cllvm-args=-disable-lsr",
            "-Cllvm-args=-disable-constant-hoisting",
            // Nor is what does not change moved out of loops, at the price of a register or a place on the stack: 0.4 %.
            "-Cllvm-args=-disable-machine-licm",
            // Of the ways to split a value's life in registers, the one with the least code: 0.3 %.
            "-Cllvm-args=-split-spill-mode=size",
            // What has large variables stays a function. Within another one they would push others on the stack out of the
            // reach of short offsets: 1.3 %, and less stack.
            "-Cllvm-args=-inline-max-stacksize=256",
            // What is called once more than the usual limit allows is often still smaller within its callers: 0.2 %.
            "-Cllvm-args=-inline-threshold=10",
            // Functions with the same code, to which no pointer is compared, are one: 0.5 %.
            "-Cllvm-args=-addrsig",
            "-Clink-arg=--icf=safe",
        ],
        Arch::Armv7 => &[],
    }
}

/// The files of a built image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFiles {
    /// What xl boots: stripped.
    pub img: PathBuf,
    /// The same with symbols, log strings and the schema.
    pub elf: PathBuf,
    /// A config for xl.
    pub cfg: PathBuf,
    /// The notices that go with the image.
    pub licenses: PathBuf,
}

/// A built image: its files and what is known about it.
#[derive(Debug)]
pub struct Image {
    /// Where it is.
    pub files: ImageFiles,
    /// Length of the stripped image.
    pub bytes: u64,
    /// What is in it.
    pub contents: Contents,
    /// Its parameters and result.
    pub description: Description,
}

impl Image {
    /// The ELF file's bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn elf(&self) -> Result<Vec<u8>> {
        let path = &self.files.elf;
        std::fs::read(path).with_context(|| format!("reading {}", path.display()))
    }
}

/// Builds the task's image.
///
/// # Errors
/// When it does not compile, or is larger than its settings allow: then what is in it has been shown.
pub fn build(workspace: &Workspace, task: &Task, arch: Arch) -> Result<Image> {
    let image = build_of_any_size(workspace, task, arch)?;
    let limit = task.settings.largest_image_bytes.bytes(arch);
    if image.bytes > limit {
        // It must not pass for an image that may be used.
        std::fs::remove_file(&image.files.img).with_context(|| format!("removing {}", image.files.img.display()))?;
        terminal::say(image.contents.table(20));
        bail!(
            "the image of \"{}\" has {} bytes, {} more than largest_image_bytes = {limit} in its Cargo.toml allows; \
             what is in it is shown above",
            task.name,
            bytes(image.bytes),
            bytes(image.bytes - limit)
        );
    }
    Ok(image)
}

/// Builds the task's image, whatever its size.
///
/// # Errors
/// When it does not compile.
pub fn build_of_any_size(workspace: &Workspace, task: &Task, arch: Arch) -> Result<Image> {
    let program = compile(workspace, task, arch)?;
    let mut elf = std::fs::read(&program).with_context(|| {
        format!("{} was not built: the package \"{}\" needs a program of its own name", program.display(), task.name)
    })?;
    let image = match arch {
        Arch::X86_64 => stack_check::install(&mut elf).and_then(|_| strip::strip(&elf)),
        Arch::Armv7 => zimage::flatten(&elf),
    };
    let image = image.with_context(|| format!("making an image of {}", program.display()))?;
    let contents = Contents::read(&elf)?;
    let description = Description::from_elf(&elf).with_context(|| format!("the task \"{}\"", task.name))?;

    let folder = workspace.images(arch, &task.name);
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let file = |extension: &str| folder.join(format!("{}.{extension}", task.name));
    let files = ImageFiles { img: file("img"), elf: file("elf"), cfg: file("cfg"), licenses: file("licenses.txt") };
    write(&files.elf, &elf)?;
    write(&files.img, &image)?;
    write(&files.cfg, config::text(task, arch, &description).as_bytes())?;
    write(&files.licenses, licenses::of_image(workspace, task, arch)?.as_bytes())?;
    Ok(Image { files, bytes: image.len() as u64, contents, description })
}

/// Builds and says so in one line.
pub fn build_and_say(workspace: &Workspace, task: &Task, arch: Arch) -> Result<Image> {
    let image = build(workspace, task, arch)?;
    terminal::say(format_args!(
        "{} {} ({} bytes of at most {})",
        terminal::on_stderr("built", Style::Green),
        workspace.shown(&image.files.img),
        bytes(image.bytes),
        bytes(task.settings.largest_image_bytes.bytes(arch))
    ));
    Ok(image)
}

fn write(path: &Path, contents: &[u8]) -> Result<()> {
    std::fs::write(path, contents).with_context(|| format!("writing {}", path.display()))
}

/// Runs cargo for the guest's target and returns the program's path.
fn compile(workspace: &Workspace, task: &Task, arch: Arch) -> Result<PathBuf> {
    let target = workspace.target.join("guest");
    process::run(&mut command(workspace, task, arch, &target)?)
        .with_context(|| format!("the task \"{}\" does not build for {arch}", task.name))?;
    Ok(target.join(arch.target()).join("release").join(&task.name))
}

/// The inner cargo's command.
fn command(workspace: &Workspace, task: &Task, arch: Arch, target: &Path) -> Result<Command> {
    let linker_script = Path::new("linker").join(format!("{arch}.ld"));
    let script = std::fs::read(workspace.root.join(&linker_script))
        .with_context(|| format!("reading the linker script {}", linker_script.display()))?;
    let mut fingerprint = FnvHasher::default();
    fingerprint.write(&script);
    let mut cargo = workspace.in_guest("rustc", arch);
    cargo
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(workspace, arch).join("\x1f"))
        .env("DEFMT_LOG", std::env::var("DEFMT_LOG").unwrap_or_else(|_| "info".into()))
        .args(["--release", "--package", &task.name, "--bin", &task.name])
        .arg("-Zbuild-std=core,alloc")
        // Memory routines in Rust, and the standard library's own choices for size over speed.
        .arg("-Zbuild-std-features=compiler-builtins-mem,optimize_for_size")
        .arg("--target-dir")
        .arg(target)
        .arg("--")
        .arg(format!("-Clink-arg=-T{}", linker_script.display()))
        // Where defmt's format strings go; the file comes from the crate defmt.
        .arg("-Clink-arg=-Tdefmt.x")
        // Cargo does not look into linker scripts: a changed one changes this, and the image is linked anew.
        .arg(format!("-Cmetadata={:016x}", fingerprint.finish()));
    Ok(cargo)
}

fn rustflags(workspace: &Workspace, arch: Arch) -> Vec<String> {
    let mut flags: Vec<String> = [RUSTFLAGS, arch_flags(arch)].concat().into_iter().map(str::to_owned).collect();
    // Panic messages name source files from the workspace's root: the same image wherever it is built, and a smaller one.
    flags.push(format!("--remap-path-prefix={}/=", workspace.root.display()));
    flags
}
