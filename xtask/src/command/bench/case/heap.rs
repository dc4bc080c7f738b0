//! A guest's own start, for sizes of memory: the heap's share, and the time from the first instruction to the task.

use std::fmt::Write;

use anyhow::{Context, Result};
use console::{Line, LogStream};

use super::super::Bench;
use crate::guest::{self, Shown};
use crate::terminal;

/// Sizes of memory in MiB.
const MEMORY_MIB: [u32; 6] = [4, 8, 32, 64, 128, 512];

/// What one boot said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Start {
    total_kib: u64,
    heap_kib: u64,
    task_us: u64,
}

/// Boots a task that only starts and ends, with each size of memory in turn.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let (task, image) = &bench.hello;
    let mut starts = vec![Vec::new(); MEMORY_MIB.len()];
    for _ in 0..bench.rounds {
        for (memory_mib, starts) in MEMORY_MIB.iter().zip(&mut starts) {
            let spec = guest::spec(task, image, Some(*memory_mib))?;
            let mut lines = Vec::new();
            guest::run(bench.bed, &spec, LogStream::without_strings(), None, bench.interrupt, |shown| {
                if let Shown::Line(Line::Text(line)) = shown {
                    lines.push(line.clone());
                }
            })?;
            let start = start(&lines);
            let start = start.with_context(|| format!("with {memory_mib} MiB the guest said only {lines:?}"))?;
            terminal::say(format_args!("heap: {memory_mib} MiB: to the task in {} us", start.task_us));
            starts.push(start);
        }
    }
    bench.starts = starts;
    Ok(())
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
pub fn table(sizes: &[Vec<Start>]) -> String {
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
