//! What the tasks that compute statistics of readings share: how readings are written by those who send them, names,
//! numbers, times, statistics, and a sensor's part of a report.
//!
//! Four ways of writing: SenML packs ([`senml`]), JSON objects whose numbers are readings ([`object`]), InfluxDB's line
//! protocol ([`influx`]), and a number alone ([`plain`]). Each hands out one [`Item`] after the other and keeps no more
//! than that, whatever the length of what it reads.
//!
//! ```
//! let mut statistics = readings::Statistics::of(20.5);
//! statistics.push(21.5);
//! assert_eq!((statistics.count(), statistics.maximum(), statistics.mean()), (2, 21.5, 21.0));
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod influx;
mod json;
pub mod name;
pub mod number;
pub mod object;
pub mod plain;
pub mod reading;
pub mod report;
pub mod senml;
pub mod statistics;
pub mod time;

pub use reading::{Item, Reading, UNIT_BYTES, Unreadable};
pub use report::{Room, SensorReport};
pub use statistics::Statistics;
