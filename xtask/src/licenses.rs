//! What the licences of the crates in an image or a program ask for: that their notices come with it.
//!
//! Of a crate's licences the first that `deny.toml` allows is the one that it is used under. Its text is the file in the
//! crate's package, which has the names of its authors; where a package lacks the file, the text that SPDX has for it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{MetadataCommand, Package};
use serde::Deserialize;
use spdx::{Expression, LicenseId, LicenseReq, Licensee};

use crate::arch::Arch;
use crate::process;
use crate::setup;
use crate::workspace::{Task, Workspace};

/// The licences that the project may use, those that it prefers first.
struct Allowed(Vec<Licensee>);

/// A part of `deny.toml`, which cargo-deny reads as well.
#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

impl Allowed {
    fn load(workspace: &Workspace) -> Result<Self> {
        let path = workspace.root.join("deny.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let deny: Deny = toml::from_str(&text).context("deny.toml")?;
        let allowed = deny.licenses.allow.iter().map(|name| Licensee::parse(name));
        Ok(Self(allowed.collect::<Result<_, _>>().context("deny.toml, licenses.allow")?))
    }

    /// The licences that a package is used under.
    fn of(&self, package: &Package) -> Result<Vec<LicenseReq>> {
        let Some(license) = &package.license else { bail!("{} does not say its licence", package.name) };
        // The old way to write OR is still found in the registry.
        let expression = Expression::parse_mode(license, spdx::ParseMode::LAX)?;
        Ok(expression.minimized_requirements(&self.0)?)
    }
}

/// The notices of all software in a task's image.
///
/// # Errors
/// When cargo does not know what is in it, or a licence is not one that `deny.toml` allows.
pub fn of_image(workspace: &Workspace, task: &Task, arch: Arch) -> Result<String> {
    let mut tree = workspace.in_guest("tree", arch);
    tree.args(["--package", &task.name]);
    let what = format!("the image of \"{}\" for {arch}", task.name);
    notices(workspace, &what, packages(workspace, &mut tree)?, STANDARD_LIBRARY, standard_library()?)
}

/// The notices of all software in programs for a target of Rust's, but for Rust's standard library, of which
/// [`library_of_programs`] has them.
///
/// # Errors
/// As [`of_image`].
pub fn of_programs(workspace: &Workspace, names: &[&str], target: &str) -> Result<String> {
    let mut tree = process::cargo();
    tree.current_dir(&workspace.root).args(["tree", "--locked", "--target", target]);
    for name in names {
        tree.args(["--package", name]);
    }
    let what = format!("the programs of {} for {target}", names.join(", "));
    notices(workspace, &what, packages(workspace, &mut tree)?, LIBRARY_OF_PROGRAMS, Vec::new())
}

/// What every program has of Rust's standard library, with its notices: a page that the toolchain brings.
///
/// # Errors
/// It does not.
pub fn library_of_programs() -> Result<Vec<u8>> {
    let path = setup::sysroot()?.join("share/doc/rust/COPYRIGHT-library.html");
    fs::read(&path).with_context(|| format!("{}: the toolchain has no notices of its library", path.display()))
}

/// The packages by name, then each notice once, behind the names of all packages that ask for it.
fn notices(
    workspace: &Workspace,
    what: &str,
    packages: Vec<Package>,
    library: &str,
    of_library: Vec<(&str, String)>,
) -> Result<String> {
    let allowed = Allowed::load(workspace)?;
    let mut crates = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        let licences = allowed.of(&package).with_context(|| name.clone())?;
        let names: Vec<_> = licences.iter().map(LicenseReq::to_string).collect();
        let _ =
            writeln!(crates, "    {name}, {}, {}", names.join(" and "), package.repository.as_deref().unwrap_or("-"));
        for licence in &licences {
            for text in texts_of(workspace, &package, licence)? {
                texts.entry(text).or_default().push(name.clone());
            }
        }
    }
    for (name, text) in of_library {
        texts.entry(text).or_default().push(name.to_owned());
    }
    let mut notices = format!(
        "Software in {what}, and the notices that its licences ask for:\n\n{crates}    \
         {library}, MIT, https://github.com/rust-lang/rust\n"
    );
    for (text, names) in texts {
        let _ = write!(notices, "\n{}\n{}:\n\n{text}\n", "-".repeat(80), names.join(", "));
    }
    Ok(notices)
}

/// The packages whose code may be in what `cargo tree` is asked about: not what runs while it is built.
fn packages(workspace: &Workspace, tree: &mut Command) -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new().current_dir(&workspace.root).exec().context("cargo metadata")?;
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
    let listed = String::from_utf8(process::output(tree)?.stdout)?;
    let mut packages = Vec::new();
    for line in listed.lines() {
        // "name v1.2.3", behind it the folder of the workspace's own, and a mark for what was listed before.
        let mut words = line.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next().and_then(|word| word.strip_prefix('v'))) else {
            continue;
        };
        let is_it = |package: &&Package| *package.name == name && package.version.to_string() == version;
        let package = metadata.packages.iter().find(is_it);
        packages.push(
            package.with_context(|| format!("cargo tree names {name} {version}, cargo metadata does not"))?.clone(),
        );
    }
    packages.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    packages.dedup_by(|one, other| one.id == other.id);
    Ok(packages)
}

