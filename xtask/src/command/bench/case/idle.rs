//! CPU time of guests that wait for somebody to talk to them. Both wait at the same time, so one minute is enough.

use std::time::Duration;

use anyhow::Result;

use super::super::Bench;
use super::super::contestant::Side;
use super::super::figures::Measure;

const MINUTE: Duration = Duration::from_secs(60);
/// What has just started may have something left to do.
const SETTLE: Duration = Duration::from_secs(5);

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let pair = bench.pair()?;
    let domains = [Bench::domain(pair.iperf(Side::Spore))?, Bench::domain(pair.iperf(Side::Linux))?];
    bench.wait(SETTLE)?;
    let before = bench.bed.cpu_times(&domains)?;
    bench.wait(MINUTE)?;
    let after = bench.bed.cpu_times(&domains)?;
    let passed = (after.clock_ns - before.clock_ns) as f64;
    for (at, side) in [Side::Spore, Side::Linux].into_iter().enumerate() {
        let share = (after.used_ns[at] - before.used_ns[at]) as f64 / passed * 100.0;
        let measure = Measure::less("idle", "idle", "CPU time over a minute", "%");
        bench.take(side, "idle", |_| Ok(vec![(measure, share)]))?;
    }
    Ok(())
}
