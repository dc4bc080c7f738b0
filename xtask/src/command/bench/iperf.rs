//! iperf3's client in dom0: its command line and what it says at its end.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use qemu_tests::Dom0;
use serde_json::Value;

/// What iperf3 needs around the time in which data flows, on a busy machine.
const OVERHEAD: Duration = Duration::from_secs(40);

/// Which way data flows, named from the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the guest.
    Rx,
    /// From the guest.
    Tx,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rx, Self::Tx];

    /// As in the names of rows.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Rx => "rx",
            Self::Tx => "tx",
        }
    }

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Rx => "to the guest",
            Self::Tx => "from the guest",
        }
    }
}

/// One run of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The server.
    pub address: Ipv4Addr,
    /// Which way.
    pub direction: Direction,
    /// Datagrams as fast as they go, instead of a TCP stream.
    pub udp: bool,
    /// Streams at the same time.
    pub streams: u32,
    /// Bytes in each write, or in each datagram.
    pub write_bytes: u32,
    /// How long data flows.
    pub time: Duration,
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrived {
    /// Bytes of data.
    pub bytes: f64,
    /// The receiver's time.
    pub seconds: f64,
    /// UDP: the part of the datagrams that did not arrive.
    pub lost: Option<f64>,
}

impl Arrived {
    /// Throughput.
    pub fn mbit_per_second(&self) -> f64 {
        self.bytes * 8.0 / self.seconds / 1e6
    }
}

impl Run {
    /// One TCP connection with writes of 64 KiB.
    pub const fn stream(address: Ipv4Addr, direction: Direction, time: Duration) -> Self {
        Self { address, direction, udp: false, streams: 1, write_bytes: 65536, time }
    }

    /// The command line.
    fn command(&self) -> String {
        let Self { address, streams, write_bytes, .. } = self;
        let seconds = self.time.as_secs();
        let udp = if self.udp { " -u -b 0" } else { "" };
        let reverse = if self.direction == Direction::Tx { " -R" } else { "" };
        format!("iperf3 -J -i 0 -c {address} -t {seconds} -P {streams} -l {write_bytes}{udp}{reverse}")
    }

    /// Runs it in dom0.
    ///
    /// # Errors
    /// iperf3 fails, does not end or moves nothing.
    pub fn run(&self, dom0: &Dom0) -> Result<Arrived> {
        self.run_within(dom0, str::to_owned)
    }

    /// Runs it in a script that is made around its command line.
    ///
    /// # Errors
    /// As [`Run::run`], or the script fails.
    pub fn run_within(&self, dom0: &Dom0, script: impl FnOnce(&str) -> String) -> Result<Arrived> {
        let patience = self.time + OVERHEAD;
        let command = format!("timeout {} {}", patience.as_secs(), self.command());
        let output = dom0.shell_within(&script(&command), patience * 2)?;
        let context = || {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("{} (exit status {}) {error}", self.command(), output.status)
        };
        let arrived = arrived(&output.stdout).with_context(context)?;
        ensure!(output.status == 0, context());
        ensure!(arrived.bytes > 0.0 && arrived.seconds > 0.0, "{}: nothing arrived", self.command());
        Ok(arrived)
    }
}

/// Reads what `iperf3 -J` prints.
fn arrived(json: &[u8]) -> Result<Arrived> {
    let said: Value = serde_json::from_slice(json).context("iperf3 printed no JSON")?;
    if let Some(error) = said.get("error").and_then(Value::as_str) {
        bail!("iperf3: {error}");
    }
    let sum = &said["end"]["sum_received"];
    let field = |name: &str| sum[name].as_f64();
    let (bytes, seconds) = field("bytes").zip(field("seconds")).context("iperf3 said no sum of what was received")?;
    let lost = field("lost_packets").zip(field("packets")).map(|(lost, all)| if all > 0.0 { lost / all } else { 0.0 });
    Ok(Arrived { bytes, seconds, lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run = Run {
        address: Ipv4Addr::new(10, 0, 2, 50),
        direction: Direction::Rx,
        udp: false,
        streams: 4,
        write_bytes: 65536,
        time: Duration::from_secs(3),
    };

    #[test]
    fn the_command_line_says_direction_and_protocol() {
        assert_eq!(RUN.command(), "iperf3 -J -i 0 -c 10.0.2.50 -t 3 -P 4 -l 65536");
        let udp = Run { direction: Direction::Tx, udp: true, streams: 1, write_bytes: 64, ..RUN };
        assert_eq!(udp.command(), "iperf3 -J -i 0 -c 10.0.2.50 -t 3 -P 1 -l 64 -u -b 0 -R");
    }

    #[test]
    fn the_receiver_s_sum_is_what_counts() {
        let tcp = br#"{"start":{},"intervals":[],"end":{"streams":[],
            "sum_sent":{"seconds":1.0,"bytes":2000000,"bits_per_second":16000000.0,"retransmits":8,"sender":true},
            "sum_received":{"start":0,"end":2,"seconds":2.0,"bytes":1000000,"bits_per_second":4000000.0,"sender":true}}}"#;
        let arrived = arrived(tcp).unwrap();
        assert_eq!(arrived, Arrived { bytes: 1e6, seconds: 2.0, lost: None });
        assert!((arrived.mbit_per_second() - 4.0).abs() < 1e-9);
    }

    #[test]
    fn lost_datagrams_are_a_part_of_all() {
        let udp = br#"{"end":{"sum_received":{"seconds":1.0,"bytes":5028800,"jitter_ms":0.1,"lost_packets":50,"packets":200}}}"#;
        assert_eq!(arrived(udp).unwrap().lost, Some(0.25));
    }

    #[test]
    fn the_client_s_own_error_is_passed_on() {
        let error = arrived(br#"{"start":{},"end":{},"error":"unable to connect to server"}"#).unwrap_err();
        assert_eq!(error.to_string(), "iperf3: unable to connect to server");
        assert!(arrived(b"").is_err());
        assert!(arrived(br#"{"end":{}}"#).is_err());
    }
}
