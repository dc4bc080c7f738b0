//! A sensor: what it is, what its readings must keep to, and what was made of them.

use alloc::boxed::Box;

use feed::{Reading, TEXT_BYTES};

use crate::SECOND_NS;
use crate::rule::Rule;
use crate::series::Series;
use crate::taken::Taken;

/// A sensor that has sent something.
#[derive(Debug)]
pub struct Sensor {
    name: Box<str>,
    kind: Box<str>,
    unit: Box<str>,
    place: Box<str>,
    minimum: f64,
    maximum: f64,
    most_per_second: u32,
    /// A second of the broker's clock, and how many readings came in it.
    second: (i64, u32),
    counts: Counts,
    pub(crate) series: Series,
}

/// What became of a sensor's readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken into the store.
    pub taken: u64,
    /// The same as the one before, in time and value.
    pub duplicates: u64,
    /// Not after the one before, and not the same.
    pub late: u64,
    /// Older than what is kept.
    pub old: u64,
    /// Too far in the future.
    pub ahead: u64,
    /// No number, or out of the sensor's range.
    pub out_of_range: u64,
    /// More in a second than the sensor may have.
    pub too_often: u64,
    /// Of those taken, the ones that went for others' sake.
    pub displaced: u64,
    /// Of those taken, the ones that went because of their age.
    pub expired: u64,
}

impl Counts {
    /// Readings that were refused because they were wrong: all but duplicates.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.late + self.old + self.ahead + self.out_of_range + self.too_often
    }

    /// Adds another sensor's.
    pub fn add(&mut self, other: &Self) {
        self.taken += other.taken;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.old += other.old;
        self.ahead += other.ahead;
        self.out_of_range += other.out_of_range;
        self.too_often += other.too_often;
        self.displaced += other.displaced;
        self.expired += other.expired;
    }
}

/// The most bytes that a sensor takes beside its readings.
pub(crate) const SENSOR_BYTES: usize = size_of::<Sensor>() + 4 * (TEXT_BYTES + 16) + size_of::<u32>();

impl Sensor {
    /// A sensor that was not there before. The first rule that says something of it holds; what a message says itself
    /// stands.
    pub(crate) fn new(described: &feed::Sensor<'_>, rules: &[Rule]) -> Self {
        let feed::Sensor { name, kind, unit, place } = *described;
        let mut rules = rules.iter().filter(|rule| rule.name.matches(name)).peekable();
        let first = rules.peek().copied();
        let said = |own: &str, text: Option<&str>| Box::from(if own.is_empty() { text.unwrap_or("") } else { own });
        Self {
            name: name.into(),
            kind: said(kind, first.and_then(|rule| rule.kind.as_deref())),
            unit: unit.into(),
            place: said(place, first.and_then(|rule| rule.place.as_deref())),
            minimum: first.and_then(|rule| rule.minimum).unwrap_or(f64::MIN),
            maximum: first.and_then(|rule| rule.maximum).unwrap_or(f64::MAX),
            most_per_second: first.and_then(|rule| rule.most_per_second).unwrap_or(u32::MAX),
            second: (i64::MIN, 0),
            counts: Counts::default(),
            series: Series::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it measures; empty if nobody says.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The unit of its values; empty if there is none.
    #[must_use]
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// Where it is; empty if nobody says.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What became of its readings.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// What tells sensors apart.
    pub(crate) fn key(&self) -> (&str, &str) {
        (&self.name, &self.unit)
    }

    /// Its description, as a feed has it.
    pub(crate) fn described(&self) -> feed::Sensor<'_> {
        feed::Sensor { name: &self.name, kind: &self.kind, unit: &self.unit, place: &self.place }
    }

    /// Whether its rule allows a value, which not a number never is.
    pub(crate) fn allows(&self, value: f64) -> bool {
        self.minimum <= value && value <= self.maximum
    }

    /// Judges a reading that has come at this time of the broker's clock; it must be neither before `from_ns` nor after
    /// `until_ns`. What is not taken is counted.
    pub(crate) fn judge(&mut self, reading: Reading, now_ns: i64, from_ns: i64, until_ns: i64) -> Taken {
        let second = now_ns.div_euclid(SECOND_NS);
        let Reading { time_ns, value } = reading;
        let allowed = self.allows(value);
        let count = &mut self.counts;
        let (taken, counter) = match self.series.last() {
            Some(last) if last.time_ns == time_ns && last.value.to_bits() == value.to_bits() => {
                (Taken::Duplicate, &mut count.duplicates)
            }
            _ if !allowed => (Taken::OutOfRange, &mut count.out_of_range),
            _ if time_ns > until_ns => (Taken::Ahead, &mut count.ahead),
            _ if time_ns < from_ns => (Taken::Old, &mut count.old),
            Some(last) if last.time_ns >= time_ns => (Taken::Late, &mut count.late),
            _ if self.second.0 == second && self.second.1 >= self.most_per_second => {
                (Taken::TooOften, &mut count.too_often)
            }
            _ => (Taken::Kept, &mut count.taken),
        };
        *counter += 1;
        if taken == Taken::Kept {
            self.second = (second, if self.second.0 == second { self.second.1.saturating_add(1) } else { 1 });
        }
        taken
    }
}
