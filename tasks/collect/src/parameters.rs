//! The task's parameters, and what they mean where one is left out.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use embassy_time::Duration;
use kernel::System;
use mqtt::routes::{self, Route, Routes};
use mqtt::{Address, Broker};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::window::Times;

/// The task's parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// The broker next to the sensors, `host:port` or `host` (port 1883); the host is an address or a name.
    pub source: String,
    /// The broker in the cloud, in the same form.
    pub cloud: String,
    /// What to take at the source: topic filters of SenML packs, such as `sensors/#`, or templates with a format before
    /// them, such as `json:zigbee2mqtt/{name}`, `influx:telegraf/#` or `number:home/{name}/{kind}?unit=Cel`.
    pub topics: Vec<String>,
    /// User name at the source.
    pub source_user: Option<String>,
    /// Password at the source; it needs a user name.
    pub source_password: Option<String>,
    /// User name in the cloud.
    pub cloud_user: Option<String>,
    /// Password in the cloud; it needs a user name.
    pub cloud_password: Option<String>,
    /// Length of a window in seconds; 3600 when left out.
    pub window_s: Option<u32>,
    /// How long after its end a window waits for readings that come late, in seconds; 60, or the window's length if
    /// that is less, when left out. At most 60 windows.
    pub grace_s: Option<u32>,
    /// How far in the future a reading may be, in seconds; 300 when left out. Clocks that are further ahead are wrong.
    pub ahead_s: Option<u32>,
    /// End when this many numeric readings have come; the message that holds the last one is taken whole.
    pub readings: Option<u32>,
    /// End when a message comes on this topic of the source broker. Retained ones do not count.
    pub end: Option<String>,
    /// Summaries go to this topic, a slash and the sensor's name; `summaries` when left out.
    pub summaries: Option<String>,
    /// A topic in the cloud that says whether the task is there, `online` or `offline`, retained. The cloud's broker is
    /// asked to say `offline` if the task disappears (MQTT's will).
    pub status: Option<String>,
    /// MQTT client identifier at the source; `collect-` and eight random hex digits when left out. At the cloud
    /// `-cloud` is appended, so that both may be the same broker. With a name, a run goes on with the session of the
    /// one before: what has waited at the source since then, for an hour at most, is taken.
    pub client: Option<String>,
    /// The most series to keep statistics of, each a sensor's name and unit; 64 when left out. Each takes some 350
    /// bytes of memory.
    pub sensors: Option<u32>,
    /// The most summaries that may wait for the cloud; 1024 when left out. Each takes some 100 bytes of memory.
    pub queue: Option<u32>,
    /// MQTT keepalive in seconds; 30 when left out. A broker that is silent for half as long again is
    /// given up.
    pub keepalive_s: Option<u32>,
    /// How long to wait at the end for the delivery of the last summaries, in seconds; 30 when left out.
    pub drain_s: Option<u32>,
}

/// The parameters, checked and complete.
pub(crate) struct Settings {
    pub(crate) source: Broker,
    pub(crate) cloud: Broker,
    pub(crate) routes: Routes,
    pub(crate) end: Option<String>,
    pub(crate) summaries: String,
    pub(crate) readings: Option<u32>,
    pub(crate) times: Times,
    pub(crate) sensors: u16,
    pub(crate) queue: usize,
    pub(crate) drain: Duration,
    /// The session at the source is for the next run, unless this one comes to its end.
    pub(crate) keeps_session: bool,
    /// Tells this run's summaries from another's.
    pub(crate) run: u32,
}

/// How long the source keeps the session for us while we are away. It is given back at a regular end; after a crash it
/// must not fill the broker for ever.
const SESSION_S: u32 = 3600;

/// Every broker must accept identifiers of 23 bytes, which the default keeps to; many accept more.
const CLIENT_BYTES: usize = 64 - CLOUD_SUFFIX.len();
const CLOUD_SUFFIX: &str = "-cloud";

/// Longest topic, so that a summary with its sensor's name fits the client's buffer.
const TOPIC_BYTES: usize = 256;

/// The most sensors and summaries that a guest has memory for in theory; what it has in practice is its config's
/// matter.
const SENSORS: u32 = 50_000;
const QUEUE: u32 = 65_000;

