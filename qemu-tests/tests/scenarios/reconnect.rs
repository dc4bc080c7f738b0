//! A network card that goes away and comes back. What guests at work make of that is in `survive`.

use crate::echo::{ADDRESS, ping, start, stop};
use crate::support::{PATIENCE, guest, wait_until};
use anyhow::Result;
use echo::Report;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{Ping, TcpConnections};
use qemu_tests::{Guest, check};
use std::net::{Ipv4Addr, SocketAddrV4};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "reconnect: an address from DHCP is kept", run: dhcp },
    Scenario { name: "reconnect: a guest that ends without its card ends in order", run: end_without },
    Scenario { name: "reconnect: a card lives on that is replaced by one of another number", run: replaced },
];

/// Takes the card away and waits until dom0 has nothing left of it.
pub fn detach(context: &Context<'_>, guest: &Guest, number: u32) -> Result<()> {
    let domain = guest.domain()?;
    guest.network_detach(number)?;
    let backend = format!("/local/domain/0/backend/vif/{domain}/{number}");
    let left = context.bed.xenstore_wait(&backend, None, PATIENCE)?;
    check!(left.is_none(), "{backend} is still there");
    let interface = format!("/sys/class/net/vif{domain}.{number}");
    wait_until("the backend's interface is gone", || {
        let status = context.bed.shell(&format!("test ! -e {interface}"))?.status;
        Ok((status == 0).then_some(()))
    })
}

/// Gives the card back and waits for the first answer.
pub fn attach(context: &Context<'_>, guest: &Guest, address: Ipv4Addr) -> Result<()> {
    guest.network_attach()?;
    answers(context, address)
}

/// Waits for the first answer to a ping.
pub fn answers(context: &Context<'_>, address: Ipv4Addr) -> Result<()> {
    wait_until(&format!("an answer of {address} to a ping"), || {
        let result = context.bed.ping(&Ping { address, patience_ms: 200, ..ping(1) })?;
        Ok((result.received > 0).then_some(()))
    })
}

fn dhcp(context: &Context<'_>) -> Result<()> {
    let mut spec = guest(context, "echo", "")?;
    spec.vif = true;
    let mut guest = context.bed.create(&spec)?;
    let listening = guest.wait_for("echo: listening on ", PATIENCE)?;
    let server: SocketAddrV4 = listening.trim_start_matches("echo: listening on ").parse()?;
    detach(context, &guest, 0)?;
    guest.wait_for("network: link down", PATIENCE)?;
    guest.network_attach()?;
    guest.wait_for(&format!("network: {}/24 gateway 10.0.2.2 (dhcp)", server.ip()), PATIENCE)?;
    let wanted = TcpConnections { address: server, count: 5, parallel: 2, size_bytes: 4000, patience_ms: 60_000 };
    let result = context.bed.tcp_connections(&wanted, PATIENCE)?;
    check!(result.succeeded == 5, "{result:?}");
    stop(guest, &Report { connections: 5, bytes: 20_000, datagrams: 0 })
}

fn end_without(context: &Context<'_>) -> Result<()> {
    let guest = start(context)?;
    detach(context, &guest, 0)?;
    stop(guest, &Report::default())
}

fn replaced(context: &Context<'_>) -> Result<()> {
    let mut guest = start(context)?;
    // xl gives each new card the number behind the last one's.
    for (old, new) in [(0, 1), (1, 2)] {
        guest.network_attach()?;
        guest.wait_for(&format!("network card {new} is not used, {old} is; vif={new} chooses the other"), PATIENCE)?;
        detach(context, &guest, old)?;
        answers(context, ADDRESS)?;
    }
    // One that is not used goes, and the other works all the while.
    guest.network_attach()?;
    guest.wait_for("network card 3 is not used, 2 is; vif=3 chooses the other", PATIENCE)?;
    detach(context, &guest, 3)?;
    answers(context, ADDRESS)?;
    check!(guest.counters(PATIENCE)?["connections"] == 3, "the card in use was connected anew");
    stop(guest, &Report::default())
}
