//! UDP packets a second that arrive, when as many are sent as go.

use anyhow::Result;

use super::super::Bench;
use super::super::contestant::{Side, iperf_address};
use super::super::figures::Measure;
use super::super::iperf::{Direction, Run};

/// Bytes of data in each packet, and what the row's key ends with.
const SIZES: [(u32, &str); 2] = [(64, ""), (1472, "_1472")];

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let _pair = bench.pair()?;
    for size in SIZES {
        for direction in Direction::ALL {
            let what = format!("UDP {} bytes {}", size.0, direction.words());
            bench.in_turn(&what, |bench, side| one(bench, side, direction, size))?;
        }
    }
    Ok(())
}

fn one(
    bench: &Bench<'_>,
    side: Side,
    direction: Direction,
    (write_bytes, suffix): (u32, &str),
) -> Result<Vec<(Measure, f64)>> {
    let run = Run { address: iperf_address(side, 0), direction, udp: true, streams: 1, write_bytes, time: bench.flow };
    let arrived = run.run(bench.bed)?;
    let key = direction.key();
    let name = format!("{}, {write_bytes} bytes", direction.words());
    let packets = Measure::more(&format!("udp_pps_{key}{suffix}"), "UDP received", name.clone(), "packets/s");
    let lost = Measure::less(&format!("udp_lost_{key}{suffix}"), "UDP lost", name, "%");
    let rate = arrived.bytes / f64::from(write_bytes) / arrived.seconds;
    Ok(vec![(packets, rate), (lost, arrived.lost.unwrap_or(0.0) * 100.0)])
}
