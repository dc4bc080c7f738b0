//! A sensor's part of a task's report.

use alloc::string::String;

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::Statistics;

/// Statistics of a sensor over a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct SensorReport {
    /// Its name.
    pub name: String,
    /// The unit of its readings, empty when none was given.
    pub unit: String,
    /// How many were counted.
    pub count: u64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// Their mean.
    pub mean: f64,
    /// Their variance, in the unit's square, divided by the count.
    pub variance: f64,
}

impl SensorReport {
    /// The report of a sensor with these statistics.
    pub fn new(name: String, unit: String, statistics: &Statistics) -> Self {
        Self {
            name,
            unit,
            count: statistics.count(),
            minimum: statistics.minimum(),
            maximum: statistics.maximum(),
            mean: statistics.mean(),
            variance: statistics.variance(),
        }
    }
}
