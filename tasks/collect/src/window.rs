//! Windows of time, one sequence of them for each sensor.
//!
//! A window is the time from a multiple of its length to the next (tumbling windows, aligned to 1970), and a reading
//! belongs to the one its own time lies in. The clock on the wall plays no part, so that a replay of old readings
//! gives the same windows every time. A sensor's window is closed by that sensor's first reading of a later one, or at
//! the end; sensors are not compared, because their readings may arrive hours apart. A reading of an earlier window is
//! late: its window's summary has gone out, so it is counted and left out.
//!
//! Memory: one window and the totals for each sensor, no more than a given number of sensors, and nothing for a
//! reading.

use alloc::boxed::Box;
use alloc::vec::Vec;

use readings::{Reading, SensorReport, Statistics};

/// Number of a sensor, in the order in which they were first seen.
pub type SensorId = u16;

/// A closed window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Whose readings they are.
    pub sensor: SensorId,
    /// Where the window begins, in seconds since 1970.
    pub start_s: i64,
    /// What was read in it.
    pub statistics: Statistics,
}

/// What became of a reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Taken {
    /// It belongs to its sensor's open window, or opened one, and closed the one that was open before.
    Counted(Option<Window>),
    /// Its window is already closed.
    Late,
    /// It has been counted before: it has the time and the value of its sensor's last reading, or, where repeats are
    /// expected, a time that is not newer than that of any other.
    Repeated,
    /// It has another unit than its sensor's first reading, or a time before 1970 or beyond the year 280,000.
    Unusable,
    /// There are already as many sensors as may be.
    OverLimit,
}

/// What is known of a sensor.
#[derive(Debug)]
pub struct Sensor {
    /// Its name.
    pub name: Box<str>,
    /// The unit of its readings, empty when none is given.
    pub unit: Box<str>,
    /// Of all its readings that were counted, those of the open window included.
    pub total: Statistics,
    /// Time and value of its last counted reading.
    last: (f64, f64),
    /// The latest time of its counted readings.
    newest: f64,
    /// The open window: its number since 1970, and what was read in it.
    open: Option<(u64, Statistics)>,
}

impl Sensor {
    /// Its totals.
    pub fn report(&self) -> SensorReport {
        SensorReport::new(self.name.as_ref().into(), self.unit.as_ref().into(), &self.total)
    }
}

/// All sensors seen so far.
#[derive(Debug)]
pub struct Sensors {
    window_s: u32,
    limit: SensorId,
    /// In the order in which they were first seen, which is that of their numbers.
    sensors: Vec<Sensor>,
    /// Their numbers in the order of their names.
    by_name: Vec<SensorId>,
}

/// Largest time in seconds since 1970 whose whole seconds are exact in `f64` with room for fractions.
const LATEST: f64 = 8_796_093_022_208.0;

impl Sensors {
    /// No sensors yet; at most `limit` of them, with windows of `window_s` seconds, which must not be 0.
    pub fn new(window_s: u32, limit: SensorId) -> Self {
        Self { window_s, limit, sensors: Vec::new(), by_name: Vec::new() }
    }

    /// Takes a reading to the window it belongs to. `repeats` says that it may have been counted before.
    pub fn take(&mut self, reading: &Reading<'_>, repeats: bool) -> Taken {
        if !(0.0..LATEST).contains(&reading.time) {
            return Taken::Unusable;
        }
        let window = reading.time as u64 / u64::from(self.window_s);
        let sensors = &self.sensors;
        match self.by_name.binary_search_by(|id| sensors[usize::from(*id)].name.as_ref().cmp(reading.name)) {
            Ok(place) => self.take_known(self.by_name[place], window, reading, repeats),
            Err(place) => self.take_new(place, window, reading),
        }
    }

    fn take_known(&mut self, id: SensorId, window: u64, reading: &Reading<'_>, repeats: bool) -> Taken {
        let window_s = self.window_s;
        let sensor = &mut self.sensors[usize::from(id)];
        if *sensor.unit != *reading.unit {
            return Taken::Unusable;
        }
        // A reading that does not say when it was taken may well equal the one before.
        let again = sensor.last == (reading.time, reading.value) || (repeats && reading.time <= sensor.newest);
        if reading.dated && again {
            return Taken::Repeated;
        }
        let closed = match &mut sensor.open {
            Some((open, _)) if window < *open => return Taken::Late,
            Some((open, statistics)) if window == *open => {
                statistics.push(reading.value);
                None
            }
            other => {
                let closed = other.replace((window, Statistics::of(reading.value)));
                closed.map(|(open, statistics)| Window { sensor: id, start_s: start_s(open, window_s), statistics })
            }
        };
        sensor.total.push(reading.value);
        sensor.last = (reading.time, reading.value);
        sensor.newest = sensor.newest.max(reading.time);
        Taken::Counted(closed)
    }

    fn take_new(&mut self, place: usize, window: u64, reading: &Reading<'_>) -> Taken {
        let id = self.sensors.len() as SensorId;
        if id >= self.limit {
            return Taken::OverLimit;
        }
        let first = Statistics::of(reading.value);
        self.sensors.push(Sensor {
            name: reading.name.into(),
            unit: reading.unit.into(),
            total: first,
            last: (reading.time, reading.value),
            newest: reading.time,
            open: Some((window, first)),
        });
        self.by_name.insert(place, id);
        Taken::Counted(None)
    }

    /// Closes every open window and hands each to `take`, in the order of the sensors.
    pub fn close_all(&mut self, take: &mut dyn FnMut(Window)) {
        for (id, sensor) in self.sensors.iter_mut().enumerate() {
            if let Some((open, statistics)) = sensor.open.take() {
                take(Window { sensor: id as SensorId, start_s: start_s(open, self.window_s), statistics });
            }
        }
    }

    /// The sensors by their numbers.
    pub fn all(&self) -> &[Sensor] {
        &self.sensors
    }
}

/// Where window number `window` begins.
fn start_s(window: u64, window_s: u32) -> i64 {
    (window * u64::from(window_s)) as i64
}

#[cfg(test)]
mod tests;
