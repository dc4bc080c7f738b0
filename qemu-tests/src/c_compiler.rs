//! A C compiler for another CPU than the host's, for what of dom0's programs is written in C and assembler: the
//! cryptography behind their TLS.
//!
//! It is Debian's own cross compiler, unpacked below `target/bed` and never installed. Only the compiler: headers and
//! libraries are those of dom0's packages, and Rust's linker links. For the host's CPU there is the compiler with which
//! Rust links everything on the host.

use std::env::consts::ARCH;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::packages::{HOST, Set};
use crate::progress::Progress;
use crate::root::Root;

/// The compilers by the CPU that they are for: their version is that of dom0's libgcc.
const SETS: [(&str, Set); 2] = [
    (
        "arm-linux-gnueabihf",
        set("cc-armhf", &["binutils-arm-linux-gnueabihf", "cpp-12-arm-linux-gnueabihf", "gcc-12-arm-linux-gnueabihf"]),
    ),
    (
        "aarch64-linux-gnu",
        set("cc-arm64", &["binutils-aarch64-linux-gnu", "cpp-12-aarch64-linux-gnu", "gcc-12-aarch64-linux-gnu"]),
    ),
];

const fn set(name: &'static str, wanted: &'static [&'static str]) -> Set {
    Set { name, architecture: HOST.architecture, release: None, wanted, newest: &[] }
}

/// What must be in the environment of a build for a target, such as `armv7-unknown-linux-gnueabihf`, that Debian calls
/// `triplet`, with the headers of this system; nothing where the host's own compiler does.
///
/// # Errors
/// The compiler's packages cannot be had.
pub fn environment(
    target: &str,
    triplet: &str,
    system: &Root,
    progress: &mut dyn Progress,
) -> Result<Vec<(String, String)>> {
    let Some((_, set)) = SETS.iter().find(|(name, _)| *name == triplet && !triplet.starts_with(ARCH)) else {
        return Ok(Vec::new());
    };
    set.provide(progress)?;
    let suffix = target.replace('-', "_");
    // The compiler's own headers are those of dom0's libgcc, too.
    let own = format!("usr/lib/gcc/{triplet}/12/include");
    let headers = [own, "usr/include".to_owned(), format!("usr/include/{triplet}")];
    let headers: Vec<_> =
        headers.iter().map(|folder| format!("-isystem {}", system.0.join(folder).display())).collect();
    Ok(vec![
        (format!("CC_{suffix}"), script(set, &format!("{triplet}-gcc-12"))?),
        (format!("AR_{suffix}"), script(set, &format!("{triplet}-ar"))?),
        (format!("CFLAGS_{suffix}"), headers.join(" ")),
    ])
}

/// A script that runs a program of the set with the set's libraries: the compiler starts others that want them too.
fn script(set: &Set, program: &str) -> Result<String> {
    let root = Root(set.root());
    let file = root.resolve(&format!("/usr/bin/{program}"))?;
    let libraries = root.0.join(format!("usr/lib/{ARCH}-linux-gnu"));
    let text = format!("#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n", libraries.display(), file.display());
    let path: PathBuf = set.root().with_file_name(program);
    write(&path, &text).with_context(|| path.display().to_string())?;
    Ok(path.display().to_string())
}

/// Writes a script; one that is there with this text may be running.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}
