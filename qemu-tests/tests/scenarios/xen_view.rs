//! What Xen itself has to say, through its debug keys.

use anyhow::{Context as _, Result};
use qemu_tests::harness::Context;

/// What Xen prints when a debug key is pressed.
fn dump(context: &Context<'_>, key: char) -> Result<String> {
    context.bed.must(&format!("xl dmesg -c >/dev/null; xl debug-keys {key}; xl dmesg"))
}

/// dom0's event channels that lead to a domain, or did: a port whose other end is gone still names its domain.
pub fn ports_to(context: &Context<'_>, domain: u32) -> Result<usize> {
    let dump = dump(context, 'e')?;
    let dom0 = dump.split("Event channel information for domain ").find(|part| part.starts_with("0:"));
    let dom0 = dom0.with_context(|| format!("no word of dom0 in {dump}"))?;
    let other = format!("d={domain}");
    Ok(dom0.lines().filter(|line| line.split_ascii_whitespace().any(|word| word == other)).count())
}

/// The grants of a domain that another one uses at this moment.
pub fn grants_in_use(context: &Context<'_>, domain: u32) -> Result<usize> {
    let dump = dump(context, 'g')?;
    let name = format!("d{domain} ");
    let tables = dump.split("grant-table for remote ");
    let table = tables.skip(1).find(|table| table.starts_with(&name)).unwrap_or_default();
    Ok(table.lines().filter(|line| line.contains("[0x")).count())
}

/// Memory that belongs to nobody, in KiB: the sum of Xen's heaps, "Xen heap: 31448kB free" and "Dom heap: ..." among
/// others.
pub fn free_kib(context: &Context<'_>) -> Result<u64> {
    let dump = dump(context, 'm')?;
    // Parts of a heap are listed as "heap[19]: ..." before it.
    let heaps = dump.lines().filter_map(|line| line.split_once(" heap: ")?.1.split_once("kB"));
    let free = heaps.filter_map(|(number, _)| number.parse::<u64>().ok()).sum();
    Some(free).filter(|free| *free > 0).with_context(|| format!("no heap in {dump}"))
}
