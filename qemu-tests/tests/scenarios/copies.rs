//! The task `copies`: the routines that copy and fill memory.

use crate::support::{ends_well, guest};
use anyhow::Result;
use copies::Report;
use qemu_tests::check;
use qemu_tests::harness::{Context, Scenario};

/// All of this module's.
pub const SCENARIOS: &[Scenario] =
    &[Scenario { name: "copies: memory is copied, moved and filled right, to the byte", run: all }];

fn all(context: &Context<'_>) -> Result<()> {
    let report: Report = ends_well(&mut context.bed.create(&guest(context, "copies", "")?)?)?;
    let Report { copies, moves, fills } = report;
    check!(copies > 30_000 && moves > 30_000 && fills > 2000, "{report:?}");
    Ok(())
}
