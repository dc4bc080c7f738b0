//! What a feed says.

use core::fmt;

use crate::READING_BYTES;

/// The next thing that a feed says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    /// A sensor. The first one is number 0, the next one 1, and so on: so what a task keeps for each goes into a list.
    Sensor(Sensor<'a>),
    /// Readings of the sensor of this number, which was described before.
    Readings(usize, Readings<'a>),
    /// Readings were left out here.
    Gap(Gap),
}

/// What is known of a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sensor<'a> {
    /// Its name, which no other sensor of the feed should have. Never empty.
    pub name: &'a str,
    /// What it measures, `temperature` for example; empty if that is not known.
    pub kind: &'a str,
    /// The unit of its values, by SenML's names; empty if there is none.
    pub unit: &'a str,
    /// Where it is; empty if that is not known.
    pub place: &'a str,
}

/// A value and its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// When it was taken, in nanoseconds since 1970-01-01 00:00 UTC.
    pub time_ns: i64,
    /// The value, in the sensor's unit. Any `f64`: also infinite, and not a number.
    pub value: f64,
}

/// Readings as they lie in the feed.
#[derive(Clone, Copy, PartialEq)]
pub struct Readings<'a>(pub(crate) &'a [[u8; READING_BYTES]]);

/// Readings that were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Of which sensor; `None` if of several.
    pub sensor: Option<usize>,
    /// How many; 0 if nobody knows.
    pub readings: u64,
    /// Why.
    pub reason: Reason,
}

/// Why readings were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The task did not take them in time.
    NotTaken,
    /// There were more in a second than the task may have.
    Rate,
    /// Who keeps the readings had no room for them any more.
    NotKept,
    /// They were wrong: no numbers, of another time, or out of range.
    Invalid,
    /// Who feeds the task was started anew.
    Restarted,
    /// Who keeps those of before did not give them.
    NotFetched,
}

impl Reason {
    pub(crate) const ALL: [(Self, u8); 6] = [
        (Self::NotTaken, 1),
        (Self::Rate, 2),
        (Self::NotKept, 3),
        (Self::Invalid, 4),
        (Self::Restarted, 5),
        (Self::NotFetched, 6),
    ];

    pub(crate) fn number(self) -> u8 {
        Self::ALL.iter().find(|(reason, _)| *reason == self).map_or(0, |(_, number)| *number)
    }

    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == number).map(|(reason, _)| *reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotTaken => "the task did not take them in time",
            Self::Rate => "there were more in a second than the task may have",
            Self::NotKept => "there was no room to keep them",
            Self::Invalid => "they were wrong",
            Self::Restarted => "who feeds the task was started anew",
            Self::NotFetched => "who keeps those of before did not give them",
        })
    }
}

impl Reading {
    /// The reading that these bytes are.
    #[must_use]
    pub fn from_bytes(bytes: [u8; READING_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, value @ ..] = bytes;
        Self { time_ns: i64::from_le_bytes([a, b, c, d, e, f, g, h]), value: f64::from_le_bytes(value) }
    }

    /// The bytes of the reading.
    #[must_use]
    pub fn to_bytes(self) -> [u8; READING_BYTES] {
        let (time, value) = (u128::from(self.time_ns as u64), u128::from(self.value.to_bits()));
        (time | value << 64).to_le_bytes()
    }
}

impl<'a> Readings<'a> {
    /// How many there are; at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there are always some")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One after the other, as they were sent.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Reading> + 'a {
        self.0.iter().map(|bytes| Reading::from_bytes(*bytes))
    }
}

impl fmt::Debug for Readings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}
