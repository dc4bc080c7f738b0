//! All sensors and their readings, within the memory that there is for them.

use alloc::vec::Vec;
use core::fmt;

use feed::{Reading, TEXT_BYTES};

use crate::SECOND_NS;
use crate::chunks::{CHUNK_BYTES, Chunks};
use crate::rule::Rule;
use crate::sensor::{Counts, SENSOR_BYTES, Sensor};
use crate::series::Cursor;
use crate::taken::Taken;

/// What the store may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All memory, in bytes: sensors and readings.
    pub bytes: usize,
    /// The most sensors.
    pub sensors: usize,
    /// How long a reading is kept, by its own time.
    pub age_s: u32,
    /// How far a reading's time may be ahead of the broker's clock.
    pub ahead_s: u32,
}

/// There is not enough memory for a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooSmall {
    /// So many sensors want so many bytes at least.
    Limits {
        /// The sensors.
        sensors: usize,
        /// The bytes.
        bytes: usize,
    },
    /// The machine does not have so many bytes.
    Memory {
        /// The bytes.
        bytes: usize,
    },
}

/// The readings of all sensors.
#[derive(Debug)]
pub struct Store {
    limits: Limits,
    rules: Vec<Rule>,
    sensors: Vec<Sensor>,
    /// The sensors in the order of their names and units.
    by_name: Vec<u32>,
    chunks: Chunks,
}

impl Store {
    /// An empty store, with all the memory that it will ever have.
    ///
    /// # Errors
    /// [`TooSmall`].
    pub fn new(limits: Limits, rules: Vec<Rule>) -> Result<Self, TooSmall> {
        // Each sensor can always have a chunk, and one can grow while all have one.
        let least = limits.sensors * (SENSOR_BYTES + CHUNK_BYTES) + CHUNK_BYTES;
        let Some(rest) = limits.bytes.checked_sub(least).filter(|_| limits.sensors > 0) else {
            return Err(TooSmall::Limits { sensors: limits.sensors, bytes: least });
        };
        let count = limits.sensors + 1 + rest / CHUNK_BYTES;
        let none = TooSmall::Memory { bytes: limits.bytes };
        let (mut sensors, mut by_name) = (Vec::new(), Vec::new());
        sensors.try_reserve_exact(limits.sensors).map_err(|_| none)?;
        by_name.try_reserve_exact(limits.sensors).map_err(|_| none)?;
        let chunks = Chunks::new(count).ok_or(none)?;
        Ok(Self { limits, rules, sensors, by_name, chunks })
    }

    /// Takes a reading of a sensor that a message describes so, at this time of the broker's clock.
    pub fn take(&mut self, described: &feed::Sensor<'_>, reading: Reading, now_ns: i64) -> Taken {
        let number = match self.find(described) {
            Ok(number) => number,
            Err(refused) => return refused,
        };
        let (from_ns, until_ns) = (self.oldest_ns(now_ns), now_ns.saturating_add(span_ns(self.limits.ahead_s)));
        let Self { sensors, chunks, .. } = self;
        let sensor = &mut sensors[number as usize];
        let taken = sensor.judge(reading, now_ns, from_ns, until_ns);
        if taken == Taken::Kept && !sensor.series.push(chunks, reading) {
            self.grow(number, reading);
        }
        taken
    }

    /// Lets go of what is older than what is kept, at this time of the broker's clock: in whole chunks.
    pub fn expire(&mut self, now_ns: i64) {
        let from_ns = self.oldest_ns(now_ns);
        for sensor in &mut self.sensors {
            while sensor.series.oldest_ns(&self.chunks).is_some_and(|oldest_ns| oldest_ns < from_ns) {
                let gone = sensor.series.shrink(&mut self.chunks);
                sensor.counts_mut().expired += gone;
            }
        }
    }

    /// The sensors, in the order in which they came.
    #[must_use]
    pub fn sensors(&self) -> &[Sensor] {
        &self.sensors
    }

