//! Questions to apt and dpkg: what a package depends on, and its files.
//!
//! Packages are downloaded and unpacked, never installed; only QEMU is installed, because it needs half of a system
//! around it. Each Debian architecture has lists of packages of its own below `target/bed`: the system's may be old,
//! only root can renew them, and they have no other architecture than its own.

use crate::place;
use crate::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A package as apt knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name, without architecture.
    pub name: String,
    /// The version that would be downloaded.
    pub version: String,
    /// Whether it holds nothing but shared libraries.
    pub library: bool,
    /// Names of packages that it depends on; of alternatives the first.
    pub depends: Vec<String>,
    /// Size of its file.
    pub size_bytes: u64,
}

/// Whether this process may change the system.
#[must_use]
pub fn is_root() -> bool {
    // The owner of /proc/self is the effective user of this process.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// The sources of another release, beside its lists.
const SOURCES: &str = "sources.list";

/// The keys that Debian's releases are signed with.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt for one Debian architecture.
#[derive(Debug, Clone, Copy)]
pub struct Apt {
    /// Debian's name of the CPU.
    pub architecture: &'static str,
    /// Another release of Debian than the system's, such as `sid`.
    pub release: Option<&'static str>,
}

impl Apt {
    /// Fetches the lists of packages when there are none yet.
    ///
    /// # Errors
    /// The folder for them cannot be made.
    pub fn prepare(self, progress: &mut dyn Progress) -> Result<()> {
        let folder = self.folder();
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part)).with_context(|| format!("make {}", folder.display()))?;
        }
        if let Some(release) = self.release {
            let sources = folder.join(SOURCES);
            let text = format!("deb [signed-by={KEYS}] {} {release} main\n", mirror()?);
            fs::write(&sources, text).with_context(|| format!("write {}", sources.display()))?;
        }
        let status = folder.join("status");
        if !status.exists() {
            self.update(progress);
            // apt takes an empty file for a system where nothing is installed.
            fs::write(&status, "").with_context(|| format!("write {}", status.display()))?;
        }
        Ok(())
    }

    /// Fetches the lists of packages anew. One that cannot be had is said, no more: it may be one that nothing is
    /// wanted from.
    pub fn update(self, progress: &mut dyn Progress) {
        progress.say(&format!("fetching apt's lists of packages for {}", self.architecture));
        match self.command("apt-get").args(["update", "-q"]).output() {
            Ok(output) => String::from_utf8_lossy(&output.stderr).lines().for_each(|line| progress.say(line)),
            Err(error) => progress.say(&format!("apt-get: {error}")),
        }
    }

    /// Asks about packages.
    ///
    /// # Errors
    /// apt is missing, or does not know one of them.
    pub fn show(self, names: &BTreeSet<String>) -> Result<Vec<Package>> {
        let mut command = self.command("apt-cache");
        command.args(["show", "--no-all-versions"]).args(names);
        let output = command.output().context("this bed is made from Debian packages, but there is no apt-cache")?;
        let packages = parse(&String::from_utf8_lossy(&output.stdout));
        let known: BTreeSet<_> = packages.iter().map(|package| package.name.as_str()).collect();
        let unknown: Vec<_> = names.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
        ensure!(
            unknown.is_empty(),
            "apt knows no package {} for {}: do its sources have that architecture?",
            unknown.join(", "),
            self.architecture
        );
        Ok(packages)
    }

    /// All of `wanted` and the libraries that they need, directly or through other libraries.
    ///
    /// Programs that a package depends on (an init system, Python, udev) are left out: nothing of theirs runs in the
    /// bed.
    ///
    /// # Errors
    /// As [`Apt::show`].
    pub fn with_libraries(self, wanted: &[String]) -> Result<Vec<Package>> {
        let mut found: BTreeMap<String, Package> = BTreeMap::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut ask: BTreeSet<String> = wanted.iter().cloned().collect();
        while !ask.is_empty() {
            let answers = self.show(&ask)?;
            seen.append(&mut ask);
            for package in answers {
                if wanted.contains(&package.name) || package.library {
                    let likely_libraries =
                        package.depends.iter().filter(|name| name.starts_with("lib") || name.starts_with("zlib"));
                    ask.extend(likely_libraries.filter(|name| !seen.contains(*name)).cloned());
                    found.insert(package.name.clone(), package);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// Downloads packages into a folder, and calls `each` with the share that is there, in percent.
    ///
    /// # Errors
    /// apt fails: then the lists may be older than what the archive still has.
    pub fn download(self, packages: &[&Package], folder: &Path, mut each: impl FnMut(f64)) -> Result<()> {
        let mut command = self.command("apt-get");
        // It says how far it is on standard output, between the lines for people.
        command.args(["-o", "APT::Status-Fd=1", "download", "-q"]);
        command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.args(packages.iter().map(|package| format!("{}={}", package.name, package.version)));
        let mut child = command.spawn().context("apt-get")?;
        let lines =
            child.stdout.take().map(BufReader::new).into_iter().flat_map(|reader| reader.lines().map_while(Result::ok));
        lines.filter_map(|line| percent(&line)).for_each(&mut each);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "apt-get download: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    fn folder(self) -> PathBuf {
        let release = self.release.map(|release| format!("-{release}")).unwrap_or_default();
        place::bed().join("apt").join(format!("{}{release}", self.architecture))
    }

    /// A program of apt, with the system's sources and the folder's lists.
    fn command(self, program: &str) -> Command {
        let folder = self.folder();
        let mut command = Command::new(program);
        for (option, path) in [("Dir::State", ""), ("Dir::State::status", "status"), ("Dir::Cache", "cache")] {
            command.arg("-o").arg(format!("{option}={}", folder.join(path).display()));
        }
        if self.release.is_some() {
            command.arg("-o").arg(format!("Dir::Etc::sourcelist={}", folder.join(SOURCES).display()));
            command.args(["-o", "Dir::Etc::sourceparts=-"]);
        }
        for option in ["APT::Architecture", "APT::Architectures"] {
            command.arg("-o").arg(format!("{option}={}", self.architecture));
        }
        // Run by root, apt would download as another user, who cannot write into the folder.
        command.args(["-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"]);
        // Descriptions for software centres, half as large as the lists themselves.
        command.args(["-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"]);
        command.stdin(Stdio::null());
        command
    }
}

/// Where the system's own sources have Debian from.
fn mirror() -> Result<String> {
    let folder = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let files = std::iter::once(PathBuf::from("/etc/apt/sources.list")).chain(folder);
    let text: String = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    let words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_ascii_whitespace);
    let debian = |word: &&str| word.contains("://") && word.trim_end_matches('/').ends_with("/debian");
    words.into_iter().find(debian).map(str::to_owned).context("apt's sources name no mirror of Debian")
}

/// Installs a program of the host with apt, or says what to type.
///
/// # Errors
/// Not root, or apt fails.
pub fn install(package: &str, why: &str) -> Result<()> {
    let arguments = ["install", "--yes", "--no-install-recommends", package];
    if !is_root() {
        bail!("{why}; please type: sudo apt-get install --no-install-recommends {package}");
    }
    let install = || quiet(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    install().or_else(|_| quiet(Command::new("apt-get").args(["update", "-q"])).and_then(|()| install()))
}

/// The file that [`Apt::download`] leaves for a package.
///
/// # Errors
/// There is none.
pub fn downloaded(package: &Package, folder: &Path) -> Result<PathBuf> {
    let prefix = format!("{}_", package.name);
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name.to_string_lossy().starts_with(&prefix) {
            return Ok(folder.join(name));
        }
    }
    bail!("apt-get downloaded no file for {}", package.name)
}

/// Unpacks a package's files below `root`; none of its scripts run.
///
/// # Errors
/// dpkg-deb is missing or fails.
pub fn unpack(file: &Path, root: &Path) -> Result<()> {
    quiet(Command::new("dpkg-deb").arg("-x").arg(file).arg(root))
}

/// Runs a command and shows what it printed only when it fails.
fn quiet(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{command:?}: {}\n{}{}", output.status, out, error);
    }
    Ok(())
}

/// How far a download is, if a line of apt's says so: `dlstatus:2:30.1369:Retrieving file 2 of 2`. Source: apt's
/// README.progress-reporting.
fn percent(line: &str) -> Option<f64> {
    line.strip_prefix("dlstatus:")?.split(':').nth(1)?.parse().ok()
}

/// Reads what `apt-cache show` prints: paragraphs of `Field: value` lines.
fn parse(text: &str) -> Vec<Package> {
    let paragraph = |paragraph: &str| {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let alternatives = field("Depends").unwrap_or_default().split(", ");
        let first = |alternatives: &str| {
            alternatives.split([' ', ':']).next().filter(|name| !name.is_empty()).map(str::to_owned)
        };
        Some(Package {
            name: field("Package")?.to_owned(),
            version: field("Version")?.to_owned(),
            library: field("Section") == Some("libs"),
            depends: alternatives.filter_map(first).collect(),
            size_bytes: field("Size").and_then(|size| size.parse().ok()).unwrap_or(0),
        })
    };
    text.split("\n\n").filter_map(paragraph).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_is_told_the_architecture_and_to_keep_its_state_in_the_bed() {
        let command = Apt { architecture: "armhf", release: None }.command("apt-get");
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        assert!(arguments.iter().any(|argument| argument == "APT::Architecture=armhf"));
        let state = arguments.iter().find_map(|argument| argument.strip_prefix("Dir::State=")).unwrap();
        assert!(state.starts_with(place::bed().to_str().unwrap()) && state.contains("armhf"), "{state}");
        assert!(!arguments.iter().any(|argument| argument.contains("sourcelist")));
    }

    #[test]
    fn another_release_has_lists_and_sources_of_its_own() {
        let command = Apt { architecture: "amd64", release: Some("sid") }.command("apt-get");
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        assert!(arguments.iter().any(|argument| argument.starts_with("Dir::State=") && argument.contains("amd64-sid")));
        assert!(arguments.iter().any(|argument| argument == "Dir::Etc::sourceparts=-"));
    }

    #[test]
    fn a_line_for_programs_says_how_far_a_download_is() {
        assert_eq!(percent("dlstatus:2:30.1369:Retrieving file 2 of 2"), Some(30.1369));
        assert_eq!(percent("Get:2 http://deb.debian.org/debian bookworm/main amd64 libc6 [2759 kB]"), None);
    }

    #[test]
    fn paragraphs_are_read_with_their_first_alternatives() {
        let text = "Package: a\nVersion: 1:2-3\nSection: admin\nDepends: libx1 (>= 2), python3:any, lsb-base | y\n\
            Size: 77\nDescription: t\n more\n\nPackage: b\nVersion: 1\nSection: libs\n\n";
        let [a, b] = parse(text).try_into().unwrap();
        assert_eq!(a.depends, ["libx1", "python3", "lsb-base"]);
        assert_eq!((a.version.as_str(), a.library, a.size_bytes), ("1:2-3", false, 77));
        assert_eq!((b.depends.len(), b.library), (0, true));
    }
}
