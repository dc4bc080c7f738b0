//! The sensors and their statistics.

use alloc::string::String;
use alloc::vec::Vec;

use readings::Statistics;

/// A sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// Its name.
    pub name: String,
    /// Of all its readings.
    pub statistics: Statistics,
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
}

impl Sensors {
    /// None yet, and no more than `most` later.
    pub fn new(most: u16) -> Self {
        Self { most: most.into(), ..Self::default() }
    }

    /// The sensor that comes next if sensors come in the order in which they came before, as they mostly do: a station
    /// tells all it measures, one after the other.
    #[inline]
    pub fn likely(&self) -> Option<&Sensor> {
        self.sensors.get(self.sensors.get(self.last)?.next)
    }

    /// Takes a reading of [`Sensors::likely`].
    #[inline]
    pub fn push_likely(&mut self, value: f64) {
        if let Some(last) = self.sensors.get(self.last) {
            let next = last.next;
            if let Some(sensor) = self.sensors.get_mut(next) {
                sensor.statistics.push(value);
                self.last = next;
            }
        }
    }

    /// Takes a reading of the sensor of this name; returns whether there was room for it.
    pub fn push(&mut self, name: &str, value: f64) -> bool {
        let found = self.by_name.binary_search_by(|index| self.sensors[usize::from(*index)].name.as_str().cmp(name));
        let index = match found {
            Ok(place) => {
                let index = usize::from(self.by_name[place]);
                self.sensors[index].statistics.push(value);
                index
            }
            Err(_) if self.sensors.len() == self.most => return false,
            Err(place) => {
                let index = self.sensors.len();
                self.by_name.insert(place, index as u16);
                self.sensors.push(Sensor { name: name.into(), statistics: Statistics::of(value), next: 0 });
                index
            }
        };
        if let Some(last) = self.sensors.get_mut(self.last) {
            last.next = index;
        }
        self.last = index;
        true
    }

    /// All of them.
    pub fn into_sensors(self) -> Vec<Sensor> {
        self.sensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sensors: Sensors) -> Vec<(String, u64)> {
        sensors.into_sensors().into_iter().map(|sensor| (sensor.name, sensor.statistics.count())).collect()
    }

    #[test]
    fn readings_go_to_their_sensors_in_any_order() {
        let mut sensors = Sensors::new(3);
        for name in ["b", "a", "c", "a", "b", "b"] {
            assert!(sensors.push(name, 1.0));
        }
        assert!(!sensors.push("d", 1.0), "there is no room for a fourth");
        assert!(sensors.push("c", 1.0));
        assert_eq!(counts(sensors), [("b".into(), 3), ("a".into(), 2), ("c".into(), 2)]);
    }

    #[test]
    fn after_a_round_the_next_sensor_is_known() {
        let mut sensors = Sensors::new(9);
        assert_eq!(sensors.likely(), None);
        for name in ["a", "b", "c", "a"] {
            sensors.push(name, 1.0);
        }
        for name in ["b", "c", "a", "b"] {
            assert_eq!(sensors.likely().map(|sensor| sensor.name.as_str()), Some(name));
            sensors.push_likely(2.0);
        }
        assert_eq!(counts(sensors), [("a".into(), 3), ("b".into(), 3), ("c".into(), 2)]);
    }
}
