//! A guest's life as the toolstack directs it, and what it costs while nothing happens.

use crate::echo::{SERVER, ping, start, stop};
use crate::support::{PATIENCE, ends_well, ends_with, guest, left_well, status};
use anyhow::{Context as _, Result};
use echo::Report;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{Ping, TcpConnections, TcpStream};
use qemu_tests::{ShutdownReason, check};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "lifecycle: xl shutdown ends the task in order", run: shutdown },
    Scenario { name: "lifecycle: xl reboot ends the task in order, to be started again", run: reboot },
    Scenario { name: "lifecycle: a guest that is rebooted serves again", run: restart },
    Scenario { name: "lifecycle: a task that fails says why and ends in order", run: failure },
    Scenario { name: "lifecycle: a report of 10 KB arrives whole", run: large_report },
    Scenario { name: "lifecycle: a task that does not listen is ended", run: deaf },
    Scenario { name: "lifecycle: a paused guest goes on where it was", run: pause },
    Scenario { name: "lifecycle: an idle guest uses no CPU", run: idle },
];

fn one_connection(context: &Context<'_>) -> Result<()> {
    let wanted = TcpConnections { address: SERVER, count: 1, parallel: 1, size_bytes: 1000, patience_ms: 60_000 };
    let result = context.bed.tcp_connections(&wanted, PATIENCE)?;
    check!(result.succeeded == 1, "{result:?}");
    Ok(())
}

/// More than xenstored takes as one node of a guest.
fn large_report(context: &Context<'_>) -> Result<()> {
    const FILLER_BYTES: usize = 10_000;
    let parameters = format!("fault=None filler_bytes={FILLER_BYTES}");
    let mut guest = context.bed.create(&guest(context, "trouble", &parameters)?)?;
    let report: trouble::Report = ends_well(&mut guest)?;
    check!(report.filler.len() == FILLER_BYTES, "{} bytes of the filler came", report.filler.len());
    let right = report.filler.iter().enumerate().all(|(number, byte)| *byte == number as u8);
    check!(right, "the filler has changed on its way");
    Ok(())
}

fn shutdown(context: &Context<'_>) -> Result<()> {
    let guest = start(context)?;
    one_connection(context)?;
    stop(guest, &Report { connections: 1, bytes: 1000, datagrams: 0 })
}

fn reboot(context: &Context<'_>) -> Result<()> {
    let mut guest = start(context)?;
    one_connection(context)?;
    guest.reboot()?;
    guest.wait_for("asked to reboot", PATIENCE)?;
    ends_with(&mut guest, ShutdownReason::Reboot)?;
    let report: Report = left_well(&guest)?;
    check!(report == Report { connections: 1, bytes: 1000, datagrams: 0 }, "{report:?}");
    Ok(())
}

fn restart(context: &Context<'_>) -> Result<()> {
    let mut spec = guest(context, "echo", "ip=10.0.2.50/24")?;
    (spec.vif, spec.on_reboot) = (true, "restart".into());
    let mut guest = context.bed.create(&spec)?;
    for _ in 0..2 {
        guest.wait_for("echo: listening on ", PATIENCE)?;
        one_connection(context)?;
        guest.reboot()?;
        ends_with(&mut guest, ShutdownReason::Reboot)?;
    }
    guest.wait_for("echo: listening on ", PATIENCE)?;
    one_connection(context)
}

fn failure(context: &Context<'_>) -> Result<()> {
    let mut guest = context.bed.create(&guest(context, "trouble", "fault=Error")?)?;
    guest.wait_for("error: the task was told to fail", PATIENCE)?;
    ends_with(&mut guest, ShutdownReason::PowerOff)?;
    let status = status(&guest)?;
    check!(status == "error: the task was told to fail", "data/status is {status:?}");
    Ok(())
}

fn deaf(context: &Context<'_>) -> Result<()> {
    let mut guest = context.bed.create(&guest(context, "trouble", "fault=Deaf")?)?;
    guest.wait_for("trouble: Deaf", PATIENCE)?;
    guest.shutdown()?;
    guest.wait_for("asked to power off", PATIENCE)?;
    guest.wait_for("error: the task did not end within 10 s", PATIENCE)?;
    ends_with(&mut guest, ShutdownReason::PowerOff)
}

fn pause(context: &Context<'_>) -> Result<()> {
    let guest = start(context)?;
    guest.pause()?;
    let result = context.bed.ping(&Ping { patience_ms: 500, ..ping(3) })?;
    check!(result.received == 0, "a paused guest answers: {result:?}");
    guest.unpause()?;
    let result = context.bed.ping(&ping(20))?;
    check!(result.received == 20, "{result:?}");
    one_connection(context)?;
    stop(guest, &Report { connections: 1, bytes: 1000, datagrams: 0 })
}

/// CPU time of a domain since it was made, in milliseconds, as Xen counts it.
pub fn cpu_ms(context: &Context<'_>, guest: &str) -> Result<u64> {
    let list = context.bed.must(&format!("xl list '{guest}'"))?;
    let seconds = list.lines().last().and_then(|line| line.split_ascii_whitespace().last());
    let seconds: f64 =
        seconds.and_then(|seconds| seconds.parse().ok()).with_context(|| format!("no time in {list}"))?;
    Ok((seconds * 1000.0) as u64)
}

/// Another guest says when some seconds are over: it waits on a timer, and both must be asleep meanwhile.
fn idle(context: &Context<'_>) -> Result<()> {
    const MOST_PERCENT: u64 = 10;
    const BUSY_BYTES: u64 = 10_000_000;
    let server = start(context)?;
    let busy = TcpStream { address: SERVER, size_bytes: Some(BUSY_BYTES), seed: 1, patience_ms: 60_000 };
    let result = context.bed.tcp_stream(&busy, PATIENCE)?;
    check!(result.received_bytes == BUSY_BYTES, "{result:?}");
    let before = cpu_ms(context, "echo")?;
    check!(before > 0, "a busy guest seems to use no CPU");
    let mut waiting = context.bed.create(&guest(context, "trouble", "fault=None wait_s=20")?)?;
    let report: trouble::Report = ends_well(&mut waiting)?;
    check!(report.ran_ms >= 20_000, "a timer of 20 s took {} ms", report.ran_ms);
    for (name, used_ms) in [("echo", cpu_ms(context, "echo")? - before), ("trouble", cpu_ms(context, "trouble")?)] {
        check!(used_ms * 100 <= report.ran_ms * MOST_PERCENT, "{name} used {used_ms} of {} ms", report.ran_ms);
    }
    stop(server, &Report { connections: 1, bytes: BUSY_BYTES, datagrams: 0 })
}
