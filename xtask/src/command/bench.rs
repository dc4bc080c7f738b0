//! `bench`: Spore beside a Linux guest, in one boot of the bed.
//!
//! `case` has what is measured, one module each; `contestant` the two sides; `figures` what was measured; `table`, `chart` and `json` show
//! it. What a Linux guest is made of is in `qemu_tests::linux_guest`, and what is timed in dom0 in the crate `bed-agent`.

mod case;
mod chart;
mod contestant;
mod figures;
mod hypercalls;
mod iperf;
mod json;
mod table;
mod window;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use qemu_tests::linux_guest::{self, LinuxGuest};
use qemu_tests::progress::Lines;
use qemu_tests::{Bed, BedOptions, Clock, Guest};

use crate::arch::Arch;
use crate::guest;
use crate::image::{self, Image};
use crate::interrupt::Interrupt;
use crate::setup;
use crate::terminal::{self, Style};
use crate::workspace::{Task, Workspace};
use case::Case;
use case::heap::{self, Start};
use case::input::{self, Inputs};
use contestant::{Pair, Side};
use figures::{Figures, Measure};

/// Measure Spore beside a Linux guest: size, memory, start, throughput, latency, CPU time.
///
/// Boots Xen, dom0 and xl in QEMU once. There, in turn, so that a slow moment of this machine slows both: Spore, and a Linux guest of
/// Debian's kernel for guests with busybox and iperf3, on the same bridge. dom0 is the other end, with iperf3's client. Ratios are Spore
/// divided by Linux, of medians. Compare figures with each other, not with those of a board: the CPU is emulated, and dom0 and the guests
/// share it.
///
/// The table goes to standard output; target/bench has it as <ARCH>.json, with all rounds, and as <ARCH>.svg. With names of cases, only
/// those run and the files' names say which.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to measure; everything if nothing is named.
    #[arg(value_enum)]
    cases: Vec<Case>,
    /// The processor to boot on.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// How often each figure is taken.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long data flows for one figure of throughput.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Let the machine's time pass with its instructions: figures no longer depend on what else this computer does, and changes of one
    /// percent can be seen. Takes two to three times as long.
    #[arg(long)]
    icount: bool,
}

/// Ctrl-C: the end of all cases, unlike what a case could not measure.
#[derive(Debug)]
struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl Error for Interrupted {}

