//! Summaries: how many readings each sensor of the feed has, the smallest and the largest, their mean and variance.
//!
//! Keeps no reading, so that a feed may be as long as it likes.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use kernel::Fed;
use kernel::feed::{Error, Item};
use postcard_schema::Schema;
use readings::{SensorReport, Statistics};
use serde::{Deserialize, Serialize};

/// There is nothing to tell it.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub struct Parameters {}

/// What the feed had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// All readings.
    pub readings: u64,
    /// Of these, values that are infinite or not a number, which count nowhere else.
    pub not_finite: u64,
    /// Readings that the feed left out, as far as it knows.
    pub left_out: u64,
    /// Each sensor with readings.
    pub sensors: Vec<SensorReport>,
    /// The names of sensors without any.
    pub silent: Vec<String>,
}

/// A sensor: its name, its unit, and the statistics of its readings as soon as there is one.
struct Sensor(String, String, Option<Statistics>);

/// The task.
///
/// # Errors
/// Why there is no whole feed.
pub async fn run(_: Parameters, system: &impl Fed) -> Result<Report, Error> {
    let mut feed = system.feed().await?;
    let mut sensors: Vec<Sensor> = Vec::new();
    let (mut not_finite, mut left_out) = (0, 0);
    while let Some(item) = feed.next().await? {
        match item {
            Item::Sensor(new) => sensors.push(Sensor(new.name.to_string(), new.unit.to_string(), None)),
            Item::Readings(sensor, readings) => {
                let statistics = &mut sensors[sensor].2;
                for value in readings.iter().map(|reading| reading.value) {
                    match statistics {
                        _ if !value.is_finite() => not_finite += 1,
                        Some(statistics) => statistics.push(value),
                        None => *statistics = Some(Statistics::of(value)),
                    }
                }
            }
            Item::Gap(gap) => left_out += gap.readings,
        }
    }
    let mut report =
        Report { readings: feed.readings(), not_finite, left_out, sensors: Vec::new(), silent: Vec::new() };
    for Sensor(name, unit, statistics) in sensors {
        match statistics {
            Some(statistics) => report.sensors.push(SensorReport::new(name, unit, &statistics)),
            None => report.silent.push(name),
        }
    }
    Ok(report)
}
