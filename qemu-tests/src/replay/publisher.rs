//! Publishes messages to a broker as sensors do.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rumqttc::{Client, Event, MqttOptions, Outgoing, Packet, QoS};

use super::Message;

/// How long the broker may take for all of it to be acknowledged once the last message is out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Publishes the messages in their order with QoS 1 and returns when the broker has acknowledged all of them.
///
/// `before` is called before each message, with how many have gone before it: to show progress, or to set a pace.
///
/// # Errors
/// The broker cannot be reached, goes away, or does not acknowledge.
pub fn publish(broker: SocketAddr, messages: &[Message], mut before: impl FnMut(usize, &Message) + Send) -> Result<()> {
    let mut options =
        MqttOptions::new(format!("sensors-{}", std::process::id()), broker.ip().to_string(), broker.port());
    options.set_max_packet_size(64 * 1024, 64 * 1024);
    // One request at a time waits in the client, so that `before` keeps step with what is sent.
    let (client, mut connection) = Client::new(options, 1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (sent, message) in messages.iter().enumerate() {
                before(sent, message);
                // The other thread's end closes the channel; it says why.
                if client.publish(&message.topic, QoS::AtLeastOnce, false, message.payload.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let (mut open, mut acknowledged) = (BTreeSet::new(), 0);
        let mut last = Instant::now();
        while acknowledged < messages.len() {
            match connection.recv_timeout(Duration::from_secs(1)) {
                Ok(Ok(Event::Outgoing(Outgoing::Publish(id)))) => {
                    open.insert(id);
                }
                Ok(Ok(Event::Incoming(Packet::PubAck(ack)))) => acknowledged += usize::from(open.remove(&ack.pkid)),
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => bail!("publishing to {broker}: {error}"),
                Err(_) if last.elapsed() > PATIENCE => {
                    bail!("{broker} acknowledged {acknowledged} messages and then none")
                }
                Err(_) => continue,
            }
            last = Instant::now();
        }
        Ok(())
    })
}
