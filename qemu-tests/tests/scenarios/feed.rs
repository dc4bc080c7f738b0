//! Tasks that are fed over a channel from dom0: without a network card.

use crate::support::{PATIENCE, ends_well, guest};
use anyhow::Result;
use qemu_tests::dom0_program::Program;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::session::{News, Session};
use qemu_tests::{Guest, check, protocol};
use serde::de::DeserializeOwned;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[Scenario { name: "feed: every reading of a table reaches each task", run: table }];

/// Feeds a guest from dom0.
const FEEDER: Program = Program { package: "vchan", name: "feeder", example: true };
/// Its file.
const FILE: &str = "/tmp/readings.csv";

/// A guest with a task, waiting for its feed.
fn start(context: &Context<'_>, task: &str, parameters: &str) -> Result<Guest> {
    let mut guest = context.bed.create(&guest(context, task, parameters)?)?;
    guest.wait_for("feed: waiting for data/feed", PATIENCE)?;
    Ok(guest)
}

/// Makes a table of two columns in dom0: the number of the row, and a quarter of it.
fn make_table(context: &Context<'_>, rows: u32) -> Result<()> {
    let script = format!("for (i = 0; i < {rows}; i++) print i \",\" i \",\" i / 4");
    context.bed.must_within(&format!("awk 'BEGIN {{ print \"time,a,b\"; {script} }}' >{FILE}"), PATIENCE).map(drop)
}

/// Starts a feeder, with a ring of so many KiB.
fn feed(context: &Context<'_>, guest: &Guest, ring_kib: u32) -> Result<Session> {
    let command = Some(format!("exec feeder {} {FILE} {ring_kib} 2>&1", guest.domain()?));
    let environment = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())];
    context.bed.start(protocol::Session { command, directory: "/".into(), environment, terminal: None })
}

/// What a feeder has printed by its end, and its exit status.
fn outcome(feeder: &mut Session) -> Result<(i32, String)> {
    let mut printed = String::new();
    loop {
        match feeder.next(PATIENCE)? {
            News::Printed(_, bytes) => printed += &String::from_utf8_lossy(&bytes),
            News::Ended(status) => return Ok((status, printed)),
            News::Nothing => anyhow::bail!("the feeder does not end: {printed}"),
        }
    }
}

/// Rows of the table.
const ROWS: u32 = 20_000;

/// What a task that is fed with the table reports; what it says before is left to `look`.
fn fed<R: DeserializeOwned>(
    context: &Context<'_>,
    task: &str,
    parameters: &str,
    ring_kib: u32,
    look: impl FnOnce(&mut Guest) -> Result<()>,
) -> Result<R> {
    let mut guest = start(context, task, parameters)?;
    let mut feeder = feed(context, &guest, ring_kib)?;
    look(&mut guest)?;
    let report = ends_well(&mut guest)?;
    let (status, printed) = outcome(&mut feeder)?;
    check!(status == 0 && printed.contains("the guest has closed"), "{status}: {printed}");
    guest.destroy()?;
    Ok(report)
}

/// The same table for three tasks, through a small, a middling and a large ring.
fn table(context: &Context<'_>) -> Result<()> {
    context.bring_program(FEEDER)?;
    make_table(context, ROWS)?;
    summary_of_the_table(&fed(context, "summary", "quantiles=0.5,1", 1, |_| Ok(()))?)?;
    rows_of_the_table(&fed(context, "downsample", "interval_s=1000", 4, |_| Ok(()))?)?;
    let alarm = "alarm: a is above 10000.0: 10001.0 at 10001000000000 ns";
    let said = |guest: &mut Guest| guest.wait_for(alarm, PATIENCE).map(drop);
    let report: threshold::Report = fed(context, "threshold", "high=10000", 256, said)?;
    check!(report.readings == u64::from(2 * ROWS) && report.late == 0, "{report:?}");
    let [alarm] = &report.alarms[..] else { anyhow::bail!("{report:?}") };
    check!(alarm.sensor == "a" && alarm.ended_ns.is_none(), "{report:?}");
    check!(alarm.value == 10_001.0 && alarm.highest == f64::from(ROWS - 1), "{report:?}");
    Ok(())
}

fn summary_of_the_table(report: &summary::Report) -> Result<()> {
    let last = f64::from(ROWS - 1);
    check!(report.readings == u64::from(2 * ROWS) && report.left_out == 0, "{report:?}");
    let [a, b] = &report.sensors[..] else { anyhow::bail!("{report:?}") };
    for (sensor, share) in [(a, 1.0), (b, 0.25)] {
        let statistics = &sensor.statistics;
        check!((statistics.count, statistics.minimum) == (ROWS.into(), 0.0), "{report:?}");
        check!(statistics.maximum == last * share && (statistics.mean - last / 2.0 * share).abs() < 1e-6, "{report:?}");
        let [median, most] = &sensor.quantiles[..] else { anyhow::bail!("{report:?}") };
        let off = (median.value / share - f64::from(ROWS / 2 - 1)).abs();
        check!(off <= median.off_by as f64 && median.off_by < 20, "{report:?}");
        check!((most.value, most.off_by) == (last * share, 0), "{report:?}");
    }
    Ok(())
}

fn rows_of_the_table(report: &downsample::Report) -> Result<()> {
    check!(report.readings == u64::from(2 * ROWS) && report.unreported == 0, "{report:?}");
    let [a, b] = &report.sensors[..] else { anyhow::bail!("{report:?}") };
    for (sensor, share) in [(a, 1.0), (b, 0.25)] {
        check!(sensor.rows.len() == 20, "{report:?}");
        for (row, start) in sensor.rows.iter().zip((0..ROWS).step_by(1000).map(f64::from)) {
            check!(row.start_s as f64 == start && row.count == 1000, "{row:?}");
            check!((row.minimum, row.maximum) == (start * share, (start + 999.0) * share), "{row:?}");
            check!((row.mean - (start + 499.5) * share).abs() < 1e-6, "{row:?}");
        }
    }
    Ok(())
}
