//! The subject `channels`: pages that are granted, mapped and let go, on the real hypervisor.

use crate::support::{ends_well, guest};
use anyhow::Result;
use channels::Report;
use qemu_tests::check;
use qemu_tests::harness::{Context, Scenario};

/// All of this module's.
pub const SCENARIOS: &[Scenario] =
    &[Scenario { name: "channels: every byte comes through rings of every size, and no page stays mapped", run: all }];

fn all(context: &Context<'_>) -> Result<()> {
    let report: Report = ends_well(&mut context.bed.create(&guest(context, "channels", "")?)?)?;
    let Report { channels, bytes, kept, refused } = report;
    check!(channels == 11 && bytes > 20_000_000, "{report:?}");
    check!(kept == 0 && refused == 2, "{report:?}");
    Ok(())
}
