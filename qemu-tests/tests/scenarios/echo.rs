//! The task `echo`: the network of a guest of 4 MiB, against Linux in dom0.

use crate::support::{PATIENCE, ends_well, guest, printed};
use anyhow::Result;
use echo::Report;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{BRIDGE, Ping, TcpConnections, TcpStream, UdpEcho};
use qemu_tests::verdict::Skip;
use qemu_tests::{Arch, Guest, check};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "echo: answers 700 pings without a loss", run: pings },
    Scenario { name: "echo: serves 200 TCP connections", run: connections },
    Scenario { name: "echo: a TCP stream of 50 MB comes back byte for byte", run: stream },
    Scenario { name: "echo: a stream comes back byte for byte in packets that dom0 divides", run: offload },
    Scenario { name: "echo: datagrams of all sizes come back", run: datagrams },
    Scenario { name: "echo: gets its address by DHCP", run: dhcp },
    Scenario { name: "echo: at least 90 % of 32 MiB are left for the heap", run: heap_share },
    Scenario { name: "echo: serves in 3 MiB, the least of which xl makes a guest on ARM", run: least_memory },
    Scenario { name: "echo: a guest without a network card says so", run: no_card },
];

/// The guest's address, outside the range that QEMU's DHCP server hands out.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 50);
/// Its port.
pub const SERVER: SocketAddrV4 = SocketAddrV4::new(ADDRESS, 7);
/// For what moves much data through an emulated machine.
const LONG: Duration = Duration::from_secs(600);

/// Pings that come quickly.
pub fn ping(count: u16) -> Ping {
    Ping { address: ADDRESS, count, interval_us: 5000, size_bytes: 56, patience_ms: 20_000 }
}

/// An echo server in a guest of the default size, at [`ADDRESS`].
pub fn start(context: &Context<'_>) -> Result<Guest> {
    start_at(context, "echo", ADDRESS)
}

/// The same under another name, at another address.
pub fn start_at(context: &Context<'_>, name: &str, address: Ipv4Addr) -> Result<Guest> {
    let mut spec = guest(context, "echo", &format!("ip={address}/24 gateway=10.0.2.2"))?;
    (spec.vif, spec.name) = (true, name.to_owned());
    let mut guest = context.bed.create(&spec)?;
    guest.wait_for(&format!("echo: listening on {address}:7"), PATIENCE)?;
    // Another guest may have had the address. Who knows it from then sends at once, and the answer to somebody whom the
    // guest must ask for first is lost, as is what comes before the bridge knows where the guest is. Who asks anew
    // waits for both.
    context.bed.must(&format!("ip neigh flush dev {BRIDGE}"))?;
    Ok(guest)
}

/// Asks the server to end and checks what it says it did.
pub fn stop(mut guest: Guest, expected: &Report) -> Result<()> {
    guest.shutdown()?;
    let report: Report = ends_well(&mut guest)?;
    check!(report == *expected, "it reports {report:?} instead of {expected:?}");
    Ok(())
}

fn pings(context: &Context<'_>) -> Result<()> {
    let guest = start(context)?;
    for (count, size_bytes) in [(600, 56), (50, 0), (50, 1472)] {
        let result = context.bed.ping(&Ping { size_bytes, ..ping(count) })?;
        let lossless = result.received == u32::from(count) && result.duplicates == 0 && result.corrupted == 0;
        check!(lossless, "with {size_bytes} bytes: {result:?}");
    }
    stop(guest, &Report::default())
}

fn connections(context: &Context<'_>) -> Result<()> {
    const BYTES: u32 = 3000;
    let guest = start(context)?;
    // The last ones are more at once than the task serves at once.
    for (count, parallel) in [(50, 1), (70, 8), (80, 24)] {
        let wanted = TcpConnections { address: SERVER, count, parallel, size_bytes: BYTES, patience_ms: 60_000 };
        let result = context.bed.tcp_connections(&wanted, LONG)?;
        check!(result.succeeded == count, "{parallel} at a time: {result:?}");
    }
    stop(guest, &Report { connections: 200, bytes: 200 * u64::from(BYTES), datagrams: 0 })
}

fn stream(context: &Context<'_>) -> Result<()> {
    stream_through(context, start(context)?, 50_000_000)
}

/// Ethernet's largest packet, without what Ethernet adds.
const MTU: u64 = 1500;

