//! How much data a guest takes in, against its memory: the task `filter` reads bodies of several lengths in guests of one size. And how fast,
//! beside a Linux guest that fetches such a body and forgets it.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use console::{Line, LogStream};
use qemu_tests::Clock;
use qemu_tests::http::{Body, Framing, HttpServer};
use qemu_tests::linux_guest::FETCHED;
use qemu_tests::replay::Data;

use super::super::Bench;
use super::super::contestant::{Side, iperf_address};
use super::super::figures::Measure;
use crate::arch::Arch;
use crate::guest::{self, Shown};
use crate::terminal;

/// The memory of each guest.
const MEMORY_MIB: u32 = 8;
/// Lengths of the bodies, about, in units of a million bytes.
const MEGABYTES: [u64; 4] = [1, 10, 100, 1000];
/// Length of the body that is fetched for its rate.
const RATE_MEGABYTES: u64 = 100;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The address of this machine for guests.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// Memory in MB and the largest input in kb that the prototype in MirageOS could process.
///
/// Source: Cozzolino, Ding, Ott, "FADES: Fine-Grained Edge Offloading with Unikernels", HotConNet 2017.
const fn fades(arch: Arch) -> [(u32, u32); 5] {
    match arch {
        Arch::X86_64 => [(32, 656), (64, 2294), (128, 5059), (256, 11_336), (512, 15_449)],
        Arch::Armv7 => [(32, 1352), (64, 3827), (128, 8670), (256, 15_394), (512, 15_475)],
    }
}

/// What one guest took in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Input {
    memory_mib: u32,
    bytes: u64,
    /// The most of its heap that it used.
    heap_kib: u64,
    elapsed_ms: u64,
}

impl Input {
    fn mbit_per_second(self) -> f64 {
        mbit_per_second(self.bytes, self.elapsed_ms.max(1) as f64 / 1000.0)
    }
}

/// What all of them took in, and how fast dom0 gets the same without looking at it.
#[derive(Debug, Default, serde::Serialize)]
pub struct Inputs {
    guests: Vec<Input>,
    wire_mbit_per_second: Option<f64>,
}

impl Inputs {
    /// Nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }
}

/// The rate in rounds; the memory not, because the heap's use does not depend on chance, and the longest body takes minutes.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let wire = wire(bench).context("a body for dom0")?;
    terminal::say(format_args!("input: wget in dom0: {wire:.0} Mbit/s"));
    bench.inputs.wire_mbit_per_second = Some(wire);
    // By a clock that passes with the guests' instructions the server, which is outside, would need no time.
    if bench.clock == Clock::Host {
        bench.in_turn("HTTP body", rate)?;
    }
    for megabytes in MEGABYTES {
        bench.go_on()?;
        let input = one(bench, megabytes).with_context(|| format!("a body of {megabytes} MB"))?;
        terminal::say(format_args!("input: {}", row(&input).trim_start()));
        bench.inputs.guests.push(input);
    }
    Ok(())
}

/// How fast a body comes to a guest: to `filter`, which computes with all of it, or to Linux's wget.
fn rate(bench: &Bench<'_>, side: Side) -> Result<Vec<(Measure, f64)>> {
    let rate = match side {
        Side::Spore => one(bench, RATE_MEGABYTES)?.mbit_per_second(),
        Side::Linux => linux(bench)?,
    };
    let name = "to filter, which computes (Linux: to wget, which forgets)";
    Ok(vec![(Measure::more("http_body", "HTTP body of 100 MB", name, "Mbit/s"), rate)])
}

/// The rate at which a Linux guest fetches a body and forgets it.
fn linux(bench: &Bench<'_>) -> Result<f64> {
    let body = body(RATE_MEGABYTES);
    let bytes = body.bytes();
    let server = HttpServer::start(body)?;
    let spec = bench.linux.fetching("bench-linux-fetch", iperf_address(Side::Linux, 0), &url(&server));
    let mut guest = bench.bed.create(&spec)?;
    let line = guest.wait_for(FETCHED, PATIENCE)?;
    let seconds = fetched(&line).with_context(|| guest.complaint("wget failed"))?;
    guest.destroy()?;
    Ok(mbit_per_second(bytes, seconds))
}

/// How many seconds a Linux guest says that it needed; nothing if wget failed.
fn fetched(line: &str) -> Option<f64> {
    let (_, figures) = line.trim_end().split_once(FETCHED)?;
    let (begin, end) = figures.strip_prefix("0 ")?.split_once(' ')?;
    Some(end.parse::<f64>().ok()? - begin.parse::<f64>().ok()?)
}

/// A body of about so many million bytes, made of the committed readings.
fn body(megabytes: u64) -> Body {
    let block = Data::committed().lines().into_bytes();
    let times = megabytes * 1_000_000 / block.len() as u64;
    Body { block, times, framing: Framing::Length }
}

/// Where guests and dom0 find the body.
fn url(server: &HttpServer) -> String {
    format!("http://{SERVER}:{}/", server.port())
}

fn mbit_per_second(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 * 8.0 / 1e6 / seconds
}

