//! The sensors and their statistics.

use alloc::string::String;
use alloc::vec::Vec;

use readings::{Statistics, number};

use crate::exact::{Exact, Millionths};

/// The number of a reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// As nearly all readings: a few digits.
    Decimal(Millionths),
    /// Any other.
    Float(f64),
}

impl Value {
    /// Reads a decimal number that is all of the text.
    #[inline]
    pub fn read(text: &[u8]) -> Option<Self> {
        match Millionths::read(text) {
            Some((number, [])) => Some(Self::Decimal(number)),
            _ => number::parse_decimal(text).map(Self::Float),
        }
    }
}

/// A sensor.
#[derive(Debug, Clone, PartialEq)]
struct Sensor {
    /// Its name, and the comma that comes behind it in a line.
    prefix: Vec<u8>,
    /// Of all its decimal readings, unless there are too many.
    exact: Option<Exact>,
    /// Of all others.
    rounded: Option<Statistics>,
    /// The sensor whose reading came after this one's when that was last looked up.
    next: usize,
}

/// All sensors, in the order in which they were first seen.
#[derive(Debug, Default)]
pub struct Sensors {
    sensors: Vec<Sensor>,
    /// The same by name.
    by_name: Vec<u16>,
    most: usize,
    /// The one that had a reading last.
    last: usize,
    /// The one that comes next if sensors come in the order in which they came before, as they mostly do: a station tells
    /// all it measures, one after the other.
    likely: usize,
}

impl Sensors {
    /// None yet, and no more than `most` later.
    pub fn new(most: u16) -> Self {
        Self { most: most.into(), ..Self::default() }
    }

    /// Takes the first line of `text` if it has its end, is the likely sensor's and has a decimal number; returns what
    /// comes behind it. `None` for all other lines, be they readings or not.
    #[inline]
    pub fn take_likely<'t>(&mut self, text: &'t [u8]) -> Option<&'t [u8]> {
        let sensor = self.sensors.get_mut(self.likely)?;
        let (number, end) = Millionths::read(strip(text, &sensor.prefix)?)?;
        let ([b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..]) = end else { return None };
        sensor.push_decimal(number);
        (self.last, self.likely) = (self.likely, sensor.next);
        Some(rest)
    }

    /// Takes a reading of the sensor of this name; returns whether there was room for it.
    pub fn push(&mut self, name: &[u8], value: Value) -> bool {
        let index = match self.find(name) {
            Ok(index) => index,
            Err(_) if self.sensors.len() == self.most => return false,
            Err(place) => {
                let index = self.sensors.len();
                self.by_name.insert(place, index as u16);
                self.sensors.push(Sensor { prefix: [name, b","].concat(), exact: None, rounded: None, next: 0 });
                index
            }
        };
        let sensor = &mut self.sensors[index];
        match value {
            Value::Decimal(number) => sensor.push_decimal(number),
            Value::Float(number) => match &mut sensor.rounded {
                Some(rounded) => rounded.push(number),
                None => sensor.rounded = Some(Statistics::of(number)),
            },
        }
        self.likely = sensor.next;
        self.sensors[self.last].next = index;
        self.last = index;
        true
    }

    /// The index of the sensor of this name, or its place among the names.
    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        if self.sensors.get(self.likely).is_some_and(|sensor| sensor.name() == name) {
            return Ok(self.likely);
        }
        let found = self.by_name.binary_search_by(|index| self.sensors[usize::from(*index)].name().cmp(name));
        found.map(|place| self.by_name[place].into())
    }

    /// The name of each and its statistics.
    pub fn into_statistics(self) -> impl Iterator<Item = (String, Statistics)> {
        self.sensors.into_iter().filter_map(|mut sensor| {
            sensor.round();
            Some((String::from_utf8_lossy(sensor.name()).into_owned(), sensor.rounded?))
        })
    }
}

impl Sensor {
    fn name(&self) -> &[u8] {
        &self.prefix[..self.prefix.len() - 1]
    }

