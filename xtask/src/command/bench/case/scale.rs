//! Several guests of one side at the same time: all of them move data to themselves at once, then each is pinged.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use qemu_tests::Guest;
use qemu_tests::protocol::Ping;

use super::super::Bench;
use super::super::contestant::{self, Side, iperf_address, iperf_spec};
use super::super::figures::Measure;
use super::super::iperf::{Arrived, Direction, Run};
use super::super::window;
use crate::terminal;

/// How many guests.
const COUNTS: [usize; 5] = [1, 2, 4, 8, 16];
/// Memory of each Linux guest: as many as possible must fit into the machine.
const LINUX_MEMORY_MIB: u32 = 96;
const PINGS: u16 = 50;

/// One side after the other, and not in turns: there is no memory for the guests of both, and starting them takes most of the time.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    for side in [Side::Spore, Side::Linux] {
        let mut guests: Vec<Guest> = Vec::new();
        for count in COUNTS {
            while guests.len() < count {
                bench.go_on()?;
                match start(bench, side, guests.len() as u8) {
                    Ok(guest) => guests.push(guest),
                    Err(error) => {
                        terminal::say(format_args!("{side}: no more than {} guests: {error:#}", guests.len()));
                        break;
                    }
                }
            }
            if guests.len() < count {
                break;
            }
            for round in 1..=bench.rounds {
                let what = format!("{round}/{} {}", bench.rounds, words(count));
                bench.take(side, &what, |bench| one(bench, side, &guests))?;
            }
        }
    }
    Ok(())
}

fn start(bench: &Bench<'_>, side: Side, number: u8) -> Result<Guest> {
    let mut spec = iperf_spec(bench, side, number)?;
    if side == Side::Linux {
        spec.memory_mib = LINUX_MEMORY_MIB;
    }
    contestant::start(bench.bed, side, &spec)
}

fn one(bench: &Bench<'_>, side: Side, guests: &[Guest]) -> Result<Vec<(Measure, f64)>> {
    let domains = guests.iter().map(Bench::domain).collect::<Result<Vec<_>>>()?;
    let count = guests.len() as u8;
    let run = || at_once(bench, side, count);
    let (all, window) = window::during(bench.bed, domains, Direction::Rx, bench.flow, run)?;
    let throughput = all.iter().map(Arrived::mbit_per_second).sum();
    let mut pings = Vec::new();
    for number in 0..count {
        let address = iperf_address(side, number);
        let wanted = Ping { address, count: PINGS, interval_us: 20_000, size_bytes: 56, patience_ms: 20_000 };
        let result = bench.bed.ping(&wanted)?;
        ensure!(result.received == u32::from(PINGS), "{address}: {result:?}");
        pings.push(f64::from(result.round_trip_us[2]) / 1000.0);
    }
    let ping = pings.iter().sum::<f64>() / f64::from(count);
    let name = words(guests.len());
    let key = |what: &str| format!("scale_{what}_{count}");
    Ok(vec![
        (Measure::more(&key("tcp_rx"), "several guests, TCP to all", name.clone(), "Mbit/s"), throughput),
        (
            Measure::less(&key("dom0_cpu_per_mb"), "several guests, CPU time of dom0", name.clone(), "ms per MB"),
            window.0.dom0_ns as f64 / 1e6 / window.megabytes(),
        ),
        (Measure::less(&key("ping"), "several guests, ping", name, "ms"), ping),
    ])
}

fn words(count: usize) -> String {
    if count == 1 { "1 guest".to_owned() } else { format!("{count} guests") }
}

/// A client of iperf3 for each guest, all at the same time.
fn at_once(bench: &Bench<'_>, side: Side, count: u8) -> Result<Vec<Arrived>> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..count)
            .map(|number| {
                let run = Run::stream(iperf_address(side, number), Direction::Rx, bench.flow);
                scope.spawn(move || run.run(bench.bed))
            })
            .collect();
        let outcomes = clients.into_iter().map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?);
        outcomes.collect::<Result<Vec<_>>>().context("one of several clients")
    })
}