/// The texts that a licence of a package wants to be kept: its file and, for what Apache-2.0 calls one, the NOTICE file.
fn texts_of(workspace: &Workspace, package: &Package, licence: &LicenseReq) -> Result<Vec<String>> {
    let id = licence.license.id().with_context(|| format!("{licence} is none of SPDX's licences"))?;
    let folder = package.manifest_path.parent().context("a manifest lies in a folder")?.as_std_path();
    // The workspace's own packages share the files of its root.
    let folder = if folder.starts_with(&workspace.root) { workspace.root.as_path() } else { folder };
    let files = files(folder)?;
    let license = files.iter().filter(|file| !stem(file).starts_with("NOTICE"));
    let mut named = license.clone().filter(|file| names_licence(file, id.name));
    // A package with one file only has no need to name it after the licence.
    let only = match &license.collect::<Vec<_>>()[..] {
        [only] => Some(*only),
        _ => None,
    };
    let mut texts = match named.next().or(only) {
        Some(file) => vec![read(file)?],
        None if package.authors.is_empty() => vec![standard_text(id, &format!("the authors of {}", package.name))],
        None => vec![standard_text(id, &package.authors.join(", "))],
    };
    if id.name == "Apache-2.0" {
        for notice in files.iter().filter(|file| stem(file).starts_with("NOTICE")) {
            texts.push(read(notice)?);
        }
    }
    Ok(texts)
}

/// Files in a package's folder that speak of its licence, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let kind = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
        if path.is_file() && kind.iter().any(|kind| stem(&path).starts_with(kind)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file's name in capitals.
fn stem(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_uppercase()
}

/// Whether a file is that of a licence by its name, such as LICENSE-APACHE of Apache-2.0 or LICENSE-BSD of BSD-2-Clause.
fn names_licence(path: &Path, id: &str) -> bool {
    let name = stem(path);
    let family = id.split('-').next().unwrap_or(id).to_uppercase();
    name.split(|c: char| !c.is_alphanumeric()).any(|word| word == family)
}

fn read(path: &Path) -> Result<String> {
    let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(tidy(&String::from_utf8_lossy(&text)))
}

/// The text without what differs between copies of one: ends of lines, and empty lines around it.
fn tidy(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// The text of a licence as SPDX has it, with the holders of the copyright.
fn standard_text(id: LicenseId, holders: &str) -> String {
    let text = tidy(id.text());
    let copyright = format!("Copyright (c) {holders}");
    match text.lines().find(|line| line.contains("<copyright holders>")) {
        Some(line) => text.replace(line, &copyright),
        None => format!("{copyright}\n\n{text}"),
    }
}

/// What the compiler brings and every program has.
const LIBRARY_OF_PROGRAMS: &str = "Rust's standard library";
/// What the compiler brings and every image has. Source: `share/doc/rust/COPYRIGHT-library.html` of the toolchain.
const STANDARD_LIBRARY: &str = "Rust's core, alloc and compiler-builtins";

/// Its parts and their notices.
fn standard_library() -> Result<Vec<(&'static str, String)>> {
    let id = |name| spdx::license_id(name).with_context(|| format!("SPDX knows no {name}"));
    let builtins = setup::library()?.join("compiler-builtins");
    Ok(vec![
        (
            "Rust's core and alloc",
            standard_text(id("MIT")?, "The Rust Project Developers (https://thanks.rust-lang.org)"),
        ),
        ("the Unicode tables in Rust's core", standard_text(id("Unicode-3.0")?, "1991-2024 Unicode, Inc.")),
        ("Rust's compiler-builtins", read(&builtins.join("LICENSE.txt"))?),
        ("libm in Rust's compiler-builtins", read(&builtins.join("libm/LICENSE.txt"))?),
    ])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{names_licence, standard_text, tidy};

    #[test]
    fn a_file_is_found_by_the_family_of_its_licence() {
        for (file, id, is_its) in [
            ("LICENSE-MIT", "MIT", true),
            ("LICENSE-APACHE", "Apache-2.0", true),
            ("LICENSE-APACHE", "MIT", false),
            ("license-bsd.txt", "BSD-2-Clause", true),
            ("LICENSE", "MIT", false),
            ("LICENSE-MITIGATED", "MIT", false),
        ] {
            assert_eq!(names_licence(Path::new(file), id), is_its, "{file} {id}");
        }
    }

    #[test]
    fn a_standard_text_names_the_holders_of_the_copyright() {
        let text = |name: &str| standard_text(spdx::license_id(name).unwrap(), "A. Person");
        let mit = text("MIT");
        assert!(mit.contains("\nCopyright (c) A. Person\n") && !mit.contains('<'), "{mit}");
        assert!(text("Apache-2.0").starts_with("Copyright (c) A. Person\n\n"));
    }

    #[test]
    fn copies_of_a_text_are_one() {
        assert_eq!(tidy("\r\nA  \r\nB\r\n\r\n"), tidy("A\nB"));
    }
}
