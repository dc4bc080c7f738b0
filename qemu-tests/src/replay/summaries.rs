//! Receives and decodes the summaries that the task publishes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

use super::Figures;

/// How long the broker may take to accept the subscription.
const PATIENCE: Duration = Duration::from_secs(10);

/// A decoded summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The sensor's name.
    pub sensor: String,
    /// The unit, empty when the summary has none.
    pub unit: String,
    /// Start of the window in seconds since 1970.
    pub start_s: i64,
    /// Its length.
    pub window_s: i64,
    /// The task's run.
    pub run: u64,
    /// The summary's number within the run.
    pub sequence: u64,
    /// What the window holds.
    pub figures: Figures,
}

impl Summary {
    /// Decodes a SenML pack as the task writes it.
    ///
    /// # Errors
    /// It is not such a pack.
    pub fn decode(payload: &[u8]) -> Result<Self> {
        let pack: Vec<BTreeMap<String, Value>> = serde_json::from_slice(payload).context("not a pack")?;
        let base = pack.first().context("an empty pack")?;
        let name = base.get("bn").and_then(Value::as_str).context("no base name")?;
        let sensor = name.strip_suffix('/').context("the base name does not end in a slash")?;
        let start_s = base.get("bt").and_then(Value::as_i64).context("no base time in whole seconds")?;
        let record = |name: &str| {
            let mut records = pack.iter().filter(|record| record.get("n").and_then(Value::as_str) == Some(name));
            let record = records.next().with_context(|| format!("no {name}"))?;
            ensure!(records.next().is_none(), "more than one {name}");
            Ok(record)
        };
        let number =
            |name: &str| record(name)?.get("v").and_then(Value::as_f64).with_context(|| format!("{name} has no value"));
        let whole =
            |name: &str| record(name)?.get("v").and_then(Value::as_u64).with_context(|| format!("{name} is not whole"));
        let unit = |name: &str| {
            Ok::<_, anyhow::Error>(record(name)?.get("u").and_then(Value::as_str).unwrap_or_default().to_owned())
        };
        ensure!((unit("window")?, unit("count")?) == ("s".to_owned(), "count".to_owned()), "wrong units");
        ensure!(unit("minimum")? == unit("mean")? && unit("maximum")? == unit("mean")?, "different units");
        Ok(Self {
            sensor: sensor.to_owned(),
            unit: unit("mean")?,
            start_s,
            window_s: whole("window")? as i64,
            run: whole("run")?,
            sequence: whole("sequence")?,
            figures: Figures {
                count: whole("count")?,
                minimum: number("minimum")?,
                maximum: number("maximum")?,
                mean: number("mean")?,
                variance: number("variance")?,
            },
        })
    }
}

/// A subscription to the summaries at a broker. It reconnects by itself and keeps its session.
pub struct Summaries {
    client: Client,
    incoming: Receiver<Result<Summary>>,
    thread: Option<JoinHandle<()>>,
}

impl Summaries {
    /// Subscribes, and returns when the broker has accepted.
    ///
    /// # Errors
    /// The broker cannot be reached or refuses.
    pub fn subscribe(broker: SocketAddr, filter: &str) -> Result<Self> {
        let mut options =
            MqttOptions::new(format!("cloud-{}", std::process::id()), broker.ip().to_string(), broker.port());
        options.set_clean_session(false);
        let (client, mut connection) = Client::new(options, 10);
        client.subscribe(filter, QoS::AtLeastOnce)?;
        let (sender, incoming) = channel();
        let (accepted, acceptance) = channel();
        let (again, filter) = (client.clone(), filter.to_owned());
        let thread = std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        // Only the first one is waited for.
                        let _ = accepted.send(());
                    }
                    Ok(Event::Incoming(Packet::ConnAck(ack))) if !ack.session_present => {
                        // A broker that has forgotten us has forgotten the subscription as well. When there is no room
                        // for the request, the first one is still waiting.
                        let _ = again.try_subscribe(&filter, QoS::AtLeastOnce);
                    }
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let summary = Summary::decode(&publish.payload).with_context(|| {
                            format!("{}: {}", publish.topic, String::from_utf8_lossy(&publish.payload))
                        });
                        if sender.send(summary).is_err() {
                            return;
                        }
                    }
                    Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
                    Ok(_) => {}
                    // The broker is away; the iterator connects again.
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        });
        let subscription = Self { client, incoming, thread: Some(thread) };
        if acceptance.recv_timeout(PATIENCE).is_err() {
            bail!("{broker} did not accept a subscription within {PATIENCE:?}");
        }
        Ok(subscription)
    }

    /// The next summary, or `None` when none comes within `patience`.
    ///
    /// # Errors
    /// What came is no summary.
    pub fn next(&self, patience: Duration) -> Result<Option<Summary>> {
        match self.incoming.recv_timeout(patience) {
            Ok(summary) => summary.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the subscription has ended"),
        }
    }

    /// Summaries until there are `windows` different ones (a repeat has the same run and sequence number), at most
    /// until `patience` is over.
    ///
    /// # Errors
    /// What came is no summary.
    pub fn collect(&self, windows: usize, patience: Duration) -> Result<Vec<Summary>> {
        let deadline = Instant::now() + patience;
        let mut summaries: Vec<Summary> = vec![];
        let mut different = std::collections::BTreeSet::new();
        while different.len() < windows {
            let Some(summary) = self.next(deadline.saturating_duration_since(Instant::now()))? else { break };
            different.insert((summary.run, summary.sequence));
            summaries.push(summary);
        }
        Ok(summaries)
    }
}

impl Drop for Summaries {
    fn drop(&mut self) {
        if self.client.disconnect().is_ok()
            && let Some(thread) = self.thread.take()
        {
            // It ends with the connection. A panic there has been printed.
            let _ = thread.join();
        }
    }
}
