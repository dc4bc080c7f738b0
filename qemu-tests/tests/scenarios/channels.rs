//! The subject `channels`: pages that are granted, mapped and let go, on the real hypervisor; Xen's own libxenvchan at the
//! other end, and another guest.

use crate::support::{PATIENCE, ends_well, ends_with, guest, status, wait_until};
use anyhow::{Context as _, Result};
use channels::Report;
use qemu_tests::dom0_program::Program;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::root::Root;
use qemu_tests::verdict::Skip;
use qemu_tests::{Arch, Guest, ShutdownReason, check};
use std::time::Duration;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "channels: every byte comes through rings of every size, and no page stays mapped", run: all },
    Scenario { name: "channels: a guest is the client of Xen's libxenvchan", run: client },
    Scenario { name: "channels: a guest is the server of Xen's libxenvchan", run: server },
    Scenario { name: "channels: guests talk to each other, or are told what forbids it", run: guests },
    Scenario { name: "channels: a guest whose peer is destroyed says so, and keeps nothing mapped", run: destroyed },
];

/// Xen's own library as a program.
const PEER: Program = Program { package: "libxenvchan-peer", name: "libxenvchan-peer", example: false };
/// Where it finds the library.
const LIBRARY: &str = "/tmp/libxenvchan.so";
/// Each way through each channel: more than the largest ring holds.
const BYTES: u64 = 1_300_000;
/// Rings in the first page, in a page of their own, and the largest.
const ORDERS: [u16; 5] = [10, 11, 12, 16, 20];
/// For what moves much data through an emulated machine.
const LONG: Duration = Duration::from_secs(600);

fn all(context: &Context<'_>) -> Result<()> {
    let report: Report = ends_well(&mut context.bed.create(&guest(context, "channels", "role=Both")?)?)?;
    let Report { channels, bytes, kept, refused } = report;
    check!(channels == 11 && bytes > 20_000_000, "{report:?}");
    check!(kept == 0 && refused == 2, "{report:?}");
    Ok(())
}

/// A guest that waits for its peer.
fn end(context: &Context<'_>, role: &str, bytes: u64, orders: &[u16]) -> Result<Guest> {
    let orders: Vec<_> = orders.iter().map(u16::to_string).collect();
    let mut spec = guest(context, "channels", &format!("role={role} bytes={bytes} orders={}", orders.join(",")))?;
    spec.name = format!("channels-{}", role.to_lowercase());
    spec.memory_mib = 16;
    let mut guest = context.bed.create(&spec)?;
    guest.wait_for("channels: waiting for data/channel", PATIENCE)?;
    Ok(guest)
}

/// Tells a guest who its peer is.
fn introduce(context: &Context<'_>, guest: &Guest, peer: &str) -> Result<()> {
    let path = format!("/local/domain/{}/data/channel", guest.domain()?);
    context.bed.xenstore_write(&path, peer.as_bytes())
}

/// Runs Xen's library in dom0 as the other end.
fn libxenvchan(context: &Context<'_>, role: &str, guest: &Guest, path: &str) -> Result<()> {
    context.bring_program(PEER)?;
    let folder = format!("/usr/lib/{}", context.arch.machine().triplet());
    let root = Root(context.arch.machine().packages().root());
    let files = root.files_below(&folder)?;
    let library = files.iter().find(|file| file.contains("/libxenvchan.so."));
    let library = root.read(library.context("dom0's packages have no libxenvchan")?)?;
    context.bed.put(LIBRARY, &library)?;
    let orders: Vec<_> = ORDERS.iter().map(u16::to_string).collect();
    let domain = guest.domain()?;
    let command = format!("libxenvchan-peer {LIBRARY} {role} {domain} {path} {BYTES} {} 2>&1", orders.join(" "));
    context.bed.must_within(&command, LONG).map(drop)
}

/// Checks that a guest has moved all bytes of all channels, and keeps no page.
fn complete(guest: &mut Guest) -> Result<()> {
    let report: Report = ends_well(guest)?;
    let expected = Report { channels: 5, bytes: 5 * BYTES, kept: 0, refused: 0 };
    check!(report == expected, "{report:?}");
    Ok(())
}

fn client(context: &Context<'_>) -> Result<()> {
    let mut guest = end(context, "Client", BYTES, &ORDERS)?;
    let path = format!("/local/domain/0/data/vchan/{}", guest.domain()?);
    introduce(context, &guest, &path)?;
    libxenvchan(context, "serve", &guest, &path)?;
    complete(&mut guest)
}

fn server(context: &Context<'_>) -> Result<()> {
    let mut guest = end(context, "Server", BYTES, &ORDERS)?;
    introduce(context, &guest, "0")?;
    let path = format!("/local/domain/{}/data/vchan/0", guest.domain()?);
    libxenvchan(context, "connect", &guest, &path)?;
    complete(&mut guest)
}

/// Two guests that are each other's peers: server and client.
fn pair(context: &Context<'_>, bytes: u64, orders: &[u16]) -> Result<(Guest, Guest)> {
    let server = end(context, "Server", bytes, orders)?;
    let client = end(context, "Client", bytes, orders)?;
    introduce(context, &server, &client.domain()?.to_string())?;
    introduce(context, &client, &format!("/local/domain/{}/data/vchan/{}", server.domain()?, client.domain()?))?;
    Ok((server, client))
}

fn guests(context: &Context<'_>) -> Result<()> {
    let (mut server, mut client) = pair(context, BYTES, &ORDERS)?;
    if context.arch == Arch::X86_64 {
        complete(&mut server)?;
        return complete(&mut client);
    }
    // Debian's Xen for ARM has the security module SILO.
    ends_with(&mut server, ShutdownReason::PowerOff)?;
    let said = status(&server)?;
    let expected = format!("Xen forbids this guest a channel to domain {}", client.domain()?);
    check!(said.contains(&expected) && said.contains("xsm=dummy"), "data/status is {said:?}");
    client.destroy()
}

/// Checks that a guest which was in the middle of a transfer has named what ended it.
fn interrupted(context: &Context<'_>, mut guest: Guest) -> Result<()> {
    ends_with(&mut guest, ShutdownReason::PowerOff)?;
    let said = status(&guest)?;
    check!(said.contains("the peer is gone after "), "data/status is {said:?}");
    // A domain of which anything is mapped stays, without a name.
    wait_until("no domain is left without a name", || {
        Ok(Some(()).filter(|()| context.bed.must("xl list").is_ok_and(|list| !list.contains("(null)"))))
    })
}

fn destroyed(context: &Context<'_>) -> Result<()> {
    if context.arch != Arch::X86_64 {
        return Err(Skip("Xen forbids guests to talk to each other here".to_owned()).into());
    }
    const ENDLESS: u64 = 1 << 40;
    let (server, mut client) = pair(context, ENDLESS, &[16])?;
    client.wait_for("channels: under way", PATIENCE)?;
    server.destroy()?;
    interrupted(context, client)?;
    let (server, mut client) = pair(context, ENDLESS, &[16])?;
    client.wait_for("channels: under way", PATIENCE)?;
    client.destroy()?;
    interrupted(context, server)
}