/// What the cases work with.
struct Bench<'a> {
    bed: &'a Bed,
    interrupt: &'a Interrupt,
    arch: Arch,
    clock: Clock,
    rounds: u32,
    flow: Duration,
    /// Tasks and their images: that which speaks iperf3, and the echo server.
    iperf: (Task, Image),
    echo: (Task, Image),
    /// The one that only starts and ends.
    hello: (Task, Image),
    /// The one that reads a body of any length.
    filter: (Task, Image),
    /// The data broker, and a task that computes with what it gets.
    broker: (Task, Image),
    summary: (Task, Image),
    linux: LinuxGuest,
    figures: Figures,
    /// Spore's own starts, for each size of memory.
    starts: Vec<Vec<Start>>,
    /// How much data Spore took in, and with how much memory.
    inputs: Inputs,
    /// What could not be measured.
    failures: u32,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    setup::for_bed(arguments.arch)?;
    let linux = LinuxGuest::provide(arguments.arch.machine(), &mut Lines)?;
    let built = |name: &str| -> Result<(Task, Image)> {
        let task = workspace.task(name)?;
        let image = image::build_and_say(&workspace, &task, arguments.arch)?;
        Ok((task, image))
    };
    let (iperf, echo, hello, filter) = (built("iperf")?, built("echo")?, built("hello")?, built("filter")?);
    let (broker, summary) = (built("broker")?, built("summary")?);
    let interrupt = Interrupt::listen()?;
    let clock = if arguments.icount { Clock::Instructions } else { Clock::Host };
    // Room for several Linux guests. What memory the board has is fixed on ARM.
    let memory_mib = (arguments.arch == Arch::X86_64).then_some(2048);
    let options = BedOptions { clock, memory_mib, ..BedOptions::new(arguments.arch.machine()) };
    let bed = guest::boot_bed_with(options, &interrupt)?;
    install_iperf(&bed, arguments.arch)?;
    let mut bench = Bench {
        bed: &bed,
        interrupt: &interrupt,
        arch: arguments.arch,
        clock,
        rounds: arguments.rounds,
        flow: Duration::from_secs(arguments.seconds.into()),
        iperf,
        echo,
        hello,
        filter,
        broker,
        summary,
        linux,
        figures: Figures::default(),
        starts: Vec::new(),
        inputs: Inputs::default(),
        failures: 0,
    };
    let since = Instant::now();
    let cases = if arguments.cases.is_empty() { Case::ALL.to_vec() } else { arguments.cases.clone() };
    for case in &cases {
        terminal::say(terminal::on_stderr(format_args!("\n== {case}"), Style::Bold));
        match case.run(&mut bench) {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => bench.failed(format_args!("{case}: {error:#}")),
            Ok(()) => {}
        }
    }
    terminal::say(format_args!("\nmeasured in {} s", since.elapsed().as_secs()));
    let name = file_name(arguments);
    show(&workspace, arguments, &name, &bench)?;
    Ok(if bench.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The table on standard output, the rest in files.
fn show(workspace: &Workspace, arguments: &Arguments, name: &str, bench: &Bench<'_>) -> Result<()> {
    print!("{}", table::of(&bench.figures));
    if !bench.starts.is_empty() {
        print!("\n{}", heap::table(&bench.starts));
    }
    if !bench.inputs.is_empty() {
        print!("\n{}", input::table(&bench.inputs, arguments.arch));
    }
    let folder = workspace.target.join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let Arguments { arch, rounds, seconds, icount, .. } = *arguments;
    let facts = json::Facts { arch, rounds, seconds, icount, linux: &bench.linux.version };
    let (json, chart) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.svg")));
    let text = serde_json::to_string_pretty(&json::of(&facts, &bench.figures, &bench.starts, &bench.inputs))? + "\n";
    std::fs::write(&json, text).with_context(|| format!("writing {}", json.display()))?;
    chart::write(&chart, &bench.figures, arch)?;
    terminal::say(format_args!("\n{}\n{}", json.display(), chart.display()));
    Ok(())
}

/// The stem of the files: a part must not take the place of the whole.
fn file_name(arguments: &Arguments) -> String {
    let mut words = vec![arguments.arch.to_string()];
    words.extend(arguments.icount.then(|| "icount".to_owned()));
    words.extend(arguments.cases.iter().map(Case::to_string));
    words.join("-")
}

/// Brings iperf3 to dom0, whose own file system does not have it.
fn install_iperf(bed: &Bed, arch: Arch) -> Result<()> {
    const ARCHIVE: &str = "/tmp/iperf3.cpio";
    bed.put(ARCHIVE, &linux_guest::iperf_for_dom0(arch.machine().machine())?)?;
    // What dom0 has already, such as the C library, stays.
    bed.must(&format!("cd / && cpio -id <{ARCHIVE} 2>/dev/null; rm {ARCHIVE}; iperf3 --version"))?;
    Ok(())
}

impl Bench<'_> {
    /// Takes a figure and says it. A failure is said and counted, and leaves a hole in the figures.
    fn take(&mut self, side: Side, what: &str, take: impl FnOnce(&Self) -> Result<Vec<(Measure, f64)>>) -> Result<()> {
        self.go_on()?;
        match take(self) {
            Ok(values) => {
                let shown: Vec<_> = values.iter().map(|(measure, value)| measure.shown(*value)).collect();
                terminal::say(format_args!("{what}: {side}: {}", shown.join(", ")));
                values.into_iter().for_each(|(measure, value)| self.figures.add(measure, side, value));
            }
            Err(error) => self.failed(format_args!("{what}: {side}: {error:#}")),
        }
        Ok(())
    }

    /// Says and counts what could not be measured.
    fn failed(&mut self, words: fmt::Arguments<'_>) {
        self.failures += 1;
        terminal::say(terminal::on_stderr(words, Style::Yellow));
    }

    /// Whether nobody pressed Ctrl-C.
    fn go_on(&self) -> Result<()> {
        if self.interrupt.pressed() { Err(Interrupted.into()) } else { Ok(()) }
    }

    /// Lets time pass, in pieces so that Ctrl-C is heard.
    fn wait(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.go_on()?;
            std::thread::sleep(left.min(Duration::from_millis(200)));
        }
        Ok(())
    }

    /// Takes figures of both sides in each round, the first one changing from round to round.
    fn in_turn(&mut self, what: &str, mut take: impl FnMut(&Self, Side) -> Result<Vec<(Measure, f64)>>) -> Result<()> {
        for round in 0..self.rounds {
            let what = format!("{}/{} {what}", round + 1, self.rounds);
            for side in Side::in_round(round) {
                self.take(side, &what, |bench| take(bench, side))?;
            }
        }
        Ok(())
    }

    /// Starts both sides and leaves them running.
    fn pair(&self) -> Result<Pair> {
        Pair::start(self)
    }

    /// The number of a guest's domain.
    fn domain(guest: &Guest) -> Result<u16> {
        guest.domain()?.try_into().context("a number that no domain has")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_files_of_its_own() {
        let mut arguments = Arguments { cases: Vec::new(), arch: Arch::Armv7, rounds: 5, seconds: 3, icount: false };
        assert_eq!(file_name(&arguments), "armv7");
        (arguments.icount, arguments.cases) = (true, vec![Case::Tcp, Case::Udp]);
        assert_eq!(file_name(&arguments), "armv7-icount-tcp-udp");
    }
}
