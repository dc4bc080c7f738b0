//! Time that does not pass evenly: dom0's wall clock is set, a guest's CPU is taken away for a while.

use crate::collect::{self, Bench};
use crate::echo::{self, stop};
use crate::lifecycle::cpu_ms;
use crate::load::Load;
use crate::reconnect::answers;
use crate::support::{PATIENCE, ends_well, guest};
use anyhow::Result;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::{Dom0, check};
use trouble::Report;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "time: a step of the wall clock by hours moves no timer", run: steps },
    Scenario { name: "time: guests go on quietly after a pause", run: pause },
];

/// Clocks that differ by less are the same for these scenarios, whose steps are hours: the machine may be slow.
const NEAR_S: i64 = 1200;

/// dom0's wall clock, set back to what it would be when the scenario ends, however it does.
struct Steps<'a> {
    dom0: &'a Dom0,
    total_s: i64,
}

impl Steps<'_> {
    fn step(&mut self, seconds: i64) -> Result<()> {
        let expected_s = self.now_s()? + seconds;
        self.dom0.must(&format!("date -s @{expected_s}"))?;
        self.total_s += seconds;
        check!((self.now_s()? - expected_s).abs() < NEAR_S, "dom0's clock cannot be set");
        Ok(())
    }

    fn now_s(&self) -> Result<i64> {
        Ok(self.dom0.must("date +%s")?.trim().parse()?)
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        // The bed may be gone; otherwise nothing but the hour is wrong for scenarios to come.
        let _ = self.step(-self.total_s);
    }
}

fn steps(context: &Context<'_>) -> Result<()> {
    const HOURS_S: i64 = 5 * 3600;
    const WAIT_MS: u64 = 3000;
    let mut load = Load::start(context)?;
    let mut clock = Steps { dom0: context.bed, total_s: 0 };
    for step_s in [HOURS_S, -2 * HOURS_S, HOURS_S] {
        let spec = guest(context, "trouble", &format!("fault=None lines=1 wait_s={}", WAIT_MS / 1000))?;
        let mut waiting = context.bed.create(&spec)?;
        waiting.wait_for("trouble: waiting for line 1", PATIENCE)?;
        crate::console::type_line(context, &waiting, "go")?;
        waiting.wait_for("trouble: line 1", PATIENCE)?;
        clock.step(step_s)?;
        load.moves()?;
        let report: Report = ends_well(&mut waiting)?;
        let sane = WAIT_MS..HOURS_S as u64 * 1000;
        check!(sane.contains(&report.ran_ms), "a timer of {WAIT_MS} ms took {} ms", report.ran_ms);
        let (dom0_s, guest_s) = (clock.now_s()?, report.unix_time_ms as i64 / 1000);
        check!((dom0_s - guest_s).abs() < NEAR_S, "dom0 has {dom0_s}, the guest {guest_s}");
    }
    load.finish()
}

/// Seconds are enough: what a guest does about an hour away is tested in `kernel`, where the clock is moved by hand.
fn pause(context: &Context<'_>) -> Result<()> {
    const AWAY_MS: u64 = 5000;
    const MOST_PERCENT: u64 = 10;
    let bench = Bench::new()?;
    let (collector, server) = (bench.start(context)?, echo::start(context)?);
    let mut waiting = context.bed.create(&guest(context, "trouble", "fault=None wait_s=2")?)?;
    for guest in [&collector, &server, &waiting] {
        guest.pause()?;
    }
    context.bed.must(&format!("sleep {}", AWAY_MS / 1000))?;
    let before = [cpu_ms(context, "collect")?, cpu_ms(context, "echo")?];
    for guest in [&collector, &server, &waiting] {
        guest.unpause()?;
    }
    let report: Report = ends_well(&mut waiting)?;
    waiting.destroy()?;
    check!(report.ran_ms >= AWAY_MS, "a timer went off while its guest was paused: {} ms", report.ran_ms);
    // The measure of the time that follows: a guest that waits for some seconds.
    let mut quiet = context.bed.create(&guest(context, "trouble", "fault=None wait_s=6")?)?;
    let quiet: Report = ends_well(&mut quiet)?;
    for (name, before_ms) in ["collect", "echo"].into_iter().zip(before) {
        let used_ms = cpu_ms(context, name)? - before_ms;
        check!(used_ms * 100 <= quiet.ran_ms * MOST_PERCENT, "{name} used {used_ms} of {} ms", quiet.ran_ms);
    }
    answers(context, collect::ADDRESS)?;
    collector.destroy()?;
    answers(context, echo::ADDRESS)?;
    stop(server, &::echo::Report::default())
}
