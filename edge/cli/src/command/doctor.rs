//! `spore doctor`.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use serde::Serialize;

use crate::output::{self, Format, say, table};

/// The least memory that must be free for guests, in MiB: the node's reserve and a guest or two.
const LEAST_FREE_MIB: u64 = 32;
/// The beginning of 2026, in seconds: a clock that shows less was never set.
const THIS_PROGRAMS_TIME: u64 = 1_767_225_600;

/// What is looked at.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The bridge for guests with a network card.
    #[arg(long, default_value = "xenbr0")]
    bridge: String,
    /// The node's socket.
    #[arg(long, env = "SPORE_SOCKET", default_value = "/run/spore/node.sock", value_name = "PATH")]
    socket: PathBuf,
    /// Look at files below this folder instead of /.
    #[arg(long, default_value = "/", hide = true)]
    root: PathBuf,
}

/// One thing that a board needs.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it; empty when there is nothing to do.
    remedy: &'static str,
}

/// Whether it is as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    /// Something will not work that not everyone needs.
    Limited,
    Missing,
}

/// Looks at the machine and says what it lacks.
///
/// # Errors
/// It lacks something without which no task runs.
pub fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let findings = look(arguments);
    match format {
        Format::Json => output::json(&findings)?,
        Format::Table => {
            let row = |finding: &Finding| {
                let verdict = format!("{:?}", finding.verdict).to_lowercase();
                [verdict, finding.what.to_owned(), finding.found.clone(), finding.remedy.to_owned()]
            };
            say(&table(&findings.iter().map(row).collect::<Vec<_>>()))?;
        }
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Missing).count() {
        0 => Ok(()),
        count => bail!("{count} things are missing that a board needs: see what to do beside each"),
    }
}

fn look(arguments: &Arguments) -> Vec<Finding> {
    let mut findings = of_xen(&arguments.root);
    let at = |path: &str| arguments.root.join(path);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    findings.push(finding(
        ("clock", Verdict::Missing),
        (seconds >= THIS_PROGRAMS_TIME, &humantime::format_rfc3339_seconds(SystemTime::now()).to_string()),
        "set it (systemd-timesyncd, chrony): deadlines and accesses are judged by it",
    ));
    findings.push(finding(
        ("bridge", Verdict::Limited),
        (at(&format!("sys/class/net/{}/bridge", arguments.bridge)).exists(), &arguments.bridge),
        "make a bridge with the board's network card in it, or set bridge = \"\" in /etc/spore/node.toml: then tasks \
         with a network card are refused",
    ));
    findings.push(finding(
        ("node", Verdict::Missing),
        (UnixStream::connect(&arguments.socket).is_ok(), &arguments.socket.display().to_string()),
        "start it: systemctl enable --now spored; systemctl status spored says why it does not run",
    ));
    findings
}

/// What there is of Xen and its tools.
fn of_xen(root: &Path) -> Vec<Finding> {
    let at = |path: &str| root.join(path);
    let info = output_of("xl", &["info"]);
    let of_info = |key: &str| {
        let is_it = |line: &&str| line.split(':').next().map(str::trim) == Some(key);
        let line = info.as_deref().unwrap_or_default().lines().find(is_it);
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let capabilities = fs::read_to_string(at("proc/xen/capabilities")).unwrap_or_default();
    let has_devices = at("dev/xen/privcmd").exists() && at("dev/xen/evtchn").exists();
    let stores = ["run/xenstored/socket", "var/run/xenstored/socket", "dev/xen/xenbus"];
    let free = of_info("free_memory").and_then(|text| text.parse::<u64>().ok());
    let silo = output_of("xl", &["dmesg"]).is_some_and(|text| text.to_lowercase().contains("xsm silo"));
    vec![
        finding(
            ("dom0", Verdict::Missing),
            (capabilities.contains("control_d"), capabilities.trim()),
            "boot this machine with Xen, and run this in its control domain",
        ),
        finding(
            ("devices", Verdict::Missing),
            (has_devices, "/dev/xen"),
            "load them: modprobe xen-privcmd xen-evtchn; mount -t xenfs xenfs /proc/xen",
        ),
        finding(
            ("xl", Verdict::Missing),
            (info.is_some(), &of_info("xen_version").unwrap_or_default()),
            "install xl (Debian: xen-utils), and be root",
        ),
        finding(
            ("xenstored", Verdict::Missing),
            (stores.iter().any(|path| at(path).exists()), ""),
            "start it: systemctl start xenstored (Debian: xen)",
        ),
        finding(
            ("memory", Verdict::Missing),
            (
                free.is_some_and(|free| free >= LEAST_FREE_MIB),
                &free.map_or(String::new(), |free| format!("{free} MiB")),
            ),
            "leave Xen memory for guests: set dom0_mem=... on Xen's command line",
        ),
        finding(
            ("guest to guest", Verdict::Limited),
            (!silo, if silo { "XSM SILO" } else { "" }),
            "set xsm=dummy on Xen's command line if guests are to exchange data directly; tasks run without",
        ),
    ]
}

/// A finding: what it is about and how bad it is when it is not so; whether it is so, and what was found.
fn finding((what, otherwise): (&'static str, Verdict), (is_so, found): (bool, &str), remedy: &'static str) -> Finding {
    let (verdict, remedy) = if is_so { (Verdict::Good, "") } else { (otherwise, remedy) };
    let found = if found.is_empty() { "-" } else { found };
    Finding { what, verdict, found: found.to_owned(), remedy }
}

/// What a program prints, when it runs and ends well.
fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin"];
    let path = places.iter().map(|place| Path::new(place).join(program)).find(|path| path.exists())?;
    let output = Command::new(path).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
