//! What two guests at work outlive: their cards and the CPU are taken away and given back.
//!
//! In each scenario `echo` is in the middle of a TCP stream and `collect` has readings to take. At the end the stream must have come
//! back byte for byte and every reading must count exactly once.

use crate::echo::{self, SERVER, stop};
use crate::load::Load;
use crate::reconnect::{attach, detach};
use crate::support::PATIENCE;
use ::echo::Report;
use anyhow::{Context as _, Result};
use qemu_tests::check;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::TcpConnections;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "survive: a stream and collect outlive ten detachments of their cards", run: detachments },
    Scenario { name: "survive: a stream and collect outlive a pause", run: pause },
    Scenario { name: "survive: a guest that is told to use less memory than it has serves on", run: less_memory },
    Scenario { name: "survive: four guests serve at once", run: four },
];

/// Five times each, in turn: the other guest goes on meanwhile.
fn detachments(context: &Context<'_>) -> Result<()> {
    const TIMES: usize = 10;
    let mut load = Load::start(context)?;
    for time in 1..=TIMES {
        let (guest, address) = load.guests()[time % 2];
        detach(context, guest, 0)?;
        load.publish(10)?;
        let (guest, _) = load.guests()[time % 2];
        attach(context, guest, address)?;
        load.moves().with_context(|| format!("after detachment {time}"))?;
    }
    noticed(&load, TIMES / 2)?;
    load.finish()
}

/// Checks that the guests have lost their links as often as they should: otherwise they have outlived nothing.
fn noticed(load: &Load, times: usize) -> Result<()> {
    for (guest, address) in load.guests() {
        let count = guest.console_text().matches("network: link down").count();
        check!(count == times, "{address} has lost its link {count} times instead of {times}");
    }
    Ok(())
}

fn pause(context: &Context<'_>) -> Result<()> {
    let mut load = Load::start(context)?;
    for (guest, _) in load.guests() {
        guest.pause()?;
    }
    load.publish(10)?;
    for (guest, _) in load.guests() {
        guest.unpause()?;
    }
    load.moves()?;
    load.finish()
}

/// Spore has no balloon: what a guest was given it keeps. `xl` may refuse or try; either way the guest has to work, and to get a new card.
fn less_memory(context: &Context<'_>) -> Result<()> {
    let guest = echo::start(context)?;
    for mib in [2, 0] {
        let output = context.bed.shell(&format!("xl mem-set echo {mib}"))?;
        serves(context, SERVER)?;
        detach(context, &guest, 0)?;
        attach(context, &guest, echo::ADDRESS).with_context(|| format!("after {output:?}"))?;
    }
    serves(context, SERVER)?;
    guest.destroy()
}

fn serves(context: &Context<'_>, address: SocketAddrV4) -> Result<()> {
    let wanted = TcpConnections { address, count: 8, parallel: 4, size_bytes: 50_000, patience_ms: 60_000 };
    let result = context.bed.tcp_connections(&wanted, PATIENCE)?;
    check!(result.succeeded == 8, "{address}: {result:?}");
    Ok(())
}

fn four(context: &Context<'_>) -> Result<()> {
    let addresses = [60, 61, 62, 63].map(|last| Ipv4Addr::new(10, 0, 2, last));
    let guests = addresses.map(|address| echo::start_at(context, &format!("echo-{}", address.octets()[3]), address));
    let guests = guests.into_iter().collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let clients = addresses.map(|address| scope.spawn(move || serves(context, SocketAddrV4::new(address, 7))));
        clients.into_iter().try_for_each(|client| client.join().ok().context("a client panicked")?)
    })?;
    let expected = Report { connections: 8, bytes: 8 * 50_000, datagrams: 0 };
    guests.into_iter().try_for_each(|guest| stop(guest, &expected))
}
