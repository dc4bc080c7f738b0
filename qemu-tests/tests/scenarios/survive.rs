//! What two guests at work outlive: their cards, the backend and the CPU are taken away and given back.
//!
//! In each scenario `echo` is in the middle of a TCP stream and `collect` has readings to take. At the end the stream
//! must have come back byte for byte and every reading must count exactly once.

use crate::echo::{self, SERVER, stop};
use crate::load::Load;
use crate::reconnect::{answers, attach, detach};
use crate::support::{PATIENCE, wait_until};
use ::echo::Report;
use anyhow::{Context as _, Result};
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::TcpConnections;
use qemu_tests::{Guest, check};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "survive: a stream and collect outlive detachments of their cards", run: detachments },
    Scenario { name: "survive: a stream and collect outlive a backend that is bound again and again", run: rebinds },
    Scenario { name: "survive: a stream and collect outlive a reload of the backend's driver", run: reload },
    Scenario { name: "survive: a stream and collect outlive a pause", run: pause },
    Scenario { name: "survive: a guest that is told to use less memory than it has serves on", run: less_memory },
    Scenario { name: "survive: four guests serve at once", run: four },
];

/// Twice each, in turn: the other guest goes on meanwhile.
fn detachments(context: &Context<'_>) -> Result<()> {
    const TIMES: usize = 4;
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

/// Writes the guest's card into each of the files by which drivers are taken from devices and given to them, in this
/// order.
fn write_card(context: &Context<'_>, guest: &Guest, files: &str) -> Result<()> {
    let domain = guest.domain()?;
    let write = format!("echo vif-{domain}-0 >/sys/bus/xen-backend/drivers/vif/$file");
    context.bed.must(&format!("for file in {files}; do {write} || exit 1; done"))?;
    Ok(())
}

/// Takes the driver from the guest's card, which has no interface then. The backend's state stays what it was.
fn take_backend(context: &Context<'_>, guest: &Guest) -> Result<()> {
    let domain = guest.domain()?;
    write_card(context, guest, "unbind")?;
    let gone = context.bed.shell(&format!("test -e /sys/class/net/vif{domain}.0"))?.status != 0;
    check!(gone, "vif{domain}.0 is still there");
    Ok(())
}

/// Has the toolstack's script put the interface of a new backend on the bridge: the toolstack has done that for the
/// first one only. The backend shows that it is connected only then.
fn plug(context: &Context<'_>, guest: &Guest) -> Result<()> {
    let domain = guest.domain()?;
    let directory = format!("backend/vif/{domain}/0");
    wait_until("the new backend's interface", || {
        let status = context.bed.shell(&format!("test -e /sys/class/net/vif{domain}.0"))?.status;
        Ok((status == 0).then_some(()))
    })?;
    context.bed.must(&format!("vif=vif{domain}.0 XENBUS_PATH={directory} /etc/xen/scripts/vif-bed online"))?;
    wait_until("a connected backend", || {
        let state = context.bed.must(&format!("xenstore-read {directory}/state"))?;
        Ok((state.trim() == "4").then_some(()))
    })
}

/// The new backend goes on with the rings of the old one, and nobody but the bridge has a part in it: the links stay
/// up.
fn rebinds(context: &Context<'_>) -> Result<()> {
    let mut load = Load::start(context)?;
    for time in 1..=6 {
        for (guest, _) in load.guests() {
            // The guest sees some of what happens, or none of it.
            let paused = time % 2 == 0;
            if paused {
                guest.pause()?;
            }
            write_card(context, guest, &"unbind bind ".repeat(time))?;
            if paused {
                guest.unpause()?;
            }
        }
        load.publish(10)?;
        for (guest, address) in load.guests() {
            plug(context, guest)?;
            answers(context, address)?;
        }
        load.moves().with_context(|| format!("after time {time}"))?;
    }
    without_script(context, &mut load)?;
    noticed(&load, 0)?;
    load.finish()
}

/// A backend that waits for the script has the rings all the same.
fn without_script(context: &Context<'_>, load: &mut Load) -> Result<()> {
    for (guest, address) in load.guests() {
        let domain = guest.domain()?;
        write_card(context, guest, "unbind bind")?;
        context.bed.must(&format!("ip link set vif{domain}.0 master xenbr0 up"))?;
        answers(context, address)?;
        let state = context.bed.must(&format!("xenstore-read backend/vif/{domain}/0/state"))?;
        check!(state.trim() == "2", "the backend shows {state} before the script has ended");
    }
    load.moves().context("before the script has ended")?;
    for (guest, _) in load.guests() {
        plug(context, guest)?;
    }
    load.moves().context("after the script has ended")
}

/// Linux does not unload the driver while it has cards, so they are taken from it first, as a driver domain's end
/// would.
fn reload(context: &Context<'_>) -> Result<()> {
    let mut load = Load::start(context)?;
    let refused = context.bed.shell("rmmod xen_netback")?;
    check!(refused.status != 0, "a driver in use was unloaded: this scenario can be simpler");
    for time in 1..=3 {
        for (guest, _) in load.guests() {
            take_backend(context, guest)?;
        }
        context.bed.must("rmmod xen_netback")?;
        load.publish(10)?;
        context.bed.must("insmod $(grep xen-netback /etc/bed-modules)")?;
        for (guest, address) in load.guests() {
            plug(context, guest)?;
            answers(context, address)?;
        }
        load.moves().with_context(|| format!("after reload {time}"))?;
    }
    noticed(&load, 0)?;
    load.finish()
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

/// Spore has no balloon: what a guest was given it keeps. `xl` may refuse or try; either way the guest has to work, and
/// to get a new card.
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