fn offload(context: &Context<'_>) -> Result<()> {
    const BYTES: u64 = 20_000_000;
    let mut spec = guest(context, "offload", &format!("ip={ADDRESS}/24"))?;
    (spec.vif, spec.memory_mib) = (true, 8);
    let mut guest = context.bed.create(&spec)?;
    guest.wait_for(&format!("echo: listening on {ADDRESS}:7"), PATIENCE)?;
    let counter = |what| {
        let path = format!("/sys/class/net/vif{}.0/statistics/rx_{what}", guest.domain()?);
        anyhow::Ok(context.bed.must(&format!("cat {path}"))?.trim().parse::<u64>()?)
    };
    let before = [counter("bytes")?, counter("packets")?];
    let wanted = TcpStream { address: SERVER, size_bytes: Some(BYTES), seed: 7, patience_ms: 60_000 };
    let result = context.bed.tcp_stream(&wanted, LONG)?;
    check!(result.received_bytes == BYTES && result.error.is_none(), "{result:?}");
    // Of all that the guest has sent, acknowledgements included.
    let [bytes, packets] = [counter("bytes")? - before[0], counter("packets")? - before[1]];
    check!(bytes > 2 * MTU * packets, "{bytes} bytes came from the guest in {packets} packets");
    stop(guest, &Report { connections: 1, bytes: BYTES, datagrams: 0 })
}

/// Has a stream of this length echoed, and ends the guest.
fn stream_through(context: &Context<'_>, guest: Guest, bytes: u64) -> Result<()> {
    let wanted = TcpStream { address: SERVER, size_bytes: Some(bytes), seed: 50, patience_ms: 60_000 };
    let result = context.bed.tcp_stream(&wanted, LONG)?;
    check!(result.received_bytes == bytes && result.error.is_none(), "{result:?}");
    stop(guest, &Report { connections: 1, bytes, datagrams: 0 })
}

fn datagrams(context: &Context<'_>) -> Result<()> {
    const COUNT: u32 = 40;
    let sizes = [0, 1, 2, 63, 511, 1024, 1471, 1472];
    let guest = start(context)?;
    for size_bytes in sizes {
        let wanted = UdpEcho { address: SERVER, count: COUNT, size_bytes, patience_ms: 20_000 };
        let result = context.bed.udp_echo(&wanted, LONG)?;
        check!(result.received == COUNT && result.corrupted == 0, "of {size_bytes} bytes: {result:?}");
    }
    stop(guest, &Report { connections: 0, bytes: 0, datagrams: u64::from(COUNT) * sizes.len() as u64 })
}

fn dhcp(context: &Context<'_>) -> Result<()> {
    let mut spec = guest(context, "echo", "port=1007")?;
    spec.vif = true;
    let mut guest = context.bed.create(&spec)?;
    let line = guest.wait_for("echo: listening on 10.0.2.", PATIENCE)?;
    let server: SocketAddrV4 = line.trim_start_matches("echo: listening on ").parse()?;
    check!(server.port() == 1007 && server.ip().octets()[3] >= 15, "{line}");
    let wanted = TcpConnections { address: server, count: 1, parallel: 1, size_bytes: 10, patience_ms: 60_000 };
    let result = context.bed.tcp_connections(&wanted, PATIENCE)?;
    check!(result.succeeded == 1, "{result:?}");
    stop(guest, &Report { connections: 1, bytes: 10, datagrams: 0 })
}

/// An echo server in a guest of another size, at [`ADDRESS`].
fn start_in(context: &Context<'_>, memory_mib: u32) -> Result<Guest> {
    let mut spec = guest(context, "echo", &format!("ip={ADDRESS}/24"))?;
    (spec.vif, spec.memory_mib) = (true, memory_mib);
    let mut guest = context.bed.create(&spec)?;
    guest.wait_for("echo: listening on ", PATIENCE)?;
    Ok(guest)
}

fn heap_share(context: &Context<'_>) -> Result<()> {
    let mut guest = start_in(context, 32)?;
    guest.shutdown()?;
    ends_well::<Report>(&mut guest)?;
    // "memory: 312 KiB of 30500 KiB heap used at most", in the words that `printed` reads.
    let line = guest.wait_for("memory: ", PATIENCE)?;
    let heap_kib = printed(&line.replace("of ", "heap="), "heap")?;
    check!(heap_kib * 10 >= 32 * 1024 * 9, "{line}");
    Ok(())
}

fn least_memory(context: &Context<'_>) -> Result<()> {
    if context.arch.guests() == Arch::X86_64 {
        return Err(Skip("xl makes no guest of less than 4 MiB on x86".to_owned()).into());
    }
    stream_through(context, start_in(context, 3)?, 5_000_000)
}

fn no_card(context: &Context<'_>) -> Result<()> {
    let mut guest = context.bed.create(&guest(context, "echo", "")?)?;
    guest.wait_for("network: no card; does the xl config have a line such as vif = ", PATIENCE)?;
    stop(guest, &Report::default())
}
