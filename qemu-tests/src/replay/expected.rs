//! The figures that a task must find, computed by another way than the task's: all values first, then whole-number
//! sums.

use std::collections::BTreeMap;
use std::fmt;

use readings::SensorReport;

use super::{Reading, Summary};

/// A task may differ from the exact figures by this share of the values' size: some rounding of `f64`, no more.
const TOLERANCE: f64 = 1e-9;

/// What is known of a group of readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// How many.
    pub count: u64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// Their mean.
    pub mean: f64,
    /// Their variance, divided by the count.
    pub variance: f64,
}

impl From<&SensorReport> for Figures {
    fn from(sensor: &SensorReport) -> Self {
        let &SensorReport { count, minimum, maximum, mean, variance, .. } = sensor;
        Self { count, minimum, maximum, mean, variance }
    }
}

/// The figures of all windows and all sensors.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Length of the windows in seconds.
    pub window_s: i64,
    /// By sensor and start of the window.
    pub windows: BTreeMap<(String, i64), Figures>,
    /// By sensor.
    pub sensors: BTreeMap<String, Figures>,
    /// How many readings there are.
    pub readings: u64,
}

/// Where a task's figures are not the expected ones.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// No summary of this window came.
    Missing(String, i64),
    /// A summary came of a window without readings.
    Unexpected(String, i64),
    /// A window has been summarised under two sequence numbers.
    Twice(String, i64),
    /// A summary has another window length.
    Length(String, i64),
    /// The figures of a window, or of a sensor as a whole (without a start).
    Figures {
        /// The sensor.
        sensor: String,
        /// The window's start.
        start_s: Option<i64>,
        /// What was computed here.
        expected: Figures,
        /// What the task found.
        found: Figures,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(sensor, start_s) => write!(f, "{sensor}: no summary of the window from {start_s}"),
            Self::Unexpected(sensor, start_s) => write!(f, "{sensor}: a summary of a window from {start_s}"),
            Self::Twice(sensor, start_s) => write!(f, "{sensor}: two summaries of the window from {start_s}"),
            Self::Length(sensor, start_s) => write!(f, "{sensor}: the window from {start_s} has another length"),
            Self::Figures { sensor, start_s, expected, found } => {
                let part = start_s.map_or("all windows".to_owned(), |start_s| format!("the window from {start_s}"));
                write!(f, "{sensor}: {part}: expected {expected:?}, found {found:?}")
            }
        }
    }
}

impl Expected {
    /// Sorts all readings by sensor and window and computes each group's figures.
    pub fn of(readings: impl Iterator<Item = Reading>, window_s: i64) -> Self {
        let mut windows: BTreeMap<(String, i64), Vec<i64>> = BTreeMap::new();
        let mut sensors: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for reading in readings {
            let start_s = reading.time_s - reading.time_s.rem_euclid(window_s);
            windows.entry((reading.sensor.clone(), start_s)).or_default().push(reading.millionths);
            sensors.entry(reading.sensor).or_default().push(reading.millionths);
        }
        Self {
            window_s,
            readings: sensors.values().map(|values| values.len() as u64).sum(),
            windows: windows.into_iter().map(|(key, values)| (key, Figures::of(&values))).collect(),
            sensors: sensors.into_iter().map(|(key, values)| (key, Figures::of(&values))).collect(),
        }
    }

    /// The figures of each sensor when it gives the same readings again and again, so many times in all: none but the
    /// counts change.
    #[must_use]
    pub fn repeated(mut self, times: u64) -> Self {
        self.readings *= times;
        self.sensors.values_mut().for_each(|figures| figures.count *= times);
        self
    }

    /// Compares received summaries with the expected windows. A repeat, under the same sequence number, is no
    /// difference.
    pub fn compare(&self, summaries: &[Summary]) -> Vec<Difference> {
        let mut differences = vec![];
        let mut seen: BTreeMap<(String, i64), u64> = BTreeMap::new();
        for summary in summaries {
            let key = (summary.sensor.clone(), summary.start_s);
            if *seen.entry(key.clone()).or_insert(summary.sequence) != summary.sequence {
                differences.push(Difference::Twice(key.0.clone(), key.1));
            }
            if summary.window_s != self.window_s {
                differences.push(Difference::Length(key.0.clone(), key.1));
            }
            match self.windows.get(&key) {
                None => differences.push(Difference::Unexpected(key.0, key.1)),
                Some(expected) => differences.extend(expected.differ(&summary.figures, &key.0, Some(key.1))),
            }
        }
        let missing = self.windows.keys().filter(|key| !seen.contains_key(*key));
        differences.extend(missing.map(|(sensor, start_s)| Difference::Missing(sensor.clone(), *start_s)));
        differences
    }

    /// Compares a task's figures of a sensor over all windows with the expected ones.
    pub fn compare_sensor(&self, sensor: &str, found: &Figures) -> Option<Difference> {
        match self.sensors.get(sensor) {
            None => Some(Difference::Unexpected(sensor.to_owned(), 0)),
            Some(expected) => expected.differ(found, sensor, None),
        }
    }
}

impl Figures {
    /// The figures of values in millionths: sums without rounding, one division at the end.
    fn of(millionths: &[i64]) -> Self {
        let count = millionths.len() as i128;
        let sum: i128 = millionths.iter().map(|value| i128::from(*value)).sum();
        // The sum of the squares of `value * count - sum`, the distances from the mean in units that have no fraction.
        let squares: i128 = millionths
            .iter()
            .map(|value| {
                let distance = i128::from(*value) * count - sum;
                distance * distance
            })
            .sum();
        let extreme = |value: Option<&i64>| value.map_or(f64::NAN, |value| *value as f64 / 1e6);
        Self {
            count: count as u64,
            minimum: extreme(millionths.iter().min()),
            maximum: extreme(millionths.iter().max()),
            mean: sum as f64 / count as f64 / 1e6,
            variance: squares as f64 / (count * count * count) as f64 / 1e12,
        }
    }

    fn differ(&self, found: &Self, sensor: &str, start_s: Option<i64>) -> Option<Difference> {
        let size = self.minimum.abs().max(self.maximum.abs());
        let near = |a: f64, b: f64, size: f64| (a - b).abs() <= TOLERANCE * size;
        let same = (self.count, self.minimum, self.maximum) == (found.count, found.minimum, found.maximum)
            && near(self.mean, found.mean, size)
            && near(self.variance, found.variance, self.variance + TOLERANCE * size * size);
        let (expected, found, sensor) = (self.clone(), found.clone(), sensor.to_owned());
        (!same).then_some(Difference::Figures { sensor, start_s, expected, found })
    }
}
