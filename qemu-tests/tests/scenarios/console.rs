//! What the platform gives beside memory and network: console input, the wall clock, randomness.

use crate::echo;
use crate::support::{PATIENCE, ends_well, guest};
use anyhow::{Context as _, Result, ensure};
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::{Arch, Dom0, Guest, check};
use std::collections::HashSet;
use trouble::Report;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "console: a guest reads what is typed", run: input },
    Scenario { name: "console: a guest whose console nobody reads goes on, and counts what is lost", run: unread },
    Scenario { name: "clock: the guest's wall clock is dom0's", run: wall_clock },
    Scenario { name: "random: no two boots have the same random numbers", run: randomness },
];

/// Types a line on the guest's console, as `xl console` does.
pub fn type_line(context: &Context<'_>, guest: &Guest, line: &str) -> Result<()> {
    let terminal = guest.xenstore_read("console/tty")?.context("the console has no terminal")?;
    let terminal = String::from_utf8(terminal)?;
    context.bed.must(&format!("printf '%s\\n' '{line}' > {terminal}")).map(drop)
}

fn input(context: &Context<'_>) -> Result<()> {
    let mut guest = context.bed.create(&guest(context, "trouble", "fault=None lines=3")?)?;
    // More than the input ring holds at once.
    let long = "0123456789abcdef".repeat(100);
    for (number, line) in [(1, "first"), (2, ""), (3, long.as_str())] {
        guest.wait_for(&format!("trouble: waiting for line {number}"), PATIENCE)?;
        type_line(context, &guest, line)?;
        guest.wait_for(&format!("trouble: line {number} is \"{line}\""), PATIENCE)?;
    }
    ends_well::<Report>(&mut guest).map(drop)
}

/// xenconsoled is stopped, until this is dropped.
struct Stopped<'a>(&'a Dom0);

impl<'a> Stopped<'a> {
    fn new(dom0: &'a Dom0) -> Result<Self> {
        dom0.must("kill -STOP $(pidof xenconsoled)")?;
        Ok(Self(dom0))
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // Without it the bed shows nothing of guests to come, which says enough.
        let _ = self.0.must("kill -CONT $(pidof xenconsoled)");
    }
}

fn unread(context: &Context<'_>) -> Result<()> {
    const LOST: &str = "console_lost_bytes";
    const MOST_LINES: usize = 1000;
    let mut guest = echo::start(context)?;
    check!(guest.counters(PATIENCE)?[LOST] == 0, "something is lost while the console is read");
    let stopped = Stopped::new(context.bed)?;
    // Each answer is a line on the console as well.
    let mut lines = 0;
    while guest.counters(PATIENCE)?[LOST] == 0 {
        lines += 1;
        check!(lines < MOST_LINES, "nothing is lost after {lines} lines that nobody reads");
    }
    let answered = context.bed.ping(&echo::ping(100))?.received;
    check!(answered == 100, "{answered} of 100 pings were answered while nobody read the console");
    drop(stopped);
    // The text goes on where there was no room, and says so.
    guest.wait_for("bytes were lost here", PATIENCE)?;
    guest.shutdown()?;
    ends_well::<::echo::Report>(&mut guest).map(drop)
}

fn boot(context: &Context<'_>) -> Result<Report> {
    let mut guest = context.bed.create(&guest(context, "trouble", "fault=None")?)?;
    ends_well(&mut guest)
}

/// By how much Xen's system time is ahead of the clock of dom0's kernel, which began to count when the kernel did.
///
/// Linux takes the two for one on ARM when it tells Xen the time of day (`xen_pvclock_gtod_notify` in
/// `arch/arm/xen/enlighten.c`), so that what Xen tells guests is ahead by as much. On x86 it reads Xen's own clock.
fn ahead_s(context: &Context<'_>) -> Result<u64> {
    if context.arch == Arch::X86_64 {
        return Ok(0);
    }
    let said = context.bed.must("xl debug-keys r; xl dmesg | grep -o 'NOW=[0-9]*' | tail -n 1; cat /proc/uptime")?;
    let number = |text: &str| text.split(['.', ' ']).next().and_then(|whole| whole.parse::<u64>().ok());
    let xen_ns =
        said.lines().find_map(|line| number(line.strip_prefix("NOW=")?)).context("Xen does not say its time")?;
    let dom0_s = said.lines().last().and_then(number).context("dom0 does not say its time")?;
    Ok((xen_ns / 1_000_000_000).saturating_sub(dom0_s))
}

fn wall_clock(context: &Context<'_>) -> Result<()> {
    let ahead_s = ahead_s(context)?;
    let dom0 = || -> Result<u64> { Ok(context.bed.must("date +%s")?.trim().parse()?) };
    let before = dom0()?;
    let guest_s = boot(context)?.unix_time_ms / 1000;
    let after = dom0()?;
    ensure!(before <= after, "dom0's clock goes backwards");
    // Both tell whole seconds. More would hide a guest that counts the board's uptime twice.
    const ROUNDED_S: u64 = 5;
    let expected = before + ahead_s - ROUNDED_S..=after + ahead_s + ROUNDED_S;
    check!(expected.contains(&guest_s), "dom0 has {before} to {after}, Xen {ahead_s} s more, the guest {guest_s}");
    Ok(())
}

fn randomness(context: &Context<'_>) -> Result<()> {
    let mut seen = HashSet::new();
    for _ in 0..3 {
        for word in boot(context)?.random {
            check!(seen.insert(word), "{word:#x} came twice");
        }
    }
    Ok(())
}
