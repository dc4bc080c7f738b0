//! A guest that is saved and restored, as in a migration: all memory comes back, all connections to other domains are
//! new.

use crate::echo::{ADDRESS, SERVER, start, stop};
use crate::reconnect::answers;
use crate::support::{PATIENCE, ends_well, ends_with, guest, wait_until};
use anyhow::{Context as _, Result};
use echo::Report;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{TcpConnections, TcpStream};
use qemu_tests::verdict::Skip;
use qemu_tests::{Arch, Guest, ShutdownReason, check};
use std::thread;
use std::time::Duration;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "suspend: a TCP stream goes on after xl save and xl restore", run: stream },
    Scenario { name: "suspend: a guest can be saved again and again", run: again_and_again },
    Scenario { name: "suspend: a guest that goes on after a failed save serves as before", run: cancelled },
    Scenario { name: "suspend: a guest without a network card goes on where it was", run: console },
    Scenario { name: "suspend: a guest that cannot be saved goes on", run: refused },
];

/// Skips a scenario where xl has no `save`.
fn only_where_guests_are_saved(context: &Context<'_>) -> Result<()> {
    match context.arch.guests() {
        Arch::X86_64 => Ok(()),
        Arch::Armv7 | Arch::Aarch64 => Err(Skip("xl cannot save guests on ARM".to_owned()).into()),
    }
}

/// Has the guest saved to a file of dom0's and restored from it.
fn save_and_restore(context: &Context<'_>, guest: &mut Guest) -> Result<()> {
    let name = guest.spec().name.clone();
    let before = guest.domain()?;
    context.bed.must(&format!("xl save {name} /tmp/{name}.saved"))?;
    ends_with(guest, ShutdownReason::Suspend)?;
    context.bed.must(&format!("xl restore /tmp/{name}.saved && rm /tmp/{name}.saved"))?;
    let after = wait_until("the number of the new domain", || Ok(guest.domain().ok().filter(|now| *now != before)))?;
    check!(after > before, "domain {after} after {before}");
    Ok(())
}

/// Waits until the guest is reached again, then checks that it serves.
fn serves(context: &Context<'_>) -> Result<()> {
    answers(context, ADDRESS)?;
    let wanted = TcpConnections { address: SERVER, count: 5, parallel: 2, size_bytes: 4000, patience_ms: 60_000 };
    let result = context.bed.tcp_connections(&wanted, PATIENCE)?;
    check!(result.succeeded == 5, "{result:?}");
    Ok(())
}

fn stream(context: &Context<'_>) -> Result<()> {
    const BYTES: u64 = 30_000_000;
    only_where_guests_are_saved(context)?;
    let mut guest = start(context)?;
    let interface = format!("/sys/class/net/vif{}.0/statistics", guest.domain()?);
    let dom0 = (**context.bed).clone();
    let wanted = TcpStream { address: SERVER, size_bytes: Some(BYTES), seed: 5, patience_ms: 120_000 };
    let running = thread::spawn(move || dom0.tcp_stream(&wanted, Duration::from_secs(600)));
    wait_until("a part of the stream has come back", || {
        let bytes: u64 = context.bed.must(&format!("cat {interface}/rx_bytes"))?.trim().parse()?;
        Ok((bytes > BYTES / 20).then_some(()))
    })?;
    check!(!running.is_finished(), "the stream ended before the guest was saved");
    save_and_restore(context, &mut guest)?;
    let result = running.join().ok().context("the thread panicked")??;
    check!(result.received_bytes == BYTES && result.error.is_none(), "{result:?}");
    stop(guest, &Report { connections: 1, bytes: BYTES, datagrams: 0 })
}

fn again_and_again(context: &Context<'_>) -> Result<()> {
    const TIMES: u64 = 2;
    only_where_guests_are_saved(context)?;
    let mut guest = start(context)?;
    for _ in 0..TIMES {
        save_and_restore(context, &mut guest)?;
        serves(context)?;
    }
    stop(guest, &Report { connections: 5 * TIMES, bytes: 20_000 * TIMES, datagrams: 0 })
}

/// The toolstack goes on with the domain that it has saved, when told to keep it.
fn cancelled(context: &Context<'_>) -> Result<()> {
    only_where_guests_are_saved(context)?;
    let mut guest = start(context)?;
    let name = guest.spec().name.clone();
    context.bed.must(&format!("xl save -c {name} /tmp/{name}.saved && rm /tmp/{name}.saved"))?;
    guest.wait_for("not suspended", PATIENCE)?;
    serves(context)?;
    // With -c, xl has gone on with the domain, but no longer watches it: only its console tells that it ended well.
    guest.shutdown()?;
    guest.wait_for("result: connections=5 bytes=20000 datagrams=0", PATIENCE)?;
    guest.destroy()
}

fn console(context: &Context<'_>) -> Result<()> {
    only_where_guests_are_saved(context)?;
    let mut guest = context.bed.create(&guest(context, "trouble", "fault=None lines=1")?)?;
    guest.wait_for("trouble: waiting for line 1", PATIENCE)?;
    save_and_restore(context, &mut guest)?;
    crate::console::type_line(context, &guest, "still here")?;
    guest.wait_for("trouble: line 1 is \"still here\"", PATIENCE)?;
    ends_well::<trouble::Report>(&mut guest).map(drop)
}

fn refused(context: &Context<'_>) -> Result<()> {
    if context.arch.guests() == Arch::X86_64 {
        return Err(Skip("xl can save guests on x86".to_owned()).into());
    }
    let guest = start(context)?;
    let outcome = context.bed.shell(&format!("xl save {} /tmp/refused", guest.spec().name))?;
    check!(outcome.status != 0, "xl can save guests on this CPU");
    serves(context)?;
    stop(guest, &Report { connections: 5, bytes: 20_000, datagrams: 0 })
}
