//! `boot`: a task on real Xen, in the bed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use console::LogStream;
use qemu_tests::ShutdownReason;

use crate::arch::Arch;
use crate::guest::{self, End, Outcome, Shown};
use crate::image::{self, Image};
use crate::interrupt::Interrupt;
use crate::setup;
use crate::symbols::Symbols;
use crate::terminal::{self, Style};
use crate::workspace::Workspace;

/// The task returned an error.
const TASK_FAILED: u8 = 3;
/// The guest crashed.
const CRASHED: u8 = 4;
/// The guest was still running at the deadline.
const LATE: u8 = 5;
/// Ended by a second Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Boot a task on real Xen in QEMU, show its console as it comes, print its result.
///
/// Xen, dom0, xl and the network backend are Debian's own. The guest reaches this machine as 10.0.2.2. Ctrl-C asks the
/// guest to end, as xl shutdown does; a second one ends the machine.
///
/// Exit status: 0 when the task ended well, 3 when it returned an error, 4 when the guest crashed, 5 when it was still
/// running at the deadline, 1 for everything else.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task's package; a wrong name lists the tasks there are.
    task: String,
    /// The processor to boot it on.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// Memory in MiB, instead of the task's own memory_mib.
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Give up after this many seconds; without it the guest may run as long as it likes.
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<u64>,
    /// Lead a port of this machine's loopback interface to one of the guest, for TCP and UDP, such as 7007:7.
    #[arg(long = "forward", value_name = "HOST:GUEST")]
    forwards: Vec<String>,
    /// Write the console's raw bytes to this file too; cargo xtask logs decodes it.
    #[arg(long, value_name = "FILE")]
    log: Option<std::path::PathBuf>,
    /// Leave the parameters unchecked, so that the guest itself complains.
    #[arg(long)]
    no_check: bool,
    /// The task's parameters.
    #[arg(last = true, value_name = "KEY=VALUE")]
    parameters: Vec<String>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let task = workspace.task(&arguments.task)?;
    let forwards = guest::forwards(&arguments.forwards, &arguments.parameters)?;
    setup::for_bed(arguments.arch)?;
    let image = image::build_and_say(&workspace, &task, arguments.arch)?;
    if !arguments.no_check {
        image.description.check(&arguments.parameters, task.settings.vif)?;
    }
    let mut spec = guest::spec(&task, &image, arguments.memory)?;
    spec.extra = arguments.parameters.join(" ");
    let elf = image.elf()?;
    let (stream, symbols) = (LogStream::new(&elf)?, Symbols::new(&elf)?);

    let interrupt = Interrupt::listen()?;
    let bed = guest::boot_bed(arguments.arch, forwards, &interrupt)?;
    let deadline = arguments.deadline.map(Duration::from_secs);
    let mut console = Vec::new();
    let outcome = guest::run(&bed, &spec, stream, deadline, &interrupt, |shown| match shown {
        Shown::Line(line) => guest::print(&task.name, line, &symbols),
        Shown::Bytes(bytes) => console.extend_from_slice(bytes),
    })?;
    if let Some(path) = &arguments.log {
        std::fs::write(path, console).with_context(|| format!("writing {}", path.display()))?;
    }
    verdict(&task.name, &image, &outcome)
}

/// Prints how it ended and what came out.
fn verdict(name: &str, image: &Image, outcome: &Outcome) -> Result<ExitCode> {
    let seconds = outcome.ran.as_secs_f64();
    let (words, code) = judge(outcome);
    let style = if code == 0 { Style::Green } else { Style::Red };
    terminal::say(terminal::on_stderr(format_args!("{name}: {words}, after {seconds:.1} s"), style));
    if let Some(report) = &outcome.report {
        for (key, value) in image.description.report_fields(report)? {
            println!("{key}={value}");
        }
    }
    Ok(ExitCode::from(code))
}

/// How it ended in words, and the exit status.
fn judge(outcome: &Outcome) -> (String, u8) {
    match (outcome.end, outcome.status.as_deref()) {
        (End::Deadline, _) => ("still running at the deadline".into(), LATE),
        (End::Interrupted, _) => ("ended by Ctrl-C".into(), INTERRUPTED),
        (End::Shutdown(ShutdownReason::PowerOff | ShutdownReason::Reboot), Some("ok")) => ("ended well".into(), 0),
        (End::Shutdown(ShutdownReason::PowerOff), Some(error)) => (format!("ended with {error}"), TASK_FAILED),
        (End::Shutdown(ShutdownReason::PowerOff), None) => ("powered off, but left no status".into(), TASK_FAILED),
        (End::Shutdown(ShutdownReason::Crash), _) => ("crashed; its console says why".into(), CRASHED),
        (End::Shutdown(reason), _) => (format!("ended with the reason {reason}"), CRASHED),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use qemu_tests::ShutdownReason;

    use super::judge;
    use crate::guest::{End, Outcome};

    fn judged(end: End, status: Option<&str>) -> (String, u8) {
        judge(&Outcome { end, status: status.map(String::from), report: None, ran: Duration::ZERO })
    }

    #[test]
    fn the_exit_status_is_the_tasks() {
        let off = End::Shutdown(ShutdownReason::PowerOff);
        assert_eq!(judged(off, Some("ok")), ("ended well".into(), 0));
        assert_eq!(judged(off, Some("error: no port")), ("ended with error: no port".into(), 3));
        assert_eq!(judged(off, None).1, 3);
        assert_eq!(judged(End::Shutdown(ShutdownReason::Crash), None), ("crashed; its console says why".into(), 4));
        assert_eq!(judged(End::Shutdown(ShutdownReason::Reboot), Some("ok")).1, 0);
        assert_eq!(judged(End::Shutdown(ShutdownReason::Watchdog), None), ("ended with the reason watchdog".into(), 4));
        assert_eq!(judged(End::Deadline, None).1, 5);
        assert_eq!(judged(End::Interrupted, None).1, 130);
    }
}
