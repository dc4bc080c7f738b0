//! iperf: a server for the client of iperf3, so that the network of a guest is measured by the program that measures
//! every other machine's.
//!
//! TCP and UDP, towards the guest and from it, on one stream or several. One test at a time; who comes during a test is
//! told to try again. What costs time per byte is in `tcp` and `udp`; `session` is the conversation around it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use embassy_futures::select::{Either, select};
use embedded_nal_async::{UdpStack, UnconnectedUdp};
use kernel::net::{Buffers, Network, TcpAccept, TcpListen};
use kernel::{Networked, System};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

mod failure;
mod protocol;
mod results;
mod session;
mod settings;
mod tcp;
mod udp;

use failure::Failure;
use results::Outcome;
use session::Session;

/// iperf3's own.
const DEFAULT_PORT: u16 = 5201;

/// The largest piece that is written at once.
const LARGEST_BLOCK_BYTES: usize = 128 * 1024;

/// The buffers of a connection if there is enough memory: eight of the largest packets in each direction, so that the
/// other end works on some while we take others. More from us would be more than Linux's receiver has a window for,
/// whose end then cuts a packet in two.
const BUFFERS: Buffers = Buffers { receive: 512 * 1024, send: 512 * 1024 };

/// What the task is told.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// The port, for TCP and UDP alike; 5201 if not given.
    pub port: Option<u16>,
    /// How many tests to serve before the task ends by itself; if not given, it serves until it is asked to end.
    pub tests: Option<u32>,
}

/// What the task did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// Tests that went well.
    pub tests: u32,
    /// Tests that did not.
    pub failed: u32,
    /// Bytes that the tests brought here.
    pub received_bytes: u64,
    /// Bytes that they took from here.
    pub sent_bytes: u64,
}

/// Serves until the task is asked to end.
///
/// # Errors
///
/// The port cannot be used, no connection can be accepted, or there is not enough memory for a block.
pub async fn run(parameters: Parameters, system: &impl Networked) -> Result<Report, String> {
    let port = parameters.port.unwrap_or(DEFAULT_PORT);
    let network = system.network();
    network.set_buffers(BUFFERS);
    let mut block = Vec::new();
    block.try_reserve_exact(LARGEST_BLOCK_BYTES).map_err(|_| "no memory for a block of 128 KiB")?;
    block.resize(LARGEST_BLOCK_BYTES, 0);

    let configured = select(system.stop_requested(), network.configured()).await;
    let Either::Second(address) = configured else { return Ok(Report::default()) };
    let listener = network.listen(port, settings::MOST_STREAMS).await.map_err(|error| unusable("TCP", port, &error))?;
    let any = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
    let datagrams = network.bind_multiple(any).await.map_err(|error| unusable("UDP", port, &error))?;
    kernel::println!("iperf: listening on {address}:{port}");
    let session = Session { listener: &listener, datagrams, block, system };
    serve(session, parameters.tests).await.map_err(|error| unusable("TCP", port, &error))
}

/// Says what is wrong with a port.
fn unusable(protocol: &str, port: u16, why: &dyn Display) -> String {
    format!("no {protocol} on port {port}: {why}")
}

/// Serves one test after the other.
async fn serve<L: TcpAccept, D: UnconnectedUdp, S: System>(
    mut session: Session<'_, L, D, S>,
    most: Option<u32>,
) -> Result<Report, L::Error> {
    let mut report = Report::default();
    while most.is_none_or(|most| report.tests + report.failed < most) {
        let accepted = select(session.system.stop_requested(), session.listener.accept()).await;
        let Either::Second(accepted) = accepted else { break };
        let (_, mut control) = accepted?;
        match session.serve(&mut control).await {
            Ok(outcome) => {
                kernel::println!("iperf: {outcome}");
                let Outcome { received_bytes, sent_bytes, .. } = outcome;
                report.tests += 1;
                report.received_bytes += received_bytes;
                report.sent_bytes += sent_bytes;
            }
            Err(Failure::Stopped) => break,
            Err(failure) => {
                kernel::println!("iperf: a test ended early: {failure}");
                report.failed += 1;
            }
        }
    }
    Ok(report)
}
