//! Runs scenarios one after the other in one bed, and says whose fault it is when one does not pass.
//!
//! A bed boots once for all scenarios. It is booted anew after an error of the test or the bed, and when dom0 is ill: a
//! scenario never pays for what another one left behind.

use crate::bed::Bed;
use crate::dom0_program::Program;
use crate::machine::{Arch, BedOptions};
use crate::place;
use crate::progress::Lines;
use crate::setup::setup;
use crate::tools;
use crate::verdict::Verdict;
use anyhow::{Context as _, Result, bail};
use bed_agent::protocol::LogSource;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// How many of a console's last lines are shown when a scenario does not pass.
const SHOWN_LINES: usize = 20;

/// How much is kept of the packets between a scenario's machine and the host.
const CAPTURE_BYTES: usize = 8 << 20;

/// One scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Says the fact that it tests.
    pub name: &'static str,
    /// Its steps; see [`crate::verdict`] for what its errors mean.
    pub run: fn(&Context<'_>) -> Result<()>,
}

/// What a scenario works with.
pub struct Context<'a> {
    /// The bed; only this scenario uses it now.
    pub bed: &'a Bed,
    /// The machine that the bed emulates.
    pub arch: Arch,
    /// The scenario's name.
    pub name: &'static str,
}

impl Context<'_> {
    /// Gives dom0 the tools of [`crate::tools`], and the shared folder.
    ///
    /// # Errors
    /// They cannot be brought.
    pub fn bring_tools(&self) -> Result<()> {
        tools::setup(self.arch, &mut Lines)?;
        tools::bring(self.bed, self.arch)
    }

    /// The folder of the host that dom0 shares once it has the tools.
    #[must_use]
    pub fn share(&self) -> PathBuf {
        share(self.arch)
    }

    /// Builds a program for dom0 and puts it into a folder of dom0's PATH.
    ///
    /// # Errors
    /// It cannot be built, or dom0 is gone.
    pub fn bring_program(&self, program: Program) -> Result<()> {
        self.bed.bring(self.arch, program, "/usr/bin", &mut Lines)
    }

    /// A task's image, as `xl` boots it.
    ///
    /// # Errors
    /// It has not been built.
    pub fn image(&self, task: &str) -> Result<Vec<u8>> {
        let path = self.image_file(task, "img");
        let arch = self.arch.guests().name();
        fs::read(&path)
            .with_context(|| format!("{}: build it with cargo xtask build-image {task} --arch {arch}", path.display()))
    }

    /// The path of one of the files that a task's build leaves: `img`, `elf` or `cfg`.
    #[must_use]
    pub fn image_file(&self, task: &str, extension: &str) -> PathBuf {
        place::workspace().join(format!("target/images/{}/{task}/{task}.{extension}", self.arch.guests().name()))
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    arch: Arch,
    all: bool,
    list: bool,
    filters: Vec<String>,
}

impl Arguments {
    /// Whether they ask for a scenario: by its name, or by none, unless another machine's run has it.
    fn want(&self, name: &str, on_one: &[(&str, Arch)]) -> bool {
        if self.filters.is_empty() {
            return self.all || on_one.iter().all(|(other, arch)| *other != name || *arch == self.arch);
        }
        self.filters.iter().any(|filter| name.contains(filter))
    }
}

/// The program: runs the scenarios that the command line names. When it names none, those `on_one` run on the machine
/// that is there beside their names, all others on each, and with `--all` all on each.
#[must_use]
pub fn main(scenarios: &[Scenario], on_one: &[(&str, Arch)]) -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(2);
        }
    };
    if let Some((name, _)) = on_one.iter().find(|(name, _)| scenarios.iter().all(|scenario| scenario.name != *name)) {
        eprintln!("there is no scenario \"{name}\" that one machine could have for itself");
        return ExitCode::from(2);
    }
    let scenarios: Vec<_> = scenarios.iter().filter(|scenario| arguments.want(scenario.name, on_one)).collect();
    if arguments.list {
        scenarios.iter().for_each(|scenario| println!("{}", scenario.name));
        return ExitCode::SUCCESS;
    }
    let mut totals = Totals::default();
    if let Err(error) = run_all(&scenarios, arguments.arch, &mut totals) {
        println!("ERROR  {error:#}");
        totals.failed += 1;
    }
    let Totals { passed, failed, skipped } = totals;
    println!("{}: {passed} passed, {failed} failed, {skipped} skipped", arguments.arch.name());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Totals {
    passed: usize,
    failed: usize,
    skipped: usize,
}

fn run_all(scenarios: &[&Scenario], arch: Arch, totals: &mut Totals) -> Result<()> {
    setup(arch, &mut Lines)?;
    let mut bed = None;
    for scenario in scenarios {
        let running = match bed.take() {
            Some(bed) => bed,
            None => boot(arch)?,
        };
        running.forget_all_logs();
        if let Some(capture) = running.capture() {
            capture.forget();
        }
        let start = Instant::now();
        let verdict = run_one(scenario, &running, arch);
        let seconds = start.elapsed().as_secs_f32();
        let (word, why) = match &verdict {
            Verdict::Pass => ("PASS", None),
            Verdict::Skip(why) => ("SKIP", Some(why)),
            Verdict::Error(why) => ("ERROR", Some(why)),
            Verdict::Failure(why) => ("FAIL", Some(why)),
        };
        println!("{word:5}  {}  {} ({seconds:.1} s)", arch.name(), scenario.name);
        if let Some(why) = why {
            println!("       {}", why.replace('\n', "\n       "));
        }
        match &verdict {
            Verdict::Pass => totals.passed += 1,
            Verdict::Skip(_) => totals.skipped += 1,
            Verdict::Error(_) | Verdict::Failure(_) => {
                totals.failed += 1;
                keep_logs(scenario.name, arch, &running);
            }
        }
        bed = (!matches!(verdict, Verdict::Error(_)) && is_healthy(&running)).then_some(running);
    }
    Ok(())
}

