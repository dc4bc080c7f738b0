//! TCP throughput both ways, and what a megabyte costs.

use anyhow::Result;

use super::super::Bench;
use super::super::contestant::{Pair, Side, iperf_address};
use super::super::figures::Measure;
use super::super::hypercalls;
use super::super::iperf::{Direction, Run};
use super::super::window::{self, Window};

const GROUP: &str = "TCP throughput";
const COST_GROUP: &str = "cost of a MB, 1 connection, 64 KiB writes";

/// Connections at the same time, bytes in each write, and what the row's key ends with.
const KINDS: [(u32, u32, &str); 4] = [(1, 65536, ""), (4, 65536, "_4"), (16, 65536, "_16"), (1, 1024, "_1k")];

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let pair = bench.pair()?;
    for kind in KINDS {
        for direction in Direction::ALL {
            let what = format!("{} x {} bytes {}", kind.0, kind.1, direction.words());
            bench.in_turn(&what, |bench, side| one(bench, &pair, side, direction, kind))?;
        }
    }
    if hypercalls::are_traced(bench.arch) {
        for direction in Direction::ALL {
            let what = format!("hypercalls {}", direction.words());
            bench.in_turn(&what, |bench, side| hypercalls_of(bench, &pair, side, direction))?;
        }
    }
    Ok(())
}

fn one(
    bench: &Bench<'_>,
    pair: &Pair,
    side: Side,
    direction: Direction,
    (streams, write_bytes, suffix): (u32, u32, &str),
) -> Result<Vec<(Measure, f64)>> {
    let run = Run { streams, write_bytes, ..Run::stream(iperf_address(side, 0), direction, bench.flow) };
    let connections = if streams == 1 { "1 connection".to_owned() } else { format!("{streams} connections") };
    let name = format!("{}, {connections}, {} KiB writes", direction.words(), write_bytes / 1024);
    let throughput = Measure::more(&format!("tcp_{}{suffix}", direction.key()), GROUP, name, "Mbit/s");
    if !suffix.is_empty() {
        return Ok(vec![(throughput, run.run(bench.bed)?.mbit_per_second())]);
    }
    let domains = vec![Bench::domain(pair.iperf(side))?];
    let (arrived, window) = window::during(bench.bed, domains, direction, bench.flow, || run.run(bench.bed))?;
    let mut figures = vec![(throughput, arrived.mbit_per_second())];
    figures.extend(costs(direction, &window));
    Ok(figures)
}

/// In a run of its own, and all of it: to trace costs CPU time, and the conversation around the data few hypercalls.
fn hypercalls_of(bench: &Bench<'_>, pair: &Pair, side: Side, direction: Direction) -> Result<Vec<(Measure, f64)>> {
    let run = Run::stream(iperf_address(side, 0), direction, bench.flow);
    let arrived = run.run_within(bench.bed, hypercalls::traced)?;
    let count = hypercalls::of(bench.bed, Bench::domain(pair.iperf(side))?)?;
    Ok(vec![cost(direction, "hypercalls", "hypercalls of the guest", "hypercalls", count as f64 * 1e6 / arrived.bytes)])
}

fn cost(direction: Direction, key: &str, what: &str, unit: &'static str, per_mb: f64) -> (Measure, f64) {
    let (key, name) = (format!("{key}_per_mb_{}", direction.key()), format!("{}: {what}", direction.words()));
    (Measure::less(&key, COST_GROUP, name, unit), per_mb)
}

fn costs(direction: Direction, window: &Window) -> Vec<(Measure, f64)> {
    let row = |key, what, unit, value: f64| cost(direction, key, what, unit, value / window.megabytes());
    let counted = &window.0;
    vec![
        row("cpu", "CPU time of the guest", "ms", counted.guests_ns as f64 / 1e6),
        row("dom0_cpu", "CPU time of dom0", "ms", counted.dom0_ns as f64 / 1e6),
        row("events", "notifications of netback", "events", counted.events as f64),
        row("packets", "packets through netback", "packets", counted.packets as f64),
    ]
}