    #[inline]
    fn push_decimal(&mut self, number: Millionths) {
        if !self.exact.as_mut().is_some_and(|exact| exact.push(number)) {
            self.round();
            self.exact = Some(Exact::of(number));
        }
    }

    /// Makes one of both statistics.
    #[cold]
    fn round(&mut self) {
        if let Some(exact) = self.exact.take() {
            let exact = exact.statistics();
            match &mut self.rounded {
                Some(rounded) => rounded.merge(&exact),
                None => self.rounded = Some(exact),
            }
        }
    }
}

/// What comes behind the prefix, if the text begins with it. By eight bytes at a time, and without a call: prefixes are
/// some 20 bytes long.
#[inline]
fn strip<'t>(text: &'t [u8], prefix: &[u8]) -> Option<&'t [u8]> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    let (mut found, mut wanted) = (head, prefix);
    while let (Some((one, after)), Some((other, left))) = (found.split_first_chunk(), wanted.split_first_chunk()) {
        if u64::from_ne_bytes(*one) != u64::from_ne_bytes(*other) {
            return None;
        }
        (found, wanted) = (after, left);
    }
    while let ([one, after @ ..], [other, left @ ..]) = (found, wanted) {
        if one != other {
            return None;
        }
        (found, wanted) = (after, left);
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Value {
        Value::Decimal(Millionths::read(text.as_bytes()).expect("a decimal number").0)
    }

    fn counts(sensors: Sensors) -> Vec<(String, u64)> {
        sensors.into_statistics().map(|(name, statistics)| (name, statistics.count())).collect()
    }

    #[test]
    fn readings_go_to_their_sensors_in_any_order() {
        let mut sensors = Sensors::new(3);
        for name in ["b", "a", "c", "a", "b", "b"] {
            assert!(sensors.push(name.as_bytes(), decimal("1")));
        }
        assert!(!sensors.push(b"d", decimal("1")), "there is no room for a fourth");
        assert!(sensors.push(b"c", Value::Float(1e20)));
        assert_eq!(counts(sensors), [("b".into(), 3), ("a".into(), 2), ("c".into(), 2)]);
    }

    #[test]
    fn after_a_round_the_next_sensor_is_known() {
        let mut sensors = Sensors::new(9);
        assert_eq!(sensors.take_likely(b"a,1\n"), None);
        for name in ["a", "b", "c", "a"] {
            sensors.push(name.as_bytes(), decimal("1"));
        }
        for line in ["b,1\n", "c,-2.5\n", "a,3\r\n", "b,0.1\n"] {
            assert_eq!(sensors.take_likely(line.as_bytes()), Some(&b""[..]), "{line}");
        }
        for line in ["a,1\n", "c,1", "c,x\n", "c,1 \n", "c,1e1\n", "cc,1\n", ",1\n", "c\n", ""] {
            assert_eq!(sensors.take_likely(line.as_bytes()), None, "{line}");
        }
        assert_eq!(counts(sensors), [("a".into(), 3), ("b".into(), 3), ("c".into(), 2)]);
    }

    #[test]
    fn decimal_readings_and_others_are_put_together() {
        let mut sensors = Sensors::new(1);
        for value in [decimal("1"), Value::Float(5.0), decimal("3"), Value::Float(7.0)] {
            sensors.push(b"a", value);
        }
        let (_, found) = sensors.into_statistics().next().expect("a sensor");
        assert_eq!((found.count(), found.minimum(), found.maximum(), found.mean()), (4, 1.0, 7.0, 4.0));
        assert_eq!(found.variance(), 5.0);
    }

    #[test]
    fn a_prefix_of_any_length_is_stripped_and_no_other() {
        let text = b"weather:EWR:temperature,12";
        for length in 0..=text.len() {
            assert_eq!(strip(text, &text[..length]), Some(&text[length..]));
            let mut other = text[..length].to_vec();
            for place in 0..length {
                other[place] ^= 1;
                assert_eq!(strip(text, &other), None);
                other[place] ^= 1;
            }
        }
        assert_eq!(strip(b"a", b"a,"), None);
    }
}