/// The folder that dom0 shares with the host.
fn share(arch: Arch) -> PathBuf {
    place::bed().join(arch.name()).join("share")
}

fn boot(arch: Arch) -> Result<Bed> {
    eprintln!("booting Xen and dom0 ({})", arch.name());
    let start = Instant::now();
    let share = share(arch);
    fs::create_dir_all(&share).with_context(|| format!("make {}", share.display()))?;
    let options = BedOptions {
        name: format!("scenarios-{}", arch.name()),
        share: Some(share),
        capture_bytes: Some(CAPTURE_BYTES),
        ..BedOptions::new(arch)
    };
    // A machine that did not come up once is given a second chance: the host may have been busy.
    let bed = Bed::boot(&options).or_else(|error| {
        eprintln!("{error:#}\nonce more");
        Bed::boot(&options)
    })?;
    eprintln!("up after {:.1} s", start.elapsed().as_secs_f32());
    Ok(bed)
}

fn run_one(scenario: &Scenario, bed: &Bed, arch: Arch) -> Verdict {
    let context = Context { bed, arch, name: scenario.name };
    match catch_unwind(AssertUnwindSafe(|| (scenario.run)(&context))) {
        Ok(outcome) => Verdict::from(outcome),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Verdict::Error(format!("the scenario panicked: {}", text.unwrap_or("without a message")))
        }
    }
}

/// Whether the next scenario can use this bed: dom0 answers, and no guest is left that it cannot get rid of.
fn is_healthy(bed: &Bed) -> bool {
    let guests = |bed: &Bed| {
        bed.xenstore_list("/local/domain").map(|domains| domains.into_iter().filter(|domain| domain != "0").collect())
    };
    let Ok(left): Result<Vec<String>> = guests(bed) else { return false };
    left.iter().all(|domain| bed.must(&format!("xl destroy {domain}")).is_ok())
}

/// Keeps the logs of a scenario that did not pass below `target/bed/logs/<CPU>/<scenario>/`, and shows the end of its
/// guests' consoles.
fn keep_logs(name: &str, arch: Arch, bed: &Bed) {
    if !bed.is_up() {
        println!("       {}", bed.symptoms().trim_end().replace('\n', "\n       "));
    }
    let folder = place::logs().join(arch.name()).join(name.replace([' ', '/', ':'], "-"));
    let keep = || -> Result<()> {
        fs::create_dir_all(&folder)?;
        fs::copy(bed.serial_log(), folder.join("serial.log"))?;
        for (source, log) in bed.all_logs() {
            match source {
                LogSource::Console(guest) => {
                    let text = crate::guest::plain_text(&log);
                    let lines: Vec<_> = text.lines().collect();
                    println!("       the console of {guest} ends with:");
                    lines
                        .iter()
                        .skip(lines.len().saturating_sub(SHOWN_LINES))
                        .for_each(|line| println!("       | {line}"));
                    fs::write(folder.join(format!("{guest}.console")), log)?;
                }
                LogSource::Toolstack(guest) => fs::write(folder.join(format!("{guest}.xl.log")), log)?,
            }
        }
        if let Some(packets) = bed.capture().and_then(|capture| capture.file()) {
            fs::write(folder.join("host.pcap"), packets)?;
        }
        if let Ok(output) = bed.shell("xl list; xl dmesg; cat /var/log/xen/xen-hotplug.log; dmesg | tail -50") {
            fs::write(folder.join("dom0.log"), [output.stdout, output.stderr].concat())?;
        }
        Ok(())
    };
    match keep() {
        Ok(()) => println!("       logs: {}", folder.display()),
        Err(error) => println!("       logs are incomplete: {error:#}"),
    }
}

/// Reads the command line; what `cargo test` adds for its own harness is passed over.
fn parse(arguments: impl Iterator<Item = String>) -> Result<Arguments> {
    let mut parsed = Arguments { arch: Arch::X86_64, all: false, list: false, filters: Vec::new() };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--all" => parsed.all = true,
            "--list" => parsed.list = true,
            "--arch" => parsed.arch = arguments.next().context("--arch without a name")?.parse()?,
            "--nocapture" | "--no-capture" | "--quiet" | "-q" => {}
            flag if flag.starts_with("--test-threads") => {}
            flag if flag.starts_with('-') => {
                bail!("unknown argument {flag}; there are --arch NAME, --all, --list and parts of scenarios' names")
            }
            filter => parsed.filters.push(filter.to_owned()),
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Arguments> {
        parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn names_filter_and_unknown_flags_are_refused() {
        let arguments = parsed("echo --arch x86_64 --nocapture hello").unwrap();
        assert_eq!(
            arguments,
            Arguments { arch: Arch::X86_64, all: false, list: false, filters: vec!["echo".into(), "hello".into()] }
        );
        assert!(parsed("--list").unwrap().list);
        assert!(parsed("--arch z80").is_err() && parsed("--arch").is_err() && parsed("--colour").is_err());
    }

    #[test]
    fn a_scenario_of_one_machine_runs_there_and_elsewhere_when_it_is_asked_for() {
        let on_one = [("echo: slow", Arch::Armv7)];
        for (words, runs) in [
            ("--arch armv7", true),
            ("--arch x86_64", false),
            ("--arch x86_64 --all", true),
            ("--arch x86_64 echo", true),
            ("--arch x86_64 hello", false),
        ] {
            assert_eq!(parsed(words).unwrap().want("echo: slow", &on_one), runs, "{words}");
        }
        assert!(parsed("--arch x86_64").unwrap().want("echo: quick", &on_one));
    }
}
