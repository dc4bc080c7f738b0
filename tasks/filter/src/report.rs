//! What the task reports at its end.

use alloc::string::String;
use alloc::vec::Vec;

use postcard_schema::Schema;
use readings::SensorReport;
use serde::{Deserialize, Serialize};

/// What the task reports at its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// Whether the content was read to its end; not if the task was asked to end before, or failed.
    pub complete: bool,
    /// Length of the content in bytes, as far as it was read.
    pub bytes: u64,
    /// How many times the transfer was taken up again after the connection was lost.
    pub resumed: u32,
    /// Readings in it, those of sensors above the limit included.
    pub readings: u64,
    /// Of these, the ones of sensors above the limit, which are in no statistics.
    pub over_limit: u64,
    /// Lines or rows that could not be read, empty ones not counted.
    pub malformed: u64,
    /// The number of the first of these, and how it begins.
    pub sample: Option<String>,
    /// Fields of a table with nothing, or a word for nothing such as `NaN`, where a number may be.
    pub missing: u64,
    /// Values that are no numbers; of a table only those in columns of which nobody said that they have numbers.
    pub not_numeric: u64,
    /// The time of the first reading that has one: as the table says it, otherwise in seconds since 1970.
    pub first_time: Option<String>,
    /// The time of the last reading that has one.
    pub last_time: Option<String>,
    /// From the first request to the end of the content.
    pub elapsed_ms: u64,
    /// The sensors, in the order in which they were first seen.
    pub sensors: Vec<SensorReport>,
}
