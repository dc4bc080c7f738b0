//! Results by MQTT: a connection for each, which ends when the broker has acknowledged it.

use std::time::{Duration, Instant};

use protocol::{Document, Report};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};

use crate::Config;

/// A broker.
#[derive(Debug)]
pub(super) struct Broker {
    host: String,
    port: u16,
    client: String,
}

impl Broker {
    /// The broker at `host:port`.
    pub(super) fn at(address: &str, config: &Config) -> Result<Self, String> {
        let wrong = || format!("broker = \"{address}\" in the config is not host:port");
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let client = format!("spored-{}", config.node_name()?);
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong())?, client })
    }

    /// Publishes with QoS 1 and waits for the acknowledgement.
    pub(super) fn publish(&self, topic: &str, content: Vec<u8>, patience: Duration) -> Result<(), String> {
        let failed = |reason: &dyn std::fmt::Display| format!("the broker {}:{}: {reason}", self.host, self.port);
        let mut options = MqttOptions::new(&self.client, &self.host, self.port);
        options.set_max_packet_size(64 * 1024, Report::MOST_BYTES + 64 * 1024);
        let (client, mut connection) = Client::new(options, 2);
        client.publish(topic, QoS::AtLeastOnce, false, content).map_err(|error| failed(&error))?;
        let deadline = Instant::now() + patience;
        loop {
            let event = connection.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            match event.map_err(|_| failed(&"it has not acknowledged in time"))? {
                Ok(Event::Incoming(Packet::PubAck(_))) => break,
                Ok(_) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        // It is there: whether the farewell arrives matters to nobody.
        drop(client.disconnect());
        while let Ok(Ok(event)) = connection.recv_timeout(Duration::from_secs(1)) {
            if let Event::Outgoing(rumqttc::Outgoing::Disconnect) = event {
                break;
            }
        }
        Ok(())
    }
}
