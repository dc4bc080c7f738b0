//! The Debian packages that the bed is made of: found, downloaded and unpacked below `target/bed`.
//!
//! Four kinds of sets: what runs in dom0 (one for each CPU), the tools that a person wants there (one for each CPU),
//! what runs on the host (the MQTT broker and its clients, web servers, a registry, a database of
//! readings, iperf3, what makes a file system, Xen's C headers), and what the
//! benchmark's Linux guest is made of (one for each CPU). A set that is complete is never looked at again, unless what
//! is wanted changed: a list beside it says what is there.

use crate::apt::{self, Apt, Package};
use crate::place;
use crate::progress::{Download, Progress};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A set of packages and where it is unpacked.
#[derive(Debug, Clone)]
pub struct Set {
    /// The set's name and folder: a machine's, or "host".
    pub name: &'static str,
    /// Debian's name of the CPU.
    pub architecture: &'static str,
    /// Another release of Debian than the system's.
    pub release: Option<&'static str>,
    /// Packages by name; the libraries that they need come along.
    pub wanted: &'static [&'static str],
    /// Packages that stand for the newest version of another one, whose name begins with the second part.
    pub newest: &'static [(&'static str, &'static str)],
}

/// Debian's name of the host's CPU.
const HOST_ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// A newer MQTT broker than the host's, from Debian's next release but one.
pub const NEWER_BROKER: Set = Set {
    name: "newer-broker",
    architecture: HOST_ARCHITECTURE,
    release: Some("sid"),
    wanted: &["libc6", "mosquitto"],
    newest: &[],
};

/// An MQTT broker of another family, with the parts of Erlang that it is made of: apt would bring them along, but they are
/// no libraries to it.
pub const ERLANG_BROKER: Set = Set {
    name: "erlang-broker",
    architecture: HOST_ARCHITECTURE,
    release: None,
    wanted: &[
        "ejabberd",
        "erlang-asn1",
        "erlang-base",
        "erlang-base64url",
        "erlang-crypto",
        "erlang-goldrush",
        "erlang-idna",
        "erlang-inets",
        "erlang-jiffy",
        "erlang-jose",
        "erlang-lager",
        "erlang-mnesia",
        "erlang-odbc",
        "erlang-os-mon",
        "erlang-p1-acme",
        "erlang-p1-cache-tab",
        "erlang-p1-eimp",
        "erlang-p1-mqtree",
        "erlang-p1-pkix",
        "erlang-p1-stringprep",
        "erlang-p1-stun",
        "erlang-p1-tls",
        "erlang-p1-utils",
        "erlang-p1-xml",
        "erlang-p1-xmpp",
        "erlang-p1-yaml",
        "erlang-p1-yconf",
        "erlang-p1-zlib",
        "erlang-public-key",
        "erlang-ssl",
        "erlang-syntax-tools",
        "erlang-unicode-util-compat",
        "erlang-xmerl",
        "libc6",
    ],
    newest: &[],
};

/// What the host itself runs or reads.
pub const HOST: Set = Set {
    name: "host",
    architecture: HOST_ARCHITECTURE,
    release: None,
    wanted: &[
        "docker-registry",
        "e2fsprogs",
        "haproxy",
        "influxdb",
        "iperf3",
        "libc6",
        "libxen-dev",
        "lighttpd",
        "lighttpd-mod-deflate",
        "mosquitto",
        "mosquitto-clients",
        "nginx",
    ],
    newest: &[],
};

/// What every dom0 is made of, beside its kernel and Xen. The two for developers are what its agent is linked with.
pub const DOM0: &[&str] = &[
    "bash",
    "busybox-static",
    "libc6",
    "libc6-dev",
    "libgcc-12-dev",
    "libgcc-s1",
    "xen-utils-common",
    "xenstore-utils",
];

/// The tools for experiments in dom0. The third holds the descriptions of terminals that shells look for.
pub const TOOLS: &[&str] = &["dnsmasq-base", "iproute2", "ncurses-base", "tcpdump"];

/// What a Linux guest is made of, beside its kernel.
pub const LINUX_GUEST: &[&str] = &["busybox-static", "iperf3"];

impl Set {
    fn folder(&self) -> PathBuf {
        place::bed().join(self.name)
    }

