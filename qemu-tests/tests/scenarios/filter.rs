//! The task `filter`: statistics of more data than the guest has memory for, from a server on the host.
//!
//! What it makes of servers that do not keep to HTTP is tested without Xen, in `tasks/filter/tests`.

use crate::support::{PATIENCE, ends_with, guest, left_well, printed, status};
use anyhow::Result;
use filter::Report;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::http::{Body, Framing, HttpServer};
use qemu_tests::replay::Data;
use qemu_tests::{Guest, ShutdownReason, check};
use std::time::Duration;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "filter: 4 and 40 MB of readings take the same memory in a guest of 8 MiB", run: sizes },
    Scenario {
        name: "filter: bodies in chunks and compressed give the expected numbers in a guest of 4 MiB",
        run: forms,
    },
    Scenario { name: "filter: says what is wrong with the server", run: refused },
];

/// For what moves much data through an emulated machine.
const LONG: Duration = Duration::from_secs(600);

/// The most by which the heap's high-water marks of two runs may differ: what happens to be under way at once.
const SLACK_KIB: u64 = 64;

/// A guest that fetches from the host.
fn start(context: &Context<'_>, port: u16, memory_mib: u32) -> Result<Guest> {
    let parameters = format!("ip=10.0.2.52/24 gateway=10.0.2.2 url=http://10.0.2.2:{port}/readings.csv");
    let mut spec = guest(context, "filter", &parameters)?;
    (spec.vif, spec.memory_mib) = (true, memory_mib);
    context.bed.create(&spec)
}

/// Has a guest read the committed slice so many times, checks its figures, and returns the most of its heap that it
/// used.
fn read(context: &Context<'_>, memory_mib: u32, times: u64, framing: Framing) -> Result<u64> {
    let data = Data::committed();
    let body = Body { block: data.lines().into_bytes(), times, framing };
    let bytes = body.bytes();
    let server = HttpServer::start(body)?;
    let mut guest = start(context, server.port(), memory_mib)?;
    let end = guest.wait_shutdown(LONG)?;
    check!(end == ShutdownReason::PowerOff, "it ended with {end}");
    let report: Report = left_well(&guest)?;
    let expected = data.expected(1).repeated(times);
    check!(report.complete && report.bytes == bytes, "of {bytes} bytes: {report:?}");
    let counts = (report.readings, report.malformed, report.over_limit);
    check!(counts == (expected.readings, 0, 0), "of {} readings: {report:?}", expected.readings);
    check!(report.sensors.len() == expected.sensors.len(), "{report:?}");
    for sensor in &report.sensors {
        if let Some(difference) = expected.compare_sensor(&sensor.name, &sensor.into()) {
            return Err(guest.complaint(&difference.to_string()));
        }
    }
    // "memory: 312 KiB of 30500 KiB heap used at most", in the words that `printed` reads.
    let line = guest.wait_for("memory: ", PATIENCE)?;
    printed(&line.replace("memory: ", "used="), "used")
}

/// How many times the slice is in so many million bytes.
fn times(megabytes: u64) -> u64 {
    megabytes * 1_000_000 / Data::committed().lines().len() as u64
}

fn sizes(context: &Context<'_>) -> Result<()> {
    let small = read(context, 8, times(4), Framing::Length)?;
    let large = read(context, 8, times(40), Framing::Length)?;
    check!(large.abs_diff(small) <= SLACK_KIB, "{small} KiB of heap for 4 MB, {large} KiB for 40 MB");
    Ok(())
}

fn forms(context: &Context<'_>) -> Result<()> {
    read(context, 4, times(4), Framing::Chunks)?;
    read(context, 4, times(4), Framing::Gzip)?;
    Ok(())
}

fn refused(context: &Context<'_>) -> Result<()> {
    let gone = HttpServer::start(Body { block: Vec::new(), times: 0, framing: Framing::Length })?.port();
    let mut guest = start(context, gone, 4)?;
    ends_with(&mut guest, ShutdownReason::PowerOff)?;
    let status = status(&guest)?;
    check!(status == "error: connection refused", "data/status is {status:?}");
    Ok(())
}
