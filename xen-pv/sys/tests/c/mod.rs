//! Xen's own C headers and a C compiler, for tests that compare with them.
//!
//! The headers are those of Debian's libxen-dev: installed, or unpacked by `cargo xtask setup`, or where the variable
//! `XEN_INCLUDE` says (the directory that holds `xen/xen.h`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a C program that includes Xen's headers; `name` is that of its files, of which each test has its own.
pub fn compile(name: &str, program: &str, arguments: &[&str]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, binary) = (directory.join(format!("{name}.c")), directory.join(name));
    fs::write(&source, program).expect("the test's directory is writable");
    let compiler = std::env::var("CC").unwrap_or_else(|_| String::from("cc"));
    let headers = include_directory();
    let libraries = headers.with_file_name("lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let compiled = Command::new(&compiler)
        // System headers, so that GNU C in them passes without a warning.
        .arg("-isystem")
        .arg(headers)
        .arg("-L")
        .arg(libraries)
        .arg("-D__XEN_INTERFACE_VERSION__=0x00040d00")
        .args(arguments)
        .arg(&source)
        .arg("-o")
        .arg(&binary)
        .status()
        .unwrap_or_else(|error| panic!("the C compiler {compiler} does not start: {error}"));
    assert!(compiled.success(), "the C program does not compile");
    binary
}

/// The directory that holds `xen/xen.h`.
fn include_directory() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("target/bed"));
    let mut candidates: Vec<PathBuf> = std::env::var_os("XEN_INCLUDE").map(PathBuf::from).into_iter().collect();
    candidates.push(PathBuf::from("/usr/include"));
    // target/bed/<place>/usr/include, or one directory deeper.
    for place in target.flat_map(|target| subdirectories(&target)) {
        candidates.push(place.join("usr/include"));
        candidates.extend(subdirectories(&place).iter().map(|package| package.join("usr/include")));
    }
    let found = candidates.into_iter().find(|directory| directory.join("xen/io/netif.h").exists());
    found.expect("Xen's C headers are not there: run `cargo xtask setup`, install libxen-dev, or set XEN_INCLUDE")
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
