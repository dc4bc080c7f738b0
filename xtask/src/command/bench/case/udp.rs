//! UDP packets a second that arrive, when as many are sent as go.

use anyhow::Result;

use super::super::Bench;
use super::super::contestant::{Pair, Side, iperf_address};
use super::super::figures::Measure;
use super::super::iperf::{Direction, Run};
use super::super::window;

/// Bytes of data in each packet, and what the row's key ends with.
const SIZES: [(u32, &str); 2] = [(64, ""), (1472, "_1472")];

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let pair = bench.pair()?;
    for size in SIZES {
        for direction in Direction::ALL {
            let what = format!("UDP {} bytes {}", size.0, direction.words());
            bench.in_turn(&what, |bench, side| one(bench, &pair, side, direction, size))?;
        }
    }
    Ok(())
}

fn one(
    bench: &Bench<'_>,
    pair: &Pair,
    side: Side,
    direction: Direction,
    (write_bytes, suffix): (u32, &str),
) -> Result<Vec<(Measure, f64)>> {
    let run = Run { address: iperf_address(side, 0), direction, udp: true, streams: 1, write_bytes, time: bench.flow };
    let domains = vec![Bench::domain(pair.iperf(side))?];
    let (arrived, window) = window::during(bench.bed, domains, direction, bench.flow, || run.run(bench.bed))?;
    let key = |what: &str| format!("udp_{what}_{}{suffix}", direction.key());
    let name = || format!("{}, {write_bytes} bytes", direction.words());
    let rate = arrived.bytes / f64::from(write_bytes) / arrived.seconds;
    let packets = window.0.packets as f64;
    let (events, cpu_us) = (window.0.events as f64 / packets * 16.0, window.0.guests_ns as f64 / packets / 1000.0);
    Ok(vec![
        (Measure::more(&key("pps"), "UDP received", name(), "packets/s"), rate),
        (Measure::less(&key("lost"), "UDP lost", name(), "%"), arrived.lost.unwrap_or(0.0) * 100.0),
        (Measure::less(&key("events"), "notifications of netback for 16 UDP packets", name(), "events"), events),
        (Measure::less(&key("cpu"), "CPU time of the guest for a UDP packet", name(), "us"), cpu_us),
    ])
}
