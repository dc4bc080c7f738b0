//! Summaries: how many readings each sensor of the feed has, the smallest and the largest, their mean and variance, and the
//! quantiles that are asked for.
//!
//! Keeps no more of the readings than finds room, so that a feed may be as long as it likes.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod sketch;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use kernel::Fed;
use kernel::feed::{self, Item};
use kernel::nodes::MAX_BYTES;
use postcard_schema::Schema;
use readings::{Room, SensorReport, Statistics, number};
use serde::{Deserialize, Serialize};
use sketch::Sketch;

/// The most quantiles.
const QUANTILES_MAX: usize = 16;
/// So many readings of a sensor are all kept, and quantiles exact, as long as there are few sensors.
const KEPT_MAX: usize = 4096;
/// So many readings are kept of all sensors together, 24 bytes each: those of 16 sensors, 64 of each of the most sensors
/// that a feed may have.
const KEPT_TOGETHER: usize = 64 * 1024;
/// What a sensor and a quantile of it have of the report, beside texts.
const SENSOR_BYTES: usize = 10 + 4 * 8 + 1;
const QUANTILE_BYTES: usize = 8 + 8 + 10;
/// What else the report has.
const HEAD_BYTES: usize = 6 * 10;

/// What the task is told.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// The quantiles of each sensor's readings, from 0 to 1: quantiles=0.5,0.99
    pub quantiles: Option<Vec<f64>>,
}

/// What the feed had.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// All readings.
    pub readings: u64,
    /// Of these, values that are infinite, not a number or beyond 1e30, which count nowhere else.
    pub implausible: u64,
    /// Readings that the feed left out, as far as it knows.
    pub left_out: u64,
    /// Each sensor with readings.
    pub sensors: Vec<Sensor>,
    /// The names of sensors without any.
    pub silent: Vec<String>,
    /// How many sensors found no room in the report.
    pub unreported: u32,
}

/// A sensor with readings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct Sensor {
    /// Their statistics.
    pub statistics: SensorReport,
    /// The quantiles that were asked for, in that order.
    pub quantiles: Vec<Quantile>,
}

/// The smallest reading that at least a fraction of all does not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct Quantile {
    /// The fraction.
    pub fraction: f64,
    /// The reading.
    pub value: f64,
    /// By how many places, in the order of all readings, it may be off; 0 when it is exact.
    pub off_by: u64,
}

/// Why there is no summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Too many quantiles, or one of a fraction that is none.
    Quantiles,
    /// There is no whole feed.
    Feed(feed::Error),
}

/// What is known of a sensor.
struct Known {
    name: String,
    unit: String,
    /// As soon as there is a reading.
    statistics: Option<Statistics>,
    sketch: Sketch,
}

/// The task.
///
/// # Errors
/// The parameters are wrong, or there is no whole feed.
pub async fn run(Parameters { quantiles }: Parameters, system: &impl Fed) -> Result<Report, Error> {
    let fractions = fractions(quantiles)?;
    let mut feed = system.feed().await?;
    let mut sensors: Vec<Known> = Vec::new();
    let (mut implausible, mut left_out) = (0, 0);
    while let Some(item) = feed.next().await? {
        match item {
            Item::Sensor(new) => {
                let room = KEPT_MAX.min(KEPT_TOGETHER / (sensors.len() + 1).next_power_of_two());
                sensors.iter_mut().for_each(|sensor| sensor.sketch.restrict(room));
                let (name, unit) = (new.name.to_string(), new.unit.to_string());
                sensors.push(Known { name, unit, statistics: None, sketch: Sketch::new(room) });
            }
            Item::Readings(sensor, readings) => {
                for value in readings.iter().map(|reading| reading.value) {
                    match number::is_plausible(value) {
                        true => sensors[sensor].take(value, !fractions.is_empty()),
                        false => implausible += 1,
                    }
                }
            }
            Item::Gap(gap) => left_out = u64::saturating_add(left_out, gap.readings),
        }
    }
    let mut report = Report { readings: feed.readings(), implausible, left_out, ..Report::default() };
    let mut room = Room::new(MAX_BYTES - HEAD_BYTES);
    sensors.into_iter().for_each(|sensor| sensor.report(&fractions, &mut room, &mut report));
    Ok(report)
}

/// The fractions whose quantiles are asked for.
fn fractions(quantiles: Option<Vec<f64>>) -> Result<Vec<f64>, Error> {
    let fractions = quantiles.unwrap_or_default();
    let fit = fractions.len() <= QUANTILES_MAX && fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction));
    if fit { Ok(fractions) } else { Err(Error::Quantiles) }
}

impl Known {
    /// Takes a reading.
    fn take(&mut self, value: f64, is_kept: bool) {
        match &mut self.statistics {
            Some(statistics) => statistics.push(value),
            None => self.statistics = Some(Statistics::of(value)),
        }
        if is_kept {
            self.sketch.push(value);
        }
    }

    /// Takes its place in the report, if there is one left.
    fn report(mut self, fractions: &[f64], room: &mut Room, report: &mut Report) {
        let bytes = SENSOR_BYTES + QUANTILE_BYTES * fractions.len();
        match self.statistics {
            Some(statistics) if room.take(&[&self.name, &self.unit], bytes) => {
                let quantiles = fractions.iter().filter_map(|fraction| {
                    let sketch::Answer { value, off_by } = self.sketch.quantile(*fraction)?;
                    Some(Quantile { fraction: *fraction, value, off_by })
                });
                let quantiles = quantiles.collect();
                let statistics = SensorReport::new(self.name, self.unit, &statistics);
                report.sensors.push(Sensor { statistics, quantiles });
            }
            None if room.take(&[&self.name], 0) => report.silent.push(self.name),
            _ => report.unreported += 1,
        }
    }
}

impl From<feed::Error> for Error {
    fn from(error: feed::Error) -> Self {
        Self::Feed(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantiles => write!(formatter, "quantiles: {QUANTILES_MAX} numbers from 0 to 1 at most"),
            Self::Feed(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for Error {}
