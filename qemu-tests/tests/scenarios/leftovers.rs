//! What guests leave behind in dom0 and in Xen when they are gone: nothing.

use crate::echo;
use crate::load::Stream;
use crate::support::{guest, wait_until};
use crate::xen_view::{free_kib, grants_in_use, ports_to};
use anyhow::{Context as _, Result};
use qemu_tests::check;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::CONSOLE_DIRECTORY;
use std::time::Duration;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "leftovers: a guest destroyed while it works leaves no grant, port or node", run: destroyed },
    Scenario { name: "leftovers: guests that come and go leave memory as it was", run: come_and_go },
];

/// Everything that dom0 and Xen have because of a domain, in words.
fn traces(context: &Context<'_>, domain: u32) -> Result<Vec<String>> {
    let nodes =
        format!("xenstore-ls -f / | grep -cE '^/(local/domain|libxl|local/domain/0/backend/[a-z]+)/{domain}( |/)'");
    let interfaces = format!("ls -d /sys/class/net/vif{domain}.* 2>/dev/null | wc -l");
    let alive = format!("xl list | awk '$2 == {domain}' | wc -l");
    let mut traces = Vec::new();
    for (what, script) in [("xenstore nodes", nodes), ("interfaces", interfaces), ("domains", alive)] {
        // grep has a status of its own when it counts none.
        let output = context.bed.shell(&script)?;
        let count: usize = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        traces.push((what, count));
    }
    traces.push(("event channels", ports_to(context, domain)?));
    traces.push(("grants in use", grants_in_use(context, domain)?));
    Ok(traces.into_iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect())
}

fn destroyed(context: &Context<'_>) -> Result<()> {
    let guest = echo::start(context)?;
    let domain = guest.domain()?;
    let stream = Stream::start(context, &guest)?;
    let before = traces(context, domain)?;
    check!(before.len() == 5, "a guest at work has only {before:?}");
    guest.destroy()?;
    wait_until("all traces of the guest are gone", || {
        let left = traces(context, domain)?;
        Ok(left.is_empty().then_some(()))
    })?;
    drop(stream);
    Ok(())
}

/// Guests that come and go in each batch.
const BATCH: i64 = 10;
/// For one batch.
const BATCH_PATIENCE: Duration = Duration::from_secs(300);

/// One guest after the other: `xl` waits for each one's end and destroys it.
fn batch(context: &Context<'_>) -> Result<()> {
    let create = format!("for i in $(seq {BATCH}); do xl create -q -F {CONFIGURATION} || exit 1; done");
    let output = context.bed.shell_within(&create, BATCH_PATIENCE)?;
    check!(output.status == 0, "{}", String::from_utf8_lossy(&output.stderr));
    // Files are in dom0's memory too.
    let log = format!("{CONSOLE_DIRECTORY}/guest-passer-by.log");
    let greetings = context.bed.must(&format!("grep -c 'Hello from a guest' {log} && rm {log}"))?;
    check!(greetings.trim() == BATCH.to_string(), "{} of {BATCH} guests did their work", greetings.trim());
    Ok(())
}

const CONFIGURATION: &str = "/var/lib/spore/passer-by.cfg";

/// Free memory in KiB: Xen's, and dom0's without what it can get back at any time.
fn free(context: &Context<'_>) -> Result<[i64; 2]> {
    let dom0 = context.bed.must("echo 3 >/proc/sys/vm/drop_caches; awk '/MemFree/ { print $2 }' /proc/meminfo")?;
    Ok([i64::try_from(free_kib(context)?)?, dom0.trim().parse().context("dom0's free memory")?])
}

/// What is lost with every guest goes on being lost: so the first batch may fill caches, and from then on each guest
/// must cost less than a page, of which everything that Xen and Linux keep for a guest is made.
fn come_and_go(context: &Context<'_>) -> Result<()> {
    const PAGE_KIB: i64 = 4;
    // GUESTS=100 in the environment for more of them.
    let batches = std::env::var("GUESTS").ok().and_then(|guests| guests.parse().ok()).unwrap_or(40_i64) / BATCH;
    let mut spec = guest(context, "hello", "")?;
    spec.name = "passer-by".to_owned();
    context.bed.put("/var/lib/spore/passer-by.img", &spec.image)?;
    let configuration = spec.xl_configuration()?.replace("on_poweroff = \"preserve\"", "on_poweroff = \"destroy\"");
    context.bed.put(CONFIGURATION, configuration.as_bytes())?;
    batch(context)?;
    let before = free(context)?;
    for _ in 0..batches {
        batch(context)?;
    }
    let after = free(context)?;
    for ((owner, before_kib), after_kib) in ["Xen", "dom0"].into_iter().zip(before).zip(after) {
        let lost_kib = before_kib - after_kib;
        let guests = BATCH * batches;
        check!(lost_kib < guests * PAGE_KIB, "{owner} has lost {lost_kib} KiB with {guests} guests");
    }
    Ok(())
}
