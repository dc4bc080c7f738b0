//! `xl create` to the first line of the console and to the first answered ping.

use std::time::Duration;

use anyhow::{Context, Result};
use qemu_tests::Clock;

use super::super::Bench;
use super::super::contestant::{self, PATIENCE, Side, iperf_address, iperf_spec};
use super::super::figures::Measure;

const GROUP: &str = "start";
const ENTRY_TO_TASK: &str = "first instruction to the task (Linux: to its first process)";

/// One guest at a time, nothing else running.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    // The first guest after dom0's boot pays for all that xl reads for the first time.
    one(bench, Side::Spore)?;
    bench.in_turn("start", one)
}

fn one(bench: &Bench<'_>, side: Side) -> Result<Vec<(Measure, f64)>> {
    let address = iperf_address(side, 0);
    let (mut guest, times) = bench.bed.create_timed(&iperf_spec(bench, side, 0)?, address, PATIENCE)?;
    guest.wait_for(contestant::ready(side), PATIENCE)?;
    let text = guest.console_text();
    let task = task_after(side, &text).with_context(|| guest.complaint("no word of when the task began"))?;
    guest.destroy()?;
    let milliseconds = |time: Option<u64>, what: &'static str| time.context(what).map(|time| time as f64 / 1000.0);
    let answer = milliseconds(times.answer_us, "no answer to a ping")?;
    let console = milliseconds(times.console_us, "no line on the console")?;
    let script = milliseconds(times.script_us, "no end of xl create")?;
    let row = |key, name: &str, value| (Measure::less(key, GROUP, name, "ms"), value);
    let mut rows = vec![
        row("create_to_packet", "xl create to the first answered ping", answer),
        row("create_to_line", "xl create to the first line", console),
        row("create", "xl create to its own end", script),
        row("entry_to_task", ENTRY_TO_TASK, task.as_secs_f64() * 1000.0),
    ];
    if bench.clock == Clock::Instructions {
        let measure = Measure::less("entry_to_task_instructions", GROUP, ENTRY_TO_TASK, "instructions");
        rows.push((measure, task.as_secs_f64() * f64::from(Clock::INSTRUCTIONS_PER_SECOND)));
    }
    Ok(rows)
}

/// From the guest's first instruction to its task, or to the first process of Linux.
pub fn task_after(side: Side, console: &str) -> Option<Duration> {
    match side {
        Side::Spore => {
            let line = console.lines().find_map(|line| line.strip_prefix("task: started "))?;
            Some(Duration::from_micros(line.strip_suffix(" us after the guest")?.parse().ok()?))
        }
        Side::Linux => {
            let seconds = console.lines().find_map(|line| line.strip_prefix(qemu_tests::linux_guest::STARTED))?;
            Some(Duration::from_secs_f64(seconds.parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_say_when_they_began() {
        let spore = "spore: iperf 0.1.0, 4096 KiB, 3940 KiB for the heap\ntask: started 812 us after the guest\n";
        assert_eq!(task_after(Side::Spore, spore), Some(Duration::from_micros(812)));
        assert_eq!(task_after(Side::Linux, "linux: started at 3.25\n"), Some(Duration::from_millis(3250)));
        assert_eq!(task_after(Side::Linux, spore), None);
    }
}
