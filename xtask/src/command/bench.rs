//! `bench`: figures of a guest's start, for sizes of memory.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use qemu_tests::log_stream::{Line, LogStream};

use crate::arch::Arch;
use crate::guest::{self, Shown};
use crate::image;
use crate::interrupt::Interrupt;
use crate::setup;
use crate::terminal;
use crate::workspace::Workspace;

/// The task that is booted: it does nothing but start and end.
const TASK: &str = "hello";

/// Sizes of memory in MiB.
const MEMORY_MIB: [u32; 6] = [4, 8, 32, 64, 128, 512];

/// Measure a guest's start: the heap's share of the memory, and the time from the first instruction to the task.
///
/// Boots the task hello in the bed with 4 to 512 MiB, in turn, so that a slow moment of this machine slows all sizes.
/// Times are the guest's own, in QEMU's emulation: compare them with each other, not with those of a board.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The processor to boot on.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// How often each size is booted.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// What one boot said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Start {
    total_kib: u64,
    heap_kib: u64,
    task_us: u64,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let task = workspace.task(TASK)?;
    setup::for_bed(arguments.arch)?;
    let image = image::build_and_say(&workspace, &task, arguments.arch)?;
    let interrupt = Interrupt::listen()?;
    let bed = guest::boot_bed(arguments.arch, Vec::new(), &interrupt)?;
    let mut starts = MEMORY_MIB.map(|_| Vec::new());
    for round in 1..=arguments.rounds {
        terminal::say(format_args!("round {round} of {}", arguments.rounds));
        for (memory_mib, starts) in MEMORY_MIB.iter().zip(&mut starts) {
            let spec = guest::spec(&task, &image, Some(*memory_mib))?;
            let mut lines = Vec::new();
            guest::run(&bed, &spec, LogStream::without_elf(), None, &interrupt, |shown| {
                if let Shown::Line(Line::Text(line)) = shown {
                    lines.push(line.clone());
                }
            })?;
            let start = start(&lines);
            starts.push(start.with_context(|| format!("with {memory_mib} MiB the guest said only {lines:?}"))?);
        }
    }
    print!("{}", table(&starts));
    Ok(ExitCode::SUCCESS)
}

/// Reads what the platform prints at its start (xen-pv/src/platform.rs).
fn start(lines: &[String]) -> Option<Start> {
    let number = |text: &str| text.trim().parse().ok();
    let (_, sizes) = lines.iter().find_map(|line| line.strip_prefix("spore: "))?.split_once(", ")?;
    let (total, heap) = sizes.strip_suffix(" KiB for the heap")?.split_once(" KiB, ")?;
    let task =
        lines.iter().find_map(|line| line.strip_prefix("task: started ")?.strip_suffix(" us after the guest"))?;
    Some(Start { total_kib: number(total)?, heap_kib: number(heap)?, task_us: number(task)? })
}

/// One line for each size of memory.
fn table(sizes: &[Vec<Start>]) -> String {
    let mut table = String::from("   memory       heap   share   first instruction to task: median (least to most)\n");
    for starts in sizes {
        let mut times: Vec<u64> = starts.iter().map(|start| start.task_us).collect();
        times.sort_unstable();
        let (Some(any), Some(least), Some(most)) = (starts.first(), times.first(), times.last()) else { continue };
        let share = any.heap_kib as f64 / any.total_kib as f64 * 100.0;
        let median = times[times.len() / 2];
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{:>6} KiB {:>6} KiB {share:>5.1} %   {median} us ({least} to {most})",
            any.total_kib, any.heap_kib
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Start, start, table};

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn the_platform_s_lines_are_read() {
        let said =
            lines(&["spore: hello 0.1.0, 4096 KiB, 3940 KiB for the heap", "task: started 812 us after the guest"]);
        assert_eq!(start(&said), Some(Start { total_kib: 4096, heap_kib: 3940, task_us: 812 }));
        assert_eq!(start(&said[..1]), None);
        assert_eq!(start(&lines(&["crash: panic at 0x1000"])), None);
    }

    #[test]
    fn a_row_has_share_and_median() {
        let starts = [3, 1, 2].map(|task_us| Start { total_kib: 4096, heap_kib: 3072, task_us });
        let table = table(&[starts.to_vec()]);
        assert!(table.ends_with("  4096 KiB   3072 KiB  75.0 %   2 us (1 to 3)\n"), "{table}");
    }
}