    /// The folder that looks like the root of a system with these packages.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder().join("root")
    }

    /// The version in the name of an unpacked package, such as `6.1.0-56-amd64` of `linux-image-6.1.0-56-amd64`.
    ///
    /// # Errors
    /// The set is not complete.
    pub fn version_in_name(&self, prefix: &str) -> Result<String> {
        let list = fs::read_to_string(self.list())
            .with_context(|| format!("the packages for {} are missing: run `cargo xtask setup`", self.name))?;
        let name = list.lines().skip(1).filter_map(|line| line.split(' ').next());
        let version = name
            .filter_map(|name| name.strip_prefix(prefix))
            .find(|version| version.starts_with(|first: char| first.is_ascii_digit()));
        version.map(str::to_owned).with_context(|| format!("no package {prefix}<version> is unpacked"))
    }

    fn list(&self) -> PathBuf {
        self.folder().join("packages")
    }

    /// The list's first line: a change here means that the set must be made anew.
    fn headline(&self) -> String {
        let newest = self.newest.iter().map(|(meta, _)| *meta);
        let names: Vec<_> = self.wanted.iter().copied().chain(newest).collect();
        format!("for {}: {}", self.architecture, names.join(" "))
    }

    /// Downloads and unpacks what is missing.
    ///
    /// # Errors
    /// No apt, no network, or no such package.
    pub fn provide(&self, progress: &mut dyn Progress) -> Result<()> {
        let headline = self.headline();
        if fs::read_to_string(self.list()).is_ok_and(|list| list.lines().next() == Some(&headline)) {
            return Ok(());
        }
        progress.say(&format!("packages for {}: asking apt", self.name));
        let apt = Apt { architecture: self.architecture, release: self.release };
        apt.prepare(progress)?;
        let packages = match self.bring(apt, progress) {
            Ok(packages) => packages,
            Err(error) => {
                // The archive drops old versions: lists that are a few weeks old name files that are gone.
                progress.say(&format!("{error:#}"));
                apt.update(progress);
                self.bring(apt, progress)?
            }
        };
        let lines = packages.iter().map(|package| format!("{} {}", package.name, package.version));
        let list: Vec<_> = std::iter::once(headline).chain(lines).collect();
        fs::write(self.list(), list.join("\n") + "\n").context("write the list of packages")
    }

    fn bring(&self, apt: Apt, progress: &mut dyn Progress) -> Result<Vec<Package>> {
        let packages = self.resolve(apt)?;
        self.fetch(apt, &packages, progress)?;
        Ok(packages)
    }

    fn resolve(&self, apt: Apt) -> Result<Vec<Package>> {
        let mut wanted: Vec<String> = self.wanted.iter().map(|name| (*name).to_owned()).collect();
        let metas: BTreeSet<String> = self.newest.iter().map(|(meta, _)| (*meta).to_owned()).collect();
        if !metas.is_empty() {
            let answers = apt.show(&metas)?;
            for (meta, prefix) in self.newest {
                let names = answers.iter().filter(|package| package.name == *meta).flat_map(|package| &package.depends);
                let Some(name) = names.into_iter().find(|name| name.starts_with(prefix)) else {
                    bail!("package {meta} names no {prefix}*");
                };
                wanted.push(name.clone());
            }
        }
        apt.with_libraries(&wanted)
    }

    fn fetch(&self, apt: Apt, packages: &[Package], progress: &mut dyn Progress) -> Result<()> {
        let stamps = self.folder().join("unpacked");
        let downloads = self.folder().join("downloads");
        for folder in [&stamps, &downloads, &self.root()] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let stamp = |package: &Package| stamps.join(format!("{}_{}", package.name, package.version));
        let missing: Vec<_> = packages.iter().filter(|package| !stamp(package).exists()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let bytes = missing.iter().map(|package| package.size_bytes).sum::<u64>();
        let what = format!("packages for {}: downloading {}", self.name, missing.len());
        let mut download = Download::start(progress, what, bytes);
        apt.download(&missing, &downloads, |percent| download.at((bytes as f64 * percent / 100.0) as u64))?;
        drop(download);
        progress.say(&format!("packages for {}: unpacking below {}", self.name, self.root().display()));
        for package in missing {
            let file = apt::downloaded(package, &downloads)?;
            apt::unpack(&file, &self.root())?;
            fs::remove_file(file)?;
            fs::write(stamp(package), "")?;
        }
        Ok(())
    }
}
