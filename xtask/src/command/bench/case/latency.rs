//! How long small things take: a ping, a message and its answer, a connection.

use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use qemu_tests::protocol::{Ping, TcpConnections, TcpRoundTrips};

use super::super::Bench;
use super::super::contestant::{Side, echo_address};
use super::super::figures::{Measure, median};

const GROUP: &str = "latency";
/// The port that RFC 862 gives to echo.
const ECHO_PORT: u16 = 7;
/// For any one answer.
const PATIENCE_MS: u32 = 20_000;
/// For all of them.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let _pair = bench.pair()?;
    bench.in_turn("ping", ping)?;
    bench.in_turn("round trips", round_trips)?;
    bench.in_turn("connections", connections)
}

fn ping(bench: &Bench<'_>, side: Side) -> Result<Vec<(Measure, f64)>> {
    let wanted =
        Ping { address: echo_address(side), count: 100, interval_us: 20_000, size_bytes: 56, patience_ms: PATIENCE_MS };
    let result = bench.bed.ping(&wanted)?;
    ensure!(result.received == u32::from(wanted.count), "{result:?}");
    let [_, _, mean_us] = result.round_trip_us;
    Ok(vec![(Measure::less("ping", GROUP, "ping, 56 bytes", "ms"), f64::from(mean_us) / 1000.0)])
}

fn round_trips(bench: &Bench<'_>, side: Side) -> Result<Vec<(Measure, f64)>> {
    let address = SocketAddrV4::new(echo_address(side), ECHO_PORT);
    let wanted = TcpRoundTrips { address, count: 300, size_bytes: 64, patience_ms: PATIENCE_MS };
    let times = bench.bed.tcp_round_trips(&wanted, PATIENCE)?;
    let times: Vec<f64> = times.into_iter().map(|time_us| f64::from(time_us) / 1000.0).collect();
    let middle = median(&times).context("no message came back")?;
    Ok(vec![(Measure::less("rtt", GROUP, "TCP message of 64 bytes and its echo", "ms"), middle)])
}

fn connections(bench: &Bench<'_>, side: Side) -> Result<Vec<(Measure, f64)>> {
    let address = SocketAddrV4::new(echo_address(side), ECHO_PORT);
    let wanted = TcpConnections { address, count: 200, parallel: 1, size_bytes: 64, patience_ms: PATIENCE_MS };
    let result = bench.bed.tcp_connections(&wanted, PATIENCE)?;
    ensure!(result.succeeded == wanted.count, "{result:?}");
    let name = "TCP connections, one after the other, 64 bytes each";
    let rate = f64::from(wanted.count) / (result.elapsed_us as f64 / 1e6);
    Ok(vec![(Measure::more("connections", "connections", name, "1/s"), rate)])
}