impl Settings {
    pub(crate) fn new(parameters: Parameters, system: &impl System) -> Result<Self, Error> {
        let mut random = [0; 8];
        system.random(&mut random);
        let [run, name] =
            [0, 4].map(|at| u32::from_le_bytes([random[at], random[at + 1], random[at + 2], random[at + 3]]));
        let keeps_session = parameters.client.is_some();
        let client = parameters.client.unwrap_or_else(|| format!("collect-{name:08x}"));
        let summaries = parameters.summaries.unwrap_or_else(|| String::from("summaries"));
        check_text("client", &client, CLIENT_BYTES, b"")?;
        check_text("summaries", &summaries, TOPIC_BYTES, b"+#")?;
        for (key, topic) in [("end", &parameters.end), ("status", &parameters.status)] {
            if let Some(topic) = topic {
                check_text(key, topic, TOPIC_BYTES, b"+#")?;
            }
        }
        let keepalive_s = in_range("keepalive_s", parameters.keepalive_s, 30, 1..=u16::MAX.into())? as u16;
        let source = Broker {
            task: "collect",
            role: "source",
            address: Address::parse(&parameters.source).ok_or(Error::Address("source"))?,
            client: client.clone(),
            login: login(["source_user", "source_password"], parameters.source_user, parameters.source_password)?,
            will: None,
            session_s: SESSION_S,
            keepalive_s,
        };
        let cloud = Broker {
            task: "collect",
            role: "cloud",
            address: Address::parse(&parameters.cloud).ok_or(Error::Address("cloud"))?,
            client: format!("{client}{CLOUD_SUFFIX}"),
            login: login(["cloud_user", "cloud_password"], parameters.cloud_user, parameters.cloud_password)?,
            will: parameters.status.clone(),
            session_s: 0,
            keepalive_s,
        };
        if !(1..=routes::MOST).contains(&parameters.topics.len()) {
            return Err(Error::Topics);
        }
        let route = |topic: &String| Route::parse(topic).map_err(|what| Error::Topic(topic.clone(), what));
        let taken = parameters.topics.iter().map(route).collect::<Result<_, _>>()?;
        let own = [summaries.clone()].into_iter().chain(parameters.status).collect();
        let routes = Routes::new(taken, parameters.end.as_deref(), own);
        if let Some(filter) = routes.naming_own().filter(|_| source.address == cloud.address) {
            return Err(Error::Loop(String::from(filter)));
        }
        let window_s = in_range("window_s", parameters.window_s, 3600, 1..=u32::MAX)?;
        Ok(Self {
            source,
            cloud,
            routes,
            end: parameters.end,
            summaries,
            readings: parameters.readings,
            times: Times {
                window_s,
                grace_s: in_range("grace_s", parameters.grace_s, window_s.min(60), 0..=window_s.saturating_mul(60))?,
                ahead_s: in_range("ahead_s", parameters.ahead_s, 300, 0..=u32::MAX)?,
            },
            sensors: in_range("sensors", parameters.sensors, 64, 1..=SENSORS)? as u16,
            queue: in_range("queue", parameters.queue, 1024, 1..=QUEUE)? as usize,
            drain: Duration::from_secs(in_range("drain_s", parameters.drain_s, 30, 1..=u32::MAX)?.into()),
            keeps_session,
            run,
        })
    }
}

impl Settings {
    /// Takes the name that an earlier run had, which goes on.
    pub(crate) fn rename(&mut self, client: &str) {
        self.source.client = String::from(client);
        self.cloud.client = format!("{client}{CLOUD_SUFFIX}");
    }
}

/// User name and password, which must fit MQTT's strings.
fn login(
    keys: [&'static str; 2],
    user: Option<String>,
    password: Option<String>,
) -> Result<Option<(String, Option<String>)>, Error> {
    for (key, text) in keys.iter().zip([&user, &password]) {
        if text.as_ref().is_some_and(|text| text.len() > TOPIC_BYTES) {
            return Err(Error::Text(key));
        }
    }
    match (user, password) {
        (Some(user), password) => Ok(Some((user, password))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::Login(keys[0])),
    }
}

fn check_text(key: &'static str, text: &str, longest: usize, forbidden: &[u8]) -> Result<(), Error> {
    let fits = (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte != 0 && !forbidden.contains(&byte));
    if fits { Ok(()) } else { Err(Error::Text(key)) }
}

/// A number in a range.
fn in_range(key: &'static str, given: Option<u32>, default: u32, range: RangeInclusive<u32>) -> Result<u32, Error> {
    let number = given.unwrap_or(default);
    if range.contains(&number) { Ok(number) } else { Err(Error::Range(key, range)) }
}

#[cfg(test)]
pub(crate) mod tests;
