//! Readings that come one by one become a feed, those of a sensor many at once.

use std::collections::HashMap;

use feed::{Encoder, Gap, Reading, Reason, Sensor};
use readings::Item;

use crate::Error;

/// How many readings are put into order by their sensors at once.
const BLOCK: usize = 4096;

/// A feed that is being made.
pub(crate) struct Collector {
    feed: Vec<u8>,
    encoder: Encoder,
    /// Sensors' numbers by their names.
    numbers: HashMap<String, usize>,
    /// What is to be written of each sensor, and how many readings that is together.
    waiting: Vec<Vec<Reading>>,
    count: usize,
    left_out: u64,
    /// Why the first of the sensors that cannot be described cannot.
    failed: Option<Error>,
}

impl Collector {
    pub(crate) fn new() -> Self {
        let mut feed = Vec::new();
        let encoder = Encoder::new(&mut feed);
        let numbers = HashMap::new();
        Self { feed, encoder, numbers, waiting: Vec::new(), count: 0, left_out: 0, failed: None }
    }

    /// Takes what a decoder has found.
    pub(crate) fn take(&mut self, item: &Item<'_>) {
        match item {
            Item::Reading(reading) => self.reading(reading.name, reading.unit, reading.time, reading.value),
            Item::Other | Item::Malformed => self.leave_out(),
        }
    }

    /// Takes a reading, with its time in seconds since 1970.
    pub(crate) fn reading(&mut self, name: &str, unit: &str, time: f64, value: f64) {
        if let Some(number) = self.number(name, unit) {
            // Out of range it is the first or the last time that there is.
            self.waiting[number].push(Reading { time_ns: (time * 1e9).round() as i64, value });
            self.count += 1;
            if self.count == BLOCK {
                self.write();
            }
        }
    }

    /// Counts something that is no reading.
    pub(crate) fn leave_out(&mut self) {
        self.left_out += 1;
    }

    /// A sensor's number; it is described when it is met first.
    fn number(&mut self, name: &str, unit: &str) -> Option<usize> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let sensor = Sensor { name, unit, ..Sensor::default() };
        match self.encoder.sensor(&sensor, &mut self.feed) {
            Ok(number) => {
                self.numbers.insert(name.to_owned(), number);
                self.waiting.push(Vec::new());
                Some(number)
            }
            Err(fault) => {
                self.failed.get_or_insert(Error::Sensor { name: name.to_owned(), fault });
                None
            }
        }
    }

    fn write(&mut self) {
        for (number, readings) in self.waiting.iter_mut().enumerate() {
            self.encoder.readings_of(number, readings, &mut self.feed);
            readings.clear();
        }
        self.count = 0;
    }

    /// The whole feed.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, Error> {
        self.write();
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.left_out > 0 {
            let gap = Gap { sensor: None, readings: self.left_out, reason: Reason::Invalid };
            self.encoder.gap(&gap, &mut self.feed);
        }
        self.encoder.end(&mut self.feed);
        Ok(self.feed)
    }
}
