//! Windows of time, one sequence of them for each series of readings.
//!
//! A series is a sensor's name and a unit. One name with several units is several series; a reading without a unit
//! belongs to the series of its name if there is one, and a series whose first readings had none takes the unit of a
//! later one.
//!
//! A window is the time from a multiple of its length to the next (tumbling windows, aligned to 1970), and a reading
//! belongs to the one its own time lies in. Series are not compared, because readings may arrive hours apart: how far a
//! series has come is the time of its newest reading, but never later than now, so that a clock that is ahead closes
//! nothing. The rules:
//!
//! - **Closed** is a window when its series has come to its end and the grace period beyond. A replay of old readings
//!   so gives the same windows every time.
//! - It is also closed **by the clock**, when its end is longer ago than the grace period, and nothing of its series
//!   has come for the length of a window and the grace period: a sensor that died does not keep its last window. That
//!   is judged only when something has been heard over a connection to the source that has lasted for the grace period,
//!   so that nothing is closed while readings wait there.
//! - **Late** is a reading of a closed window. Within windows that are open, and among them, order does not matter.
//! - **Ahead** is a reading that is further in the future than is allowed. It belongs to no window. The past is always
//!   allowed: archives are replayed, and devices send what they have kept. As long as the clock here has not been
//!   set, nothing is called ahead.
//! - Nothing is **double** because it looks like another: equal readings count as often as they come. What is delivered
//!   a second time is found by the protocol (see the crate `mqtt`).
//!
//! Memory: the open windows and the totals of each series, no more than a given number of series, and nothing for a
//! reading. More open windows than the grace period needs, and a few for clocks that are ahead, are not kept: the
//! oldest closes before its time.

use alloc::boxed::Box;
use alloc::vec::Vec;

use readings::{Reading, SensorReport, Statistics};
use serde::{Deserialize, Serialize};

/// Number of a series, in the order in which they were first seen.
pub type SensorId = u16;

/// What windows and clocks are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A window's length in seconds, not 0.
    pub window_s: u32,
    /// How long after its end a window waits.
    pub grace_s: u32,
    /// How far in the future a reading may be.
    pub ahead_s: u32,
}

impl Times {
    /// The first window that is open when a series has come so far.
    fn closed_at(self, reached: f64) -> u64 {
        (reached as u64).saturating_sub(self.grace_s.into()) / u64::from(self.window_s)
    }

    /// The most windows of a series that are open at once: those that the grace period holds, and some for clocks that
    /// are ahead.
    fn most_open(self) -> usize {
        (self.grace_s / self.window_s + 4) as usize
    }
}

/// A closed window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Whose readings they are.
    pub sensor: SensorId,
    /// Where the window begins, in seconds since 1970.
    pub start_s: i64,
    /// What was read in it.
    pub statistics: Statistics,
}

/// What became of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in its window.
    Counted,
    /// Its window is already closed.
    Late,
    /// It is too far in the future.
    Ahead,
    /// Its time is before 1970.
    Unusable,
    /// There are already as many series as may be.
    OverLimit,
}

/// What is known of a series.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sensor {
    /// The sensor's name.
    pub name: Box<str>,
    /// The unit of its readings, empty when none is given.
    pub unit: Box<str>,
    /// Of all its readings that were counted, those of open windows included.
    pub total: Statistics,
    /// How far it has come, in seconds since 1970.
    reached: f64,
    /// When its last reading arrived.
    arrived: f64,
    /// The first window, by its number since 1970, that is not closed.
    first_open: u64,
    /// The open windows that have readings, by number.
    open: Vec<(u64, Statistics)>,
}

impl Sensor {
    /// Its totals.
    pub fn report(&self) -> SensorReport {
        SensorReport::new(self.name.as_ref().into(), self.unit.as_ref().into(), &self.total)
    }
}

/// All series seen so far.
#[derive(Debug)]
pub struct Sensors {
    times: Times,
    limit: SensorId,
    /// In the order in which they were first seen, which is that of their numbers.
    sensors: Vec<Sensor>,
    /// Their numbers in the order of their names, and of their numbers where names are the same.
    by_name: Vec<SensorId>,
}

/// 2020-01-01: a clock that shows less has not been set.
const CLOCK_IS_SET: f64 = 1_577_836_800.0;

/// Largest time in seconds since 1970 whose whole seconds are exact in `f64` with room for fractions.
const LATEST: f64 = 8_796_093_022_208.0;

impl Sensors {
    /// No series yet; at most `limit` of them.
    pub fn new(times: Times, limit: SensorId) -> Self {
        Self { times, limit, sensors: Vec::new(), by_name: Vec::new() }
    }

    /// Goes on with the series of an earlier run; false when there are more than may be.
    pub fn restore(&mut self, sensors: Vec<Sensor>) -> bool {
        if sensors.len() > usize::from(self.limit) {
            return false;
        }
        self.by_name = (0..sensors.len() as SensorId).collect();
        self.sensors = sensors;
        let sensors = &self.sensors;
        // Those of one name stay in the order of their numbers.
        self.by_name.sort_by(|one, other| sensors[usize::from(*one)].name.cmp(&sensors[usize::from(*other)].name));
        true
    }

