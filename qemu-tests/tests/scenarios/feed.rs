//! Tasks that are fed over a channel from dom0: without a network card.

use crate::support::{PATIENCE, ends_well, guest};
use anyhow::Result;
use qemu_tests::dom0_program::Program;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::session::{News, Session};
use qemu_tests::{Guest, check, protocol};
use summary::Report;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[Scenario { name: "feed: every reading of a table reaches the task", run: table }];

/// Feeds a guest from dom0.
const FEEDER: Program = Program { package: "vchan", name: "feeder", example: true };
/// Its file.
const FILE: &str = "/tmp/readings.csv";

/// A guest with the task, waiting for its feed.
fn start(context: &Context<'_>) -> Result<Guest> {
    context.bring_program(FEEDER)?;
    let mut guest = context.bed.create(&guest(context, "summary", "")?)?;
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

fn table(context: &Context<'_>) -> Result<()> {
    const ROWS: u32 = 20_000;
    make_table(context, ROWS)?;
    for ring_kib in [1, 4, 256] {
        let mut guest = start(context)?;
        let mut feeder = feed(context, &guest, ring_kib)?;
        let report: Report = ends_well(&mut guest)?;
        let (status, printed) = outcome(&mut feeder)?;
        check!(status == 0 && printed.contains("the guest has closed"), "{status}: {printed}");
        let last = f64::from(ROWS - 1);
        check!(report.readings == u64::from(2 * ROWS) && report.left_out == 0, "{report:?}");
        let [a, b] = &report.sensors[..] else { anyhow::bail!("{report:?}") };
        let (a, b) = (&a.statistics, &b.statistics);
        check!(a.name == "a" && (a.count, a.minimum, a.maximum) == (ROWS.into(), 0.0, last), "{report:?}");
        check!(b.name == "b" && b.maximum == last / 4.0 && (b.mean - last / 8.0).abs() < 1e-6, "{report:?}");
        guest.destroy()?;
    }
    Ok(())
}
