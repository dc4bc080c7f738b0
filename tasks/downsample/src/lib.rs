//! Fewer readings: of each sensor and each interval of time the mean, the smallest and the largest value.
//!
//! Intervals begin at whole multiples of their length since 1970, whenever the first reading comes: so those of two sensors,
//! and of two runs, are the same.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use kernel::Fed;
use kernel::feed::{self, Item, Reading};
use kernel::nodes::MAX_BYTES;
use postcard_schema::Schema;
use readings::{Room, Statistics, number};
use serde::{Deserialize, Serialize};

/// What a sensor has of the report, beside texts, and what an interval of it.
const SENSOR_BYTES: usize = 3;
const ROW_BYTES: usize = 2 * 10 + 3 * 8;
/// What else the report has.
const HEAD_BYTES: usize = 6 * 10;

/// What the task is told.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// How long an interval is, in seconds.
    pub interval_s: u32,
}

/// What the feed had.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// All readings.
    pub readings: u64,
    /// Of these, values that are infinite, not a number or beyond 1e30, which count nowhere else.
    pub implausible: u64,
    /// Readings of intervals that found no room in the report.
    pub unreported: u64,
    /// Readings that the feed left out, as far as it knows.
    pub left_out: u64,
    /// Each sensor with readings.
    pub sensors: Vec<Sensor>,
}

/// A sensor with readings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct Sensor {
    /// Its name.
    pub name: String,
    /// The unit of its readings, empty when none was given.
    pub unit: String,
    /// Intervals with readings, in the order of time.
    pub rows: Vec<Row>,
}

/// An interval with readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct Row {
    /// When it begins, in seconds since 1970.
    pub start_s: i64,
    /// How many readings it has.
    pub count: u64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// Their mean.
    pub mean: f64,
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Intervals of no length.
    Interval,
    /// There is no whole feed.
    Feed(feed::Error),
}

/// What is known of a sensor: its name, its unit, and its intervals in the order of time.
struct Series(String, String, Vec<(i64, Statistics)>);

/// The task.
///
/// # Errors
/// The parameters are wrong, or there is no whole feed.
pub async fn run(Parameters { interval_s }: Parameters, system: &impl Fed) -> Result<Report, Error> {
    if interval_s == 0 {
        return Err(Error::Interval);
    }
    let mut feed = system.feed().await?;
    let (mut sensors, mut report) = (Vec::new(), Report::default());
    let mut room = Room::new(MAX_BYTES - HEAD_BYTES);
    while let Some(item) = feed.next().await? {
        match item {
            Item::Sensor(new) => sensors.push(Series(new.name.to_string(), new.unit.to_string(), Vec::new())),
            Item::Readings(sensor, readings) => {
                for Reading { time_ns, value } in readings.iter() {
                    let interval = time_ns.div_euclid(i64::from(interval_s) * 1_000_000_000);
                    match number::is_plausible(value) {
                        true if sensors[sensor].take(interval, value, &mut room) => {}
                        true => report.unreported += 1,
                        false => report.implausible += 1,
                    }
                }
            }
            Item::Gap(gap) => report.left_out = report.left_out.saturating_add(gap.readings),
        }
    }
    report.readings = feed.readings();
    let with_rows = sensors.into_iter().filter(|Series(.., rows)| !rows.is_empty());
    report.sensors = with_rows.map(|series| series.report(interval_s)).collect();
    Ok(report)
}

impl Series {
    /// Takes a reading of an interval; whether there is room for it.
    fn take(&mut self, interval: i64, value: f64, room: &mut Room) -> bool {
        let Self(name, unit, rows) = self;
        // Most come in the order of time.
        let found = match rows.last() {
            Some((last, _)) if *last == interval => Ok(rows.len() - 1),
            _ => rows.binary_search_by_key(&interval, |(interval, _)| *interval),
        };
        match found {
            Ok(at) => rows[at].1.push(value),
            Err(at) => {
                let has_room = match rows.is_empty() {
                    true => room.take(&[name, unit], SENSOR_BYTES + ROW_BYTES),
                    false => room.take(&[], ROW_BYTES),
                };
                if !has_room {
                    return false;
                }
                rows.insert(at, (interval, Statistics::of(value)));
            }
        }
        true
    }

    fn report(self, interval_s: u32) -> Sensor {
        let Self(name, unit, rows) = self;
        let rows = rows.iter().map(|(interval, statistics)| Row {
            start_s: interval * i64::from(interval_s),
            count: statistics.count(),
            minimum: statistics.minimum(),
            maximum: statistics.maximum(),
            mean: statistics.mean(),
        });
        Sensor { name, unit, rows: rows.collect() }
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
            Self::Interval => formatter.write_str("interval_s: a second at least"),
            Self::Feed(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for Error {}