    /// Takes a reading, at this time in seconds since 1970, to the window it belongs to; `close` gets the windows that
    /// are closed by that.
    pub fn take(&mut self, reading: &Reading<'_>, now: f64, close: &mut dyn FnMut(Window)) -> Taken {
        if !(0.0..LATEST).contains(&reading.time) {
            return if reading.time >= LATEST { Taken::Ahead } else { Taken::Unusable };
        }
        if now >= CLOCK_IS_SET && reading.time > now + f64::from(self.times.ahead_s) {
            return Taken::Ahead;
        }
        let times = self.times;
        let number = reading.time as u64 / u64::from(times.window_s);
        let Some((id, is_new)) = self.series(reading) else { return Taken::OverLimit };
        let sensor = &mut self.sensors[usize::from(id)];
        let place = sensor.open.binary_search_by_key(&number, |(open, _)| *open);
        if place.is_err() && sensor.open.len() == times.most_open() {
            // The oldest has had the most time.
            close_before(sensor.open[0].0 + 1, id, sensor, times, close);
        }
        if number < sensor.first_open {
            return Taken::Late;
        }
        match sensor.open.binary_search_by_key(&number, |(open, _)| *open) {
            Ok(place) => sensor.open[place].1.push(reading.value),
            Err(place) => sensor.open.insert(place, (number, Statistics::of(reading.value))),
        }
        if !is_new {
            sensor.total.push(reading.value);
        }
        sensor.arrived = now;
        // With a clock that is not set, nobody can tell whether a reading is ahead.
        let known = if now >= CLOCK_IS_SET { reading.time.min(now) } else { reading.time };
        sensor.reached = sensor.reached.max(known);
        close_before(times.closed_at(sensor.reached), id, sensor, times, close);
        Taken::Counted
    }

    /// The series of a reading, and whether it is a new one; `None` when there may be no more.
    fn series(&mut self, reading: &Reading<'_>) -> Option<(SensorId, bool)> {
        let sensors = &mut self.sensors;
        let first = self.by_name.partition_point(|id| *sensors[usize::from(*id)].name < *reading.name);
        let same = &self.by_name[first..];
        let count = same.iter().take_while(|id| *sensors[usize::from(**id)].name == *reading.name).count();
        let same = &same[..count];
        if let Some(id) = same.iter().find(|id| *sensors[usize::from(**id)].unit == *reading.unit) {
            return Some((*id, false));
        }
        if let [id] = *same {
            let sensor = &mut sensors[usize::from(id)];
            if reading.unit.is_empty() {
                return Some((id, false));
            }
            if sensor.unit.is_empty() {
                sensor.unit = reading.unit.into();
                return Some((id, false));
            }
        }
        let id = sensors.len() as SensorId;
        if id >= self.limit {
            return None;
        }
        sensors.push(Sensor {
            name: reading.name.into(),
            unit: reading.unit.into(),
            total: Statistics::of(reading.value),
            reached: 0.0,
            arrived: 0.0,
            first_open: 0,
            open: Vec::new(),
        });
        self.by_name.insert(first + count, id);
        Some((id, true))
    }

    /// Closes by the clock what is due at this time; the connection to the source has lasted since `connected`.
    pub fn close_due(&mut self, now: f64, connected: f64, close: &mut dyn FnMut(Window)) {
        let times = self.times;
        let grace_s = f64::from(times.grace_s);
        if now < CLOCK_IS_SET || now - connected < grace_s {
            return;
        }
        for (id, sensor) in self.sensors.iter_mut().enumerate() {
            let silent_s = now - sensor.arrived - f64::from(times.window_s);
            if silent_s >= grace_s {
                let reached = times.closed_at(now);
                // What lies behind the last window with readings may still be filled from an archive.
                let last = sensor.open.iter().map(|(number, _)| number + 1).take_while(|end| *end <= reached).last();
                close_before(last.unwrap_or(0), id as SensorId, sensor, times, close);
            }
        }
    }

    /// Closes every open window.
    pub fn close_all(&mut self, close: &mut dyn FnMut(Window)) {
        for (id, sensor) in self.sensors.iter_mut().enumerate() {
            close_before(u64::MAX, id as SensorId, sensor, self.times, close);
        }
    }

    /// The series by their numbers.
    pub fn all(&self) -> &[Sensor] {
        &self.sensors
    }
}

/// Closes the windows of a series whose numbers are below this.
fn close_before(number: u64, id: SensorId, sensor: &mut Sensor, times: Times, close: &mut dyn FnMut(Window)) {
    let closed = sensor.open.partition_point(|(open, _)| *open < number);
    for (number, statistics) in sensor.open.drain(..closed) {
        close(Window { sensor: id, start_s: (number * u64::from(times.window_s)) as i64, statistics });
    }
    sensor.first_open = sensor.first_open.max(number);
}

#[cfg(test)]
mod tests;
