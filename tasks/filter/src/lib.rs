//! Computes statistics of readings in the body of an HTTP answer, of any length, while it arrives.
//!
//! The data's way: `head` reads the head of the answer, `body` finds the body in what follows, [`lines`] reads the
//! lines in it, each a sensor's name, a comma and a number, and keeps count, extremes, mean and variance. All of
//! it happens where the data lies in the connection's buffer. Memory does not grow with the body.
//!
//! Read [`lines`] first.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod body;
mod error;
mod fetch;
mod head;
mod url;

pub use error::Error;

use alloc::string::String;
use alloc::vec::Vec;

use embassy_futures::select::{Either, select};
use embassy_time::Instant;
use kernel::Networked;
use postcard_schema::Schema;
use readings::Statistics;
use serde::{Deserialize, Serialize};

use lines::Lines;
use url::Url;

/// How many sensors are kept if the parameters do not say, and the most that they may say.
const DEFAULT_SENSORS: u32 = 64;
const MOST_SENSORS: u32 = 4096;

/// The task's parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// What to fetch, `http://host[:port]/path`; the host is an address or a name.
    pub url: String,
    /// The most sensors to keep statistics of; 64 when left out. Each takes some 200 bytes of memory.
    pub sensors: Option<u32>,
}

/// What the task reports at its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// Whether the body was read to its end; not if the task was asked to end before.
    pub complete: bool,
    /// Length of the body, as far as it was read.
    pub bytes: u64,
    /// Readings in it, those of sensors above the limit included.
    pub readings: u64,
    /// Of these, the ones of sensors above the limit, which are in no statistics.
    pub over_limit: u64,
    /// Lines that are no reading, empty ones not counted.
    pub malformed: u64,
    /// From the request to the end of the body.
    pub elapsed_ms: u64,
    /// The sensors, in the order in which they were first seen.
    pub sensors: Vec<SensorReport>,
}

/// Statistics of a sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct SensorReport {
    /// Its name.
    pub name: String,
    /// How many readings there were.
    pub count: u64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// Their mean.
    pub mean: f64,
    /// Their variance, divided by the count.
    pub variance: f64,
}

impl SensorReport {
    fn new((name, statistics): (String, Statistics)) -> Self {
        Self {
            name,
            count: statistics.count(),
            minimum: statistics.minimum(),
            maximum: statistics.maximum(),
            mean: statistics.mean(),
            variance: statistics.variance(),
        }
    }
}

/// Fetches the URL and computes the statistics of what is there, until its end or until the platform asks to stop.
///
/// # Errors
/// The parameters cannot be used, or the body cannot be read to its end.
pub async fn run(parameters: Parameters, system: &impl Networked) -> Result<Report, Error> {
    let url = Url::parse(&parameters.url)?;
    let most = parameters.sensors.unwrap_or(DEFAULT_SENSORS);
    if !(1..=MOST_SENSORS).contains(&most) {
        return Err(Error::Sensors);
    }
    let mut lines = Lines::new(most as u16);
    let mut bytes = 0;
    let mut start = Instant::now();
    let ended = select(
        fetch::fetch(&url, system, &mut start, |piece| {
            bytes += piece.len() as u64;
            lines.push(piece);
        }),
        system.stop_requested(),
    )
    .await;
    let complete = match ended {
        Either::First(fetched) => fetched.map(|()| true)?,
        Either::Second(_) => false,
    };
    lines.finish();
    let Lines { sensors, readings, over_limit, malformed, .. } = lines;
    let sensors = sensors.into_statistics().map(SensorReport::new).collect();
    Ok(Report { complete, bytes, readings, over_limit, malformed, elapsed_ms: start.elapsed().as_millis(), sensors })
}
