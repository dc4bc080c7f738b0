//! A network card that goes away and comes back, as when its driver domain restarts.

use crate::echo::{SERVER, ping, start, stop};
use crate::support::{PATIENCE, guest, wait_until};
use anyhow::{Context as _, Result};
use echo::Report;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{Ping, TcpConnections, TcpStream};
use qemu_tests::{Guest, check};
use std::net::SocketAddrV4;
use std::thread;
use std::time::Duration;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "reconnect: traffic flows again after network-detach and network-attach", run: again_and_again },
    Scenario { name: "reconnect: a TCP stream goes on after network-detach and network-attach", run: stream },
    Scenario { name: "reconnect: an address from DHCP is kept", run: dhcp },
    Scenario { name: "reconnect: a guest that ends without its card ends in order", run: end_without },
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
pub fn attach(context: &Context<'_>, guest: &Guest) -> Result<()> {
    guest.network_attach()?;
    wait_until("an answer to a ping", || {
        let result = context.bed.ping(&Ping { patience_ms: 200, ..ping(1) })?;
        Ok((result.received > 0).then_some(()))
    })
}

fn again_and_again(context: &Context<'_>) -> Result<()> {
    const TIMES: u32 = 4;
    let guest = start(context)?;
    for _ in 0..TIMES {
        detach(context, &guest, 0)?;
        attach(context, &guest)?;
        let result = context.bed.ping(&ping(50))?;
        check!(result.received == 50, "{result:?}");
        let wanted = TcpConnections { address: SERVER, count: 5, parallel: 2, size_bytes: 4000, patience_ms: 60_000 };
        let result = context.bed.tcp_connections(&wanted, PATIENCE)?;
        check!(result.succeeded == 5, "{result:?}");
    }
    stop(guest, &Report { connections: 5 * u64::from(TIMES), bytes: 20_000 * u64::from(TIMES), datagrams: 0 })
}

fn stream(context: &Context<'_>) -> Result<()> {
    const BYTES: u64 = 50_000_000;
    let guest = start(context)?;
    let interface = format!("/sys/class/net/vif{}.0/statistics", guest.domain()?);
    let dom0 = (**context.bed).clone();
    let wanted = TcpStream { address: SERVER, size_bytes: Some(BYTES), seed: 3, patience_ms: 120_000 };
    let running = thread::spawn(move || dom0.tcp_stream(&wanted, Duration::from_secs(600)));
    wait_until("a part of the stream has come back", || {
        let bytes: u64 = context.bed.must(&format!("cat {interface}/rx_bytes"))?.trim().parse()?;
        Ok((bytes > BYTES / 20).then_some(()))
    })?;
    check!(!running.is_finished(), "the stream ended before the card was taken away");
    detach(context, &guest, 0)?;
    attach(context, &guest)?;
    let result = running.join().ok().context("the thread panicked")??;
    check!(result.received_bytes == BYTES && result.error.is_none(), "{result:?}");
    stop(guest, &Report { connections: 1, bytes: BYTES, datagrams: 0 })
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