/// The rate at which dom0 fetches a body and forgets it: what lies between the guests and the server, without the guests.
fn wire(bench: &Bench<'_>) -> Result<f64> {
    let body = body(RATE_MEGABYTES);
    let bytes = body.bytes();
    let server = HttpServer::start(body)?;
    let since = Instant::now();
    let script = format!("wget -q -O /dev/null {}", url(&server));
    let output = bench.bed.shell_within(&script, PATIENCE)?;
    ensure!(output.status == 0, "{script}: exit status {}", output.status);
    Ok(mbit_per_second(bytes, since.elapsed().as_secs_f64()))
}

fn one(bench: &Bench<'_>, megabytes: u64) -> Result<Input> {
    let body = body(megabytes);
    let (bytes, readings) = (body.bytes(), Data::committed().expected(1).repeated(body.times).readings);
    let server = HttpServer::start(body)?;
    let (task, image) = &bench.filter;
    let mut spec = guest::spec(task, image, Some(MEMORY_MIB))?;
    spec.extra = format!("ip=10.0.2.120/24 gateway={SERVER} url={}", url(&server));
    let mut lines = Vec::new();
    guest::run(bench.bed, &spec, LogStream::without_strings(), None, bench.interrupt, |shown| {
        if let Shown::Line(Line::Text(line)) = shown {
            lines.push(line.clone());
        }
    })?;
    let said = said(&lines).with_context(|| format!("the guest said only {lines:?}"))?;
    ensure!((said.bytes, said.readings) == (bytes, readings), "of {readings} readings in {bytes} bytes: {said:?}");
    Ok(Input { memory_mib: MEMORY_MIB, bytes, heap_kib: said.heap_kib, elapsed_ms: said.elapsed_ms })
}

/// What the guest's last lines say.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    bytes: u64,
    readings: u64,
    elapsed_ms: u64,
    heap_kib: u64,
}

/// Reads the report, and what the platform prints at its end (xen-pv/src/platform.rs).
fn said(lines: &[String]) -> Option<Said> {
    let result = lines.iter().find_map(|line| line.strip_prefix("result: "))?;
    let number = |name: &str| {
        result.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let heap = lines.iter().find_map(|line| line.strip_prefix("memory: ")?.split_once(" KiB of "));
    Some(Said {
        bytes: number("bytes")?,
        readings: number("readings")?,
        elapsed_ms: number("elapsed_ms")?,
        heap_kib: heap?.0.parse().ok()?,
    })
}

fn row(input: &Input) -> String {
    let Input { memory_mib, bytes, heap_kib, .. } = *input;
    let rate = input.mbit_per_second();
    format!("{memory_mib:>6} MiB {:>14} bytes {heap_kib:>6} KiB of heap   {rate:.0} Mbit/s", terminal::bytes(bytes))
}

/// One line for each length, and what others could do.
pub fn table(inputs: &Inputs, arch: Arch) -> String {
    let mut table =
        String::from("   memory                input           used at most   (filter: statistics of an HTTP body)\n");
    for input in &inputs.guests {
        table += &row(input);
        table.push('\n');
    }
    if let Some(wire) = inputs.wire_mbit_per_second {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "dom0's wget, which forgets what comes: {wire:.0} Mbit/s");
    }
    table += "the largest input of MirageOS in FADES (HotConNet 2017):";
    for (memory_mb, kb) in fades(arch) {
        // Writing to a string cannot fail.
        let _ = write!(table, " {} kb in {memory_mb} MB,", terminal::bytes(kb.into()));
    }
    table.pop();
    table.push('\n');
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_s_last_lines_are_read() {
        let lines = [
            "result: complete=true bytes=4096 readings=100 over_limit=0 malformed=0 elapsed_ms=20 sensors=[...]",
            "memory: 312 KiB of 7500 KiB heap used at most",
        ]
        .map(str::to_owned);
        assert_eq!(said(&lines), Some(Said { bytes: 4096, readings: 100, elapsed_ms: 20, heap_kib: 312 }));
        assert_eq!(said(&lines[..1]), None);
        assert_eq!(said(&lines[1..]), None);
    }

    #[test]
    fn a_linux_guest_says_how_long_it_fetched() {
        assert_eq!(fetched("linux: fetched 0 2.25 5.75\r\n"), Some(3.5));
        assert_eq!(fetched("linux: fetched 1 2.25 2.50"), None);
    }

    #[test]
    fn the_table_has_a_line_for_each_input_and_one_for_others() {
        let guests = vec![Input { memory_mib: 8, bytes: 1_000_000, heap_kib: 312, elapsed_ms: 100 }];
        let inputs = Inputs { guests, wire_mbit_per_second: Some(160.0) };
        let table = table(&inputs, Arch::X86_64);
        assert!(table.contains("     8 MiB      1,000,000 bytes    312 KiB of heap   80 Mbit/s\n"), "{table}");
        assert!(table.contains(" forgets what comes: 160 Mbit/s\n"), "{table}");
        assert!(table.ends_with(" 11,336 kb in 256 MB, 15,449 kb in 512 MB\n"), "{table}");
    }
}
