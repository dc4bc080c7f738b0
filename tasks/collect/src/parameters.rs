//! The task's parameters, and what they mean where one is left out.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use embassy_time::Duration;
use kernel::System;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::link::Address;

/// The task's parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// The broker next to the sensors, `host:port` or `host` (port 1883); the host is an address or a name.
    pub source: String,
    /// The broker in the cloud, in the same form.
    pub cloud: String,
    /// Topic filters to subscribe to at the source, such as `sensors/#`.
    pub topics: Vec<String>,
    /// Length of a window in seconds; 3600 when left out.
    pub window_s: Option<u32>,
    /// End when this many numeric readings have come; the pack that holds the last one is taken whole.
    pub readings: Option<u32>,
    /// End when a message comes on this topic of the source broker. Retained ones do not count.
    pub end: Option<String>,
    /// Summaries go to this topic, a slash and the sensor's name; `summaries` when left out.
    pub summaries: Option<String>,
    /// MQTT client identifier at the source; `collect-` and eight random hex digits when left out. At the cloud
    /// `-cloud` is appended, so that both may be the same broker.
    pub client: Option<String>,
    /// The most sensors to keep statistics of; 64 when left out. Each takes some 300 bytes of memory.
    pub sensors: Option<u32>,
    /// The most summaries that may wait for the cloud; 1024 when left out. Each takes some 100 bytes of memory.
    pub queue: Option<u32>,
    /// MQTT keepalive in seconds; 30 when left out. A broker that is silent for half as long again is
    /// given up.
    pub keepalive_s: Option<u32>,
    /// How long to wait at the end for the delivery of the last summaries, in seconds; 30 when left out.
    pub drain_s: Option<u32>,
}

/// Parameters that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// A broker's address is neither `host` nor `host:port`.
    Address(&'static str),
    /// A number is 0, or larger than may be.
    Range(&'static str, u32),
    /// A text that MQTT does not allow there, or that is too long.
    Text(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Address(key) => write!(f, "parameter \"{key}\" is not host or host:port"),
            Error::Range(key, most) => write!(f, "parameter \"{key}\" must be from 1 to {most}"),
            Error::Text(key) => {
                write!(f, "parameter \"{key}\" is empty, too long, or has a wildcard where none may be")
            }
        }
    }
}

impl core::error::Error for Error {}

/// The parameters, checked and complete.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) source: Address,
    pub(crate) cloud: Address,
    pub(crate) topics: Vec<String>,
    pub(crate) end: Option<String>,
    pub(crate) summaries: String,
    pub(crate) client: String,
    pub(crate) cloud_client: String,
    pub(crate) readings: Option<u32>,
    pub(crate) window_s: u32,
    pub(crate) sensors: u16,
    pub(crate) queue: usize,
    pub(crate) keepalive_s: u16,
    pub(crate) drain: Duration,
    /// Tells this run's summaries from another's.
    pub(crate) run: u32,
}

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
        let client = parameters.client.unwrap_or_else(|| format!("collect-{name:08x}"));
        let summaries = parameters.summaries.unwrap_or_else(|| String::from("summaries"));
        check_text("client", &client, CLIENT_BYTES, b"")?;
        check_text("summaries", &summaries, TOPIC_BYTES, b"+#")?;
        if let Some(end) = &parameters.end {
            check_text("end", end, TOPIC_BYTES, b"+#")?;
        }
        if parameters.topics.is_empty() {
            return Err(Error::Text("topics"));
        }
        for topic in &parameters.topics {
            check_text("topics", topic, TOPIC_BYTES, b"")?;
        }
        Ok(Self {
            source: Address::parse(&parameters.source).ok_or(Error::Address("source"))?,
            cloud: Address::parse(&parameters.cloud).ok_or(Error::Address("cloud"))?,
            topics: parameters.topics,
            end: parameters.end,
            summaries,
            cloud_client: format!("{client}{CLOUD_SUFFIX}"),
            client,
            readings: parameters.readings,
            window_s: in_range("window_s", parameters.window_s, 3600, u32::MAX)?,
            sensors: in_range("sensors", parameters.sensors, 64, SENSORS)? as u16,
            queue: in_range("queue", parameters.queue, 1024, QUEUE)? as usize,
            keepalive_s: in_range("keepalive_s", parameters.keepalive_s, 30, u16::MAX.into())? as u16,
            drain: Duration::from_secs(in_range("drain_s", parameters.drain_s, 30, u32::MAX)?.into()),
            run,
        })
    }
}

fn check_text(key: &'static str, text: &str, longest: usize, forbidden: &[u8]) -> Result<(), Error> {
    let fits = (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte != 0 && !forbidden.contains(&byte));
    if fits { Ok(()) } else { Err(Error::Text(key)) }
}

/// A number from 1 to `most`.
fn in_range(key: &'static str, given: Option<u32>, default: u32, most: u32) -> Result<u32, Error> {
    match given.unwrap_or(default) {
        0 => Err(Error::Range(key, most)),
        number if number > most => Err(Error::Range(key, most)),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests;
