//! One guest in the bed, from its image to its end, with its console shown as it comes.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use console::{Line, LogStream};
use qemu_tests::{Bed, BedOptions, Forward, Guest, GuestSpec, ShutdownReason};

use crate::arch::Arch;
use crate::image::Image;
use crate::interrupt::Interrupt;
use crate::symbols::Symbols;
use crate::terminal::{self, Progress, Style};
use crate::workspace::Task;

/// How long a look at the console may take before Ctrl-C and the deadline are asked about.
const LOOK: Duration = Duration::from_millis(200);

/// The address that QEMU's DHCP server gives to the first guest that asks.
const FIRST_LEASE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// How a guest's run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The domain shut down.
    Shutdown(ShutdownReason),
    /// The deadline passed; the guest was still running.
    Deadline,
    /// A second Ctrl-C.
    Interrupted,
}

/// What is left of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// "ok" or the task's error: `data/status`, or what the console said where the task has no xenstore driver.
    pub status: Option<String>,
    /// The report as postcard.
    pub report: Option<Vec<u8>>,
    /// From the guest's first instruction to its end.
    pub ran: Duration,
}

/// Something that came on a guest's console.
#[derive(Debug)]
pub enum Shown<'s> {
    /// Bytes as they came.
    Bytes(&'s [u8]),
    /// A line that they completed.
    Line(&'s Line),
}

/// Boots the bed for `arch`.
pub fn boot_bed(arch: Arch, forwards: Vec<Forward>, interrupt: &Interrupt) -> Result<Bed> {
    boot_bed_with(BedOptions { forwards, ..BedOptions::new(arch.machine()) }, interrupt)
}

/// Boots a bed.
pub fn boot_bed_with(mut options: BedOptions, interrupt: &Interrupt) -> Result<Bed> {
    let progress = Progress::start("booting Xen, dom0 and xl in QEMU");
    options.name = "xtask".to_owned();
    let bed = Bed::boot(&options)?;
    progress.done();
    if interrupt.pressed() {
        bail!("interrupted");
    }
    Ok(bed)
}

/// Port forwards to the guest, `host:guest`, for TCP and UDP. The guest has the address of its `ip=`, or the first lease.
///
/// # Errors
/// Names a text that is no pair of ports.
pub fn forwards(ports: &[String], parameters: &[String]) -> Result<Vec<Forward>> {
    let own = parameters.iter().find_map(|word| word.strip_prefix("ip=")?.split('/').next()?.parse().ok());
    let mut forwards = Vec::new();
    for text in ports {
        let pair = text.split_once(':').and_then(|(host, guest)| Some((host.parse().ok()?, guest.parse().ok()?)));
        let (host_port, guest_port) =
            pair.with_context(|| format!("\"{text}\" is not a port of this machine, a colon and a port of the guest"))?;
        let guest = SocketAddrV4::new(own.unwrap_or(FIRST_LEASE), guest_port);
        forwards.extend([false, true].map(|udp| Forward { host_port, guest, udp }));
    }
    Ok(forwards)
}

/// What xl is told about the guest.
///
/// # Errors
/// When the image cannot be read.
pub fn spec(task: &Task, image: &Image, memory_mib: Option<u32>) -> Result<GuestSpec> {
    let path = &image.files.img;
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut spec = GuestSpec::new(&task.name, bytes);
    spec.memory_mib = memory_mib.unwrap_or(task.settings.memory_mib);
    spec.vif = task.settings.vif;
    Ok(spec)
}

/// Starts the guest, gives what comes on its console to `show` and returns when it has ended.
///
/// Ctrl-C asks the guest to end, as `xl shutdown` does; a second one leaves it to the bed's end.
///
/// # Errors
/// When xl refuses the guest, or the bed broke.
pub fn run(
    bed: &Bed,
    spec: &GuestSpec,
    mut stream: LogStream,
    deadline: Option<Duration>,
    interrupt: &Interrupt,
    mut show: impl FnMut(Shown<'_>),
) -> Result<Outcome> {
    let progress = Progress::start(format!("xl create {}", spec.name));
    let mut guest = bed.create(spec).with_context(|| format!("xl did not create the guest \"{}\"", spec.name))?;
    progress.done();
    let since = Instant::now();
    let mut shown = 0;
    let mut asked = false;
    let mut said = None;
    let mut show = |shown: Shown<'_>| {
        if let Shown::Line(Line::Text(line)) = &shown {
            said = status(line).or(said.take());
        }
        show(shown);
    };
    let end = loop {
        if let Some(bytes) = guest.console_after(shown, LOOK)? {
            shown += bytes.len();
            show(Shown::Bytes(&bytes));
            stream.push(&bytes).iter().for_each(|line| show(Shown::Line(line)));
            continue;
        }
        if !bed.is_up() {
            bail!("the bed ended under the guest; its log is {}", bed.serial_log().display());
        }
        if let Ok(reason) = guest.wait_shutdown(Duration::ZERO) {
            break End::Shutdown(reason);
        }
        if interrupt.pressed() {
            if asked {
                break End::Interrupted;
            }
            asked = true;
            terminal::say(format_args!("\nxl shutdown {}; Ctrl-C again ends it at once", spec.name));
            guest.shutdown()?;
        }
        if deadline.is_some_and(|deadline| since.elapsed() > deadline) {
            break End::Deadline;
        }
    };
    let ran = since.elapsed();
    stream.finish().iter().for_each(|line| show(Shown::Line(line)));
    let mut outcome = outcome(guest, end, ran)?;
    outcome.status = outcome.status.or(said);
    Ok(outcome)
}

/// What a console line says about the task's end (xen-pv/src/platform.rs prints it), in the words of `data/status`.
fn status(line: &str) -> Option<String> {
    match line {
        _ if line.starts_with("result: ") => Some("ok".into()),
        _ if line.starts_with("error: ") => Some(line.into()),
        _ => None,
    }
}

/// Reads what the guest left in xenstore, then removes it.
fn outcome(guest: Guest, end: End, ran: Duration) -> Result<Outcome> {
    let status = guest.xenstore_read("data/status")?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let report = guest.report()?.filter(|_| status.as_deref() == Some("ok"));
    guest.destroy()?;
    Ok(Outcome { end, status, report, ran })
}

/// Prints a console line on standard output, set apart from xtask's own voice, and the places it speaks of if it is part
/// of a crash report.
pub fn print(name: &str, line: &Line, symbols: &Symbols<'_>) {
    let style = match line {
        Line::Text(_) => Style::Cyan,
        Line::Log { level: Some("error"), .. } => Style::Red,
        Line::Log { level: Some("warn"), .. } | Line::Undecoded { .. } => Style::Yellow,
        Line::Log { .. } => Style::Dim,
    };
    write(name, &terminal::on_stdout(line, style));
    if let Line::Text(text) = line {
        symbols.places(text).iter().for_each(|place| write(name, &terminal::on_stdout(place, Style::Yellow)));
    }
}

fn write(name: &str, text: &str) {
    let voice = terminal::on_stdout(format_args!("{name} |"), Style::Dim);
    // A closed pipe at the other end is no reason to leave the guest alone.
    let _ = writeln!(std::io::stdout(), "{voice} {text}");
}

#[cfg(test)]
mod tests {
    use super::{forwards, status};

    #[test]
    fn the_console_tells_the_end_of_a_task_without_xenstore() {
        assert_eq!(status("result: total_bytes=1").as_deref(), Some("ok"));
        assert_eq!(status("error: no readings").as_deref(), Some("error: no readings"));
        assert_eq!(status("the result: 3"), None);
    }

    #[test]
    fn forwards_lead_to_the_guests_own_address() {
        let ports = ["7007:7".to_owned()];
        let to = |parameters: &[String]| forwards(&ports, parameters).unwrap()[1].guest.to_string();
        assert_eq!(to(&[]), "10.0.2.15:7");
        assert_eq!(to(&["ip=10.0.2.50/24".to_owned()]), "10.0.2.50:7");
        assert_eq!(to(&["ip=dhcp".to_owned()]), "10.0.2.15:7");
        assert_eq!(forwards(&ports, &[]).unwrap().iter().map(|forward| forward.udp).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_wrong_forward_is_named() {
        let error = forwards(&["80".to_owned()], &[]).unwrap_err().to_string();
        assert_eq!(error, "\"80\" is not a port of this machine, a colon and a port of the guest");
    }
}
