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

/// What is left of a report's largest size, beyond which nobody but the console gets it.
#[derive(Debug)]
pub struct Room(usize);

impl Room {
    /// Of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Takes room for a part that has these texts and beside them so many bytes at most, in postcard; whether there was any.
    pub fn take(&mut self, texts: &[&str], bytes: usize) -> bool {
        // No text of a feed is longer than its length in two bytes says.
        let wanted = texts.iter().map(|text| text.len() + 2).sum::<usize>() + bytes;
        let left = self.0.checked_sub(wanted);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn room_is_taken_until_a_part_finds_none() {
        let mut room = Room::new(20);
        assert!(room.take(&["four", ""], 8));
        assert!(!room.take(&[], 5));
        assert!(room.take(&["ab"], 0));
        assert!(room.take(&[], 0) && !room.take(&[], 1));
    }
}
