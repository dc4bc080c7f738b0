//! Results by MQTT: a connection for each, which ends when the broker has acknowledged it.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use protocol::{Document, Report};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Packet, Publish};
use rumqttc::mqttbytes::{Error, QoS};
use tls::rustls::pki_types::ServerName;
use tls::rustls::{ClientConnection, StreamOwned};

use crate::Config;

/// The largest packet: a report, and what is around it.
const MOST_BYTES: usize = Report::MOST_BYTES + 64 * 1024;
/// The number of the one message of a connection.
const MESSAGE: u16 = 1;

/// A broker.
#[derive(Debug)]
pub(super) struct Broker {
    host: String,
    port: u16,
    tls: Option<tls::Client>,
    client: String,
}

impl Broker {
    /// The broker at an address as the config has it.
    pub(super) fn at(address: &str, config: &Config) -> Result<Self, String> {
        let wrong = || format!("broker = \"{address}\" in the config is not mqtts://host:port, nor mqtt://host:port");
        let (scheme, place) = address.split_once("://").unwrap_or(("mqtt", address));
        let tls = match scheme {
            "mqtt" => None,
            "mqtts" => Some(config.tls()),
            _ => return Err(wrong()),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let client = format!("spored-{}", config.node_name()?);
        Ok(Self { host, port: port.parse().map_err(|_| wrong())?, tls, client })
    }

    /// Publishes with QoS 1 and waits for the acknowledgement.
    pub(super) fn publish(&self, topic: &str, content: Vec<u8>, patience: Duration) -> Result<(), String> {
        let failed = |reason: &dyn Display| format!("the broker {}:{}: {reason}", self.host, self.port);
        let stream = self.connect(Instant::now() + patience).map_err(|error| failed(&error))?;
        let published = match &self.tls {
            None => self.exchange(stream, topic, content),
            Some(client) => {
                let config = client.config().map_err(|error| failed(&error))?;
                let name = ServerName::try_from(self.host.clone()).map_err(|error| failed(&error))?;
                let session = ClientConnection::new(config, name).map_err(|error| failed(&error))?;
                self.exchange(StreamOwned::new(session, stream), topic, content)
            }
        };
        published.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => failed(&"it has not acknowledged in time"),
            io::ErrorKind::UnexpectedEof => failed(&"it has ended the connection"),
            _ => failed(&tls::of(&error)),
        })
    }

    fn connect(&self, deadline: Instant) -> io::Result<Deadlined> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => return Ok(Deadlined { stream, deadline }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn exchange(&self, mut stream: impl Read + Write, topic: &str, content: Vec<u8>) -> io::Result<()> {
        let mut received = BytesMut::new();
        send(&mut stream, &Packet::Connect(Connect::new(&self.client)))?;
        match receive(&mut stream, &mut received)? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => {}
            Packet::ConnAck(answer) => return Err(io::Error::other(format!("it answers {:?}", answer.code))),
            _ => return Err(io::Error::other("it does not answer as a broker")),
        }
        let mut message = Publish::new(topic, QoS::AtLeastOnce, content);
        message.pkid = MESSAGE;
        send(&mut stream, &Packet::Publish(message))?;
        // Nothing was subscribed to; what comes all the same is passed over.
        while !matches!(receive(&mut stream, &mut received)?, Packet::PubAck(answer) if answer.pkid == MESSAGE) {}
        // It is there: whether the farewell arrives matters to nobody.
        drop(send(&mut stream, &Packet::Disconnect));
        Ok(())
    }
}

fn send(stream: &mut impl Write, packet: &Packet) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, MOST_BYTES).map_err(io::Error::other)?;
    stream.write_all(&bytes)?;
    stream.flush()
}

fn receive(stream: &mut impl Read, received: &mut BytesMut) -> io::Result<Packet> {
    loop {
        match Packet::read(received, MOST_BYTES) {
            Ok(packet) => return Ok(packet),
            Err(Error::InsufficientBytes(_)) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
        let mut piece = [0; 1024];
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => received.extend_from_slice(&piece[..length]),
        }
    }
}

/// A stream on which all that is done is done before the deadline, however slowly the other side sends.
struct Deadlined {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Deadlined {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(bytes)
    }
}

impl Write for Deadlined {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The time until the deadline, which is never none at all.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
