//! A connection to a broker: its address, its set-up, and when to try again.

mod dialect;
mod pauses;

use alloc::string::String;
use core::fmt;

use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_nal_async::TcpConnect;
use kernel::net::connect;
use kernel::{Networked, System};

use crate::connection::UNDER_WAY;
use crate::packet::Version;
use crate::reason::Reason;
use crate::tls;
use crate::write::Connect;
use crate::{Connection, Fault, Session};
use dialect::Dialect;
use pauses::Pauses;

/// How long an address, a name and a connection may take together, and then the broker's greeting.
const CONNECT: Duration = Duration::from_secs(10);
const GREETING: Duration = Duration::from_secs(10);

/// The text of the message that the broker publishes when we disappear.
pub const GONE: &str = "offline";

/// The connection type of a system's network.
pub type Stream<'n, S> = <<S as Networked>::Network as TcpConnect>::Connection<'n>;

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The port for MQTT without TLS.
    const PORT: u16 = 1883;

    /// Longest name in DNS.
    const HOST_BYTES: usize = 253;

    /// Reads `host:port` or `host`.
    pub fn parse(text: &str) -> Option<Self> {
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

/// A broker, and as whom we speak to it.
#[derive(Clone)]
pub struct Broker {
    /// The task's name, for messages.
    pub task: &'static str,
    /// What the broker is to the task, `source` for example, for messages.
    pub role: &'static str,
    /// Where it is.
    pub address: Address,
    /// Our name there.
    pub client: String,
    /// User name and password.
    pub login: Option<(String, Option<String>)>,
    /// The topic of the message that the broker publishes when we disappear.
    pub will: Option<String>,
    /// How long the broker keeps the session while we are away; none is wanted where this is 0.
    pub session_s: u32,
    /// How long both sides may be silent.
    pub keepalive_s: u16,
}

/// The way to one broker, over as many connections as it takes.
pub struct Link<'a, S> {
    broker: &'a Broker,
    system: &'a S,
    pauses: Pauses,
    since: Option<Instant>,
    connections: u32,
    dialect: Dialect,
    /// Whether the broker may have a session of this run.
    has_session: bool,
    /// Whether it had one before.
    finds_session: bool,
}

impl<'a, S: Networked> Link<'a, S> {
    /// The way to this broker, with nothing known of it yet.
    pub fn new(broker: &'a Broker, system: &'a S) -> Self {
        let dialect = Dialect::new();
        let (has_session, finds_session) = (false, false);
        let pauses = Pauses::new();
        Self { broker, system, pauses, since: None, connections: 0, dialect, has_session, finds_session }
    }

    /// Tries once to connect, and to go on with the session of before if one is wanted. `input` takes the largest
    /// packet that is looked at.
    pub async fn connect<'b>(
        &mut self,
        session: &'b mut Session,
        input: &'b mut [u8],
    ) -> Result<Connection<'b, Stream<'a, S>>, Fault> {
        let network = self.system.network();
        let broker = self.broker;
        let version = self.dialect.version();
        let greeting = Connect {
            version,
            client: &broker.client,
            login: broker.login.as_ref().map(|(user, password)| (user.as_str(), password.as_deref())),
            will: broker.will.as_deref().map(|topic| (topic, GONE)),
            clean_start: broker.session_s == 0,
            session_s: broker.session_s,
            keepalive_s: broker.keepalive_s,
            receive_maximum: UNDER_WAY,
        };
        let Address { host, port } = &broker.address;
        let stream = connect(network, host, *port, CONNECT).await.map_err(Fault::NotConnected)?;
        let greeted = with_timeout(GREETING, Connection::open(stream, input, session, greeting)).await;
        let connection = match greeted.unwrap_or(Err(Fault::Silent)) {
            Ok(connection) => connection,
            Err(Fault::Unanswered) if !self.dialect.is_known() && self.is_tls().await => return Err(Fault::Tls),
            Err(fault) => {
                self.dialect.failed(fault);
                return Err(fault);
            }
        };
        if !self.dialect.answered() {
            self.has_session = true;
            connection.close(None).await;
            return Err(Fault::Older);
        }
        let note = if version == Version::V5 { "" } else { " (MQTT 3.1.1)" };
        kernel::println!("{}: connected to the {} broker {}{note}", broker.task, broker.role, broker.address);
        self.since = Some(Instant::now());
        self.connections += 1;
        self.finds_session = connection.is_resumed() && !self.has_session;
        self.has_session = true;
        Ok(connection)
    }

    /// Whether the port speaks TLS.
    async fn is_tls(&self) -> bool {
        let Address { host, port } = &self.broker.address;
        match connect(self.system.network(), host, *port, CONNECT).await {
            Ok(stream) => with_timeout(GREETING, tls::speaks(stream)).await.unwrap_or(false),
            Err(_) => false,
        }
    }

    /// Whether there has been a connection before the present one.
    pub fn again(&self) -> bool {
        self.connections > 1
    }

    /// Whether the session of the present connection is one of an earlier run.
    pub fn finds_session(&self) -> bool {
        self.finds_session
    }

    /// Says why there is no connection and waits before the next attempt, not exactly as long as `pauses` has it, so
    /// that many clients of a broker that went away do not all return at once. A broker that asks for the older version
    /// need not wait for it.
    pub async fn pause(&mut self, fault: Fault) {
        let Broker { task, role, address, .. } = self.broker;
        if fault == Fault::Refused(Reason::VERSION) && self.dialect.version() == Version::V311 {
            return kernel::println!("{task}: {role} broker {address}: {fault}; it is spoken to in 3.1.1");
        }
        let lasted = self.since.take().map(|since| since.elapsed());
        let pause_ms = jitter(self.pauses.after(fault, lasted), self.system);
        kernel::println!("{task}: {role} broker {address}: {fault}; again in {pause_ms} ms");
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
