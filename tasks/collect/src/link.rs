//! A connection to a broker: its address, its set-up, and when to try again.

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_nal_async::{AddrType, Dns, TcpConnect};
use kernel::net::Network;
use kernel::{Networked, System};

use crate::mqtt::Connection;
use crate::mqtt::packet::Connect;

/// How long a name, a connection and the broker's greeting may take together.
const CONNECT: Duration = Duration::from_secs(10);

/// The first pause between two attempts to connect, and the longest.
const FIRST_PAUSE_MS: u32 = 250;
const LONGEST_PAUSE_MS: u32 = 30_000;

/// A connection that lasted this long was a good one: the pauses begin again with the first.
const GOOD: Duration = Duration::from_secs(10);

/// How many messages may be under way in one direction.
pub(crate) const UNDER_WAY: u16 = 8;

/// The connection type of a system's network.
pub(crate) type Stream<'n, S> = <<S as Networked>::Network as TcpConnect>::Connection<'n>;

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The port for MQTT without TLS.
    const PORT: u16 = 1883;

    /// Longest name in DNS.
    const HOST_BYTES: usize = 253;

    /// Reads `host:port` or `host`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // By bytes: the searches of `str` would be a KB of code.
        let colon = text.bytes().position(|byte| byte == b':').unwrap_or(text.len());
        let (host, port) = text.split_at(colon);
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None => Self::PORT,
        };
        (1..=Self::HOST_BYTES).contains(&host.len()).then(|| Self { host: String::from(host), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why there is no connection, or none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The host's name has no address.
    Name,
    /// TCP could not connect.
    Unreachable,
    /// Nothing was heard for too long.
    Silent,
    /// The connection broke, or the broker closed it.
    Closed,
    /// The broker refused us, or what we asked for.
    Refused,
    /// The broker said what MQTT does not allow, or more than we have room for.
    Protocol,
}

impl Fault {
    fn text(self) -> &'static str {
        match self {
            Self::Name => "its name has no address",
            Self::Unreachable => "it cannot be reached",
            Self::Silent => "it is silent",
            Self::Closed => "the connection is closed",
            Self::Refused => "it refuses",
            Self::Protocol => "it does not keep to MQTT 5",
        }
    }
}

/// The way to one broker, over as many connections as it takes.
pub(crate) struct Link<'a, S> {
    /// "source" or "cloud", for messages.
    role: &'static str,
    address: &'a Address,
    keepalive_s: u16,
    system: &'a S,
    next_pause_ms: u32,
    since: Option<Instant>,
    connections: u32,
}

impl<'a, S: Networked> Link<'a, S> {
    pub(crate) fn new(role: &'static str, address: &'a Address, keepalive_s: u16, system: &'a S) -> Self {
        Self { role, address, keepalive_s, system, next_pause_ms: FIRST_PAUSE_MS, since: None, connections: 0 }
    }

    /// Tries once to connect, with a clean start or with the session of before, which the broker keeps for `session_s`
    /// seconds. `input` takes the largest packet that the broker may send.
    pub(crate) async fn connect<'b>(
        &mut self,
        client: &str,
        clean_start: bool,
        session_s: u32,
        input: &'b mut [u8],
    ) -> Result<Connection<'b, Stream<'a, S>>, Fault> {
        let network = self.system.network();
        let address = self.address;
        let greeting = Connect {
            client,
            clean_start,
            session_s,
            keepalive_s: self.keepalive_s,
            packet_bytes: input.len() as u32,
            receive_maximum: UNDER_WAY,
        };
        let connection = with_timeout(CONNECT, async move {
            network.configured().await;
            let host = match address.host.parse() {
                Ok(host) => IpAddr::V4(host),
                Err(_) => network.get_host_by_name(&address.host, AddrType::IPv4).await.map_err(|_| Fault::Name)?,
            };
            let stream = network.connect(SocketAddr::new(host, address.port)).await.map_err(|_| Fault::Unreachable)?;
            Connection::open(stream, input, greeting).await
        });
        let connection = connection.await.unwrap_or(Err(Fault::Silent))?;
        kernel::println!("collect: connected to the {} broker {}", self.role, self.address);
        self.since = Some(Instant::now());
        self.connections += 1;
        Ok(connection)
    }

    /// Whether there has been no connection yet.
    pub(crate) fn is_new(&self) -> bool {
        self.connections == 0
    }

    /// Whether there has been a connection before the present one.
    pub(crate) fn again(&self) -> bool {
        self.connections > 1
    }

    /// Says why there is no connection and waits before the next attempt: twice as long each time, and not exactly, so
    /// that many clients of a broker that went away do not all return at once.
    pub(crate) async fn pause(&mut self, fault: Fault) {
        if self.since.take().is_some_and(|since| since.elapsed() >= GOOD) {
            self.next_pause_ms = FIRST_PAUSE_MS;
        }
        let pause_ms = jitter(self.next_pause_ms, self.system);
        kernel::println!("collect: {} broker {}: {}; again in {pause_ms} ms", self.role, self.address, fault.text());
        self.next_pause_ms = (self.next_pause_ms * 2).min(LONGEST_PAUSE_MS);
        Timer::after(Duration::from_millis(pause_ms.into())).await;
    }
}

/// Between half of a pause and all of it.
fn jitter(pause_ms: u32, system: &impl System) -> u32 {
    let mut random = [0; 4];
    system.random(&mut random);
    let half = pause_ms / 2;
    half + u32::from_le_bytes(random) % (half + 1)
}

#[cfg(test)]
mod tests;
