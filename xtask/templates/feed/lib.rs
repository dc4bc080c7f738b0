//! {name}: the highest of the readings that it is fed with, and how many are above a limit.

#![no_std]
#![forbid(unsafe_code)]

use kernel::Fed;
use kernel::feed::{Error, Item};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// What the task is told.
#[derive(Deserialize, Schema)]
pub struct Parameters {
    /// An Option may be left out.
    pub limit: Option<f64>,
}

/// What the task found.
#[derive(Debug, PartialEq, Serialize, Schema)]
pub struct Report {
    /// The highest reading of all sensors.
    pub highest: f64,
    /// How many are above the limit.
    pub above_limit: u32,
}

/// The task.
///
/// # Errors
/// The feed has no end.
pub async fn run(parameters: Parameters, system: &impl Fed) -> Result<Report, Error> {
    let limit = parameters.limit.unwrap_or(f64::INFINITY);
    let mut report = Report { highest: f64::NEG_INFINITY, above_limit: 0 };
    let mut feed = system.feed().await?;
    while let Some(item) = feed.next().await? {
        match item {
            Item::Sensor(sensor) => kernel::println!("{} is a sensor", sensor.name),
            Item::Readings(_, readings) => {
                for reading in readings.iter() {
                    report.highest = report.highest.max(reading.value);
                    report.above_limit += u32::from(reading.value > limit);
                }
            }
            Item::Gap(gap) => kernel::println!("{} readings are missing: {}", gap.readings, gap.reason),
        }
    }
    Ok(report)
}