    /// The counts of all sensors together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.sensors.iter().fold(Counts::default(), |mut sum, sensor| {
            sum.add(sensor.counts());
            sum
        })
    }

    /// How many readings are kept.
    #[must_use]
    pub fn kept(&self) -> u64 {
        let kept = |sensor: &Sensor| sensor.series.next_number() - sensor.series.first_number(&self.chunks);
        self.sensors.iter().map(kept).sum()
    }

    /// How many bytes the readings take: chunks that are in use.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        self.sensors.iter().map(|sensor| sensor.series.chunks() * CHUNK_BYTES).sum()
    }

    /// The number of a sensor that the store knows.
    pub(crate) fn number(&self, name: &str, unit: &str) -> Option<u32> {
        let found = self.by_name.binary_search_by(|number| self.sensors[*number as usize].key().cmp(&(name, unit)));
        found.ok().map(|place| self.by_name[place])
    }

    /// What the store would make of a sensor that it does not know.
    pub(crate) fn described(&self, sensor: &feed::Sensor<'_>) -> Sensor {
        Sensor::new(sensor, &self.rules)
    }

    /// Whether it holds readings of a sensor from before a place: then it has all that come there.
    pub(crate) fn reaches_before(&self, sensor: u32, cursor: &Cursor) -> bool {
        self.sensors[sensor as usize].series.first_number(&self.chunks) < cursor.number()
    }

    /// The place behind all readings of a sensor.
    pub(crate) fn end(&self, sensor: u32) -> Cursor {
        self.sensors[sensor as usize].series.end()
    }

    /// The place of the first reading of a sensor that is not before this time.
    pub(crate) fn since(&self, sensor: u32, from_ns: i64) -> Cursor {
        self.sensors[sensor as usize].series.since(&self.chunks, sensor, from_ns)
    }

    /// How many of a sensor's readings left the store before this place came to them; it goes on behind them.
    pub(crate) fn skip_lost(&self, sensor: u32, cursor: &mut Cursor) -> u64 {
        self.sensors[sensor as usize].series.skip_lost(&self.chunks, cursor)
    }

    /// The reading of a sensor at a place; the place moves behind it.
    pub(crate) fn read(&self, sensor: u32, cursor: &mut Cursor) -> Option<Reading> {
        self.sensors[sensor as usize].series.read(&self.chunks, sensor, cursor)
    }

    /// The earliest time that is kept, at this time of the clock.
    fn oldest_ns(&self, now_ns: i64) -> i64 {
        now_ns.saturating_sub(span_ns(self.limits.age_s))
    }

    /// The number of a sensor, which is new if nobody knows it.
    fn find(&mut self, described: &feed::Sensor<'_>) -> Result<u32, Taken> {
        let key = (described.name, described.unit);
        let place = match self.by_name.binary_search_by(|number| self.sensors[*number as usize].key().cmp(&key)) {
            Ok(place) => return Ok(self.by_name[place]),
            Err(place) => place,
        };
        let fits = |text: &str| text.len() <= TEXT_BYTES && !text.chars().any(char::is_control);
        let texts = [described.name, described.kind, described.unit, described.place];
        if described.name.is_empty() || !texts.iter().all(|text| fits(text)) {
            return Err(Taken::NoName);
        }
        if self.sensors.len() == self.limits.sensors {
            return Err(Taken::NoSensor);
        }
        let number = self.sensors.len() as u32;
        self.sensors.push(Sensor::new(described, &self.rules));
        self.by_name.insert(place, number);
        Ok(number)
    }

    /// Puts a reading into a new chunk of its sensor's, for which another one may have to go.
    fn grow(&mut self, number: u32, reading: Reading) {
        while !self.sensors[number as usize].series.grow(&mut self.chunks, number, reading) {
            let victim = self.victim(number);
            let gone = self.sensors[victim].series.shrink(&mut self.chunks);
            self.sensors[victim].counts_mut().displaced += gone;
        }
        let kept = self.sensors[number as usize].series.push(&mut self.chunks, reading);
        debug_assert!(kept, "a new chunk has room for a reading");
    }

    /// Whose oldest chunk goes when `asking` needs one and all are in use: of the sensors with more than an equal share, and
    /// of the one that asks if it has its share, the one whose chunk is oldest. There always is one: where nobody has more,
    /// who asks has its share.
    fn victim(&self, asking: u32) -> usize {
        let share = self.chunks.most() / self.sensors.len();
        let may_go = |number: usize, sensor: &Sensor| {
            sensor.series.chunks() > share - usize::from(number == asking as usize && share > 0)
        };
        let candidates = self.sensors.iter().enumerate().filter(|(number, sensor)| may_go(*number, sensor));
        let oldest = candidates.min_by_key(|(_, sensor)| sensor.series.oldest_ns(&self.chunks));
        oldest.map_or(asking as usize, |(number, _)| number)
    }
}

fn span_ns(seconds: u32) -> i64 {
    i64::from(seconds) * SECOND_NS
}

impl fmt::Display for Taken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kept => "it is kept",
            Self::Duplicate => "it is the one before",
            Self::Late => "it is not after the one before",
            Self::Old => "it is older than what is kept",
            Self::Ahead => "it is in the future",
            Self::OutOfRange => "it is no number, or out of range",
            Self::TooOften => "there are more in a second than the sensor may have",
            Self::NoSensor => "there is no room for its sensor",
            Self::NoName => "its sensor has no name, or too long a text",
        })
    }
}

impl fmt::Display for TooSmall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limits { sensors, bytes } => {
                write!(formatter, "{sensors} sensors need a store of {} KiB at least", bytes.div_ceil(1024))
            }
            Self::Memory { bytes } => {
                write!(formatter, "there is no memory for a store of {} KiB: give the guest more", bytes.div_ceil(1024))
            }
        }
    }
}

impl core::error::Error for TooSmall {}
