//! Alarms: when a sensor rises above a value, said at once, until it falls below another one.
//!
//! Two values, so that a sensor that trembles around one does not give an alarm a second (hysteresis). The feed may be
//! live and have no end; then the report comes when the task is asked to end.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::pin::pin;
use core::time::Duration;

use embassy_futures::select::{Either, select};
use kernel::console::Limit;
use kernel::feed::{self, Item, Reading};
use kernel::nodes::MAX_BYTES;
use kernel::{Fed, System, println};
use postcard_schema::Schema;
use readings::{Room, number};
use serde::{Deserialize, Serialize};
use zmij::Buffer;

/// The most seconds that an excess may have to last: a year.
const LASTING_MAX_S: u32 = 366 * 24 * 3600;
/// So many lines may be said at once, and one more each period: a sensor that trembles does not fill the console.
const LINES: u32 = 100;
const LINE_PERIOD: Duration = Duration::from_millis(100);
/// What an alarm has of the report, beside its sensor's name.
const ALARM_BYTES: usize = 3 * 8 + 3 * 10 + 1;
/// What else the report has.
const HEAD_BYTES: usize = 9 * 10;

/// What the task is told.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// An alarm begins when a sensor is above this.
    pub high: f64,
    /// It ends when the sensor is below this; the same value when left out.
    pub low: Option<f64>,
    /// So many seconds the sensor must stay above the one before the alarm begins; none when left out.
    pub lasting_s: Option<u32>,
}

/// What the feed had.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// All readings.
    pub readings: u64,
    /// Of these, values that are infinite, not a number or beyond 1e30, which begin and end nothing.
    pub implausible: u64,
    /// Readings that are older than one of the same sensor before them, which begin and end nothing either.
    pub late: u64,
    /// Readings that the feed left out, as far as it knows.
    pub left_out: u64,
    /// Whether the task was asked to end before the feed ended.
    pub stopped: bool,
    /// The alarms, as they began.
    pub alarms: Vec<Alarm>,
    /// How many more began and found no room in the report.
    pub unreported: u64,
    /// Beginnings and ends that were not said, because there were too many at once.
    pub unsaid: u64,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct Alarm {
    /// Whose.
    pub sensor: String,
    /// When it began, in nanoseconds since 1970.
    pub time_ns: i64,
    /// The value with which it began.
    pub value: f64,
    /// The highest value.
    pub highest: f64,
    /// When it ended, if it did.
    pub ended_ns: Option<i64>,
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The values are none, or the lower is the higher.
    Values,
    /// Nothing lasts so long.
    Lasting,
    /// There is no feed, or no more of it.
    Feed(feed::Error),
}

/// Where a sensor stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Calm,
    /// Too high since then, but not for long enough.
    Rising(i64),
    /// In alarm; which one it is in the report, if it has found room.
    Alarm(Option<usize>),
}

/// What is known of a sensor.
struct Sensor {
    name: String,
    state: State,
    newest_ns: i64,
}

/// Parameters that fit together.
struct Limits {
    high: f64,
    low: f64,
    lasting_ns: u64,
}

/// Watches sensors, and says and reports what it sees.
struct Watch<'s, S> {
    limits: Limits,
    system: &'s S,
    lines: Limit,
    room: Room,
    report: Report,
}

/// The task.
///
/// # Errors
/// The parameters are wrong, or the feed is.
pub async fn run(parameters: Parameters, system: &impl Fed) -> Result<Report, Error> {
    let (limits, lines) = (parameters.limits()?, Limit::new(LINES, LINE_PERIOD));
    let room = Room::new(MAX_BYTES - HEAD_BYTES);
    let mut watch = Watch { limits, system, lines, room, report: Report::default() };
    let mut feed = system.feed().await?;
    let mut stop = pin!(system.stop_requested());
    let mut sensors = Vec::new();
    loop {
        let item = match select(&mut stop, feed.next()).await {
            Either::First(_) => {
                watch.report.stopped = true;
                break;
            }
            Either::Second(item) => item?,
        };
        match item {
            Some(Item::Sensor(new)) => {
                sensors.push(Sensor { name: new.name.to_string(), state: State::Calm, newest_ns: i64::MIN });
            }
            Some(Item::Readings(sensor, readings)) => {
                readings.iter().for_each(|reading| watch.take(&mut sensors[sensor], reading));
            }
            Some(Item::Gap(gap)) => {
                watch.report.left_out = watch.report.left_out.saturating_add(gap.readings);
                match gap.sensor {
                    Some(sensor) => sensors[sensor].doubt(),
                    None => sensors.iter_mut().for_each(Sensor::doubt),
                }
            }
            None => break,
        }
    }
    watch.report.readings = feed.readings();
    Ok(watch.report)
}

impl Parameters {
    /// Checks them.
    fn limits(self) -> Result<Limits, Error> {
        let Self { high, low, lasting_s } = self;
        let low = low.unwrap_or(high);
        let lasting_s = lasting_s.unwrap_or(0);
        match number::is_plausible(high) && number::is_plausible(low) && low <= high {
            false => Err(Error::Values),
            true if lasting_s > LASTING_MAX_S => Err(Error::Lasting),
            true => Ok(Limits { high, low, lasting_ns: u64::from(lasting_s) * 1_000_000_000 }),
        }
    }
}

impl Sensor {
    /// What was between two readings is not known: what was too high may not have stayed so.
    fn doubt(&mut self) {
        if let State::Rising(_) = self.state {
            self.state = State::Calm;
        }
    }
}

impl<S: System> Watch<'_, S> {
    /// Takes a reading of a sensor.
    fn take(&mut self, sensor: &mut Sensor, Reading { time_ns, value }: Reading) {
        if !number::is_plausible(value) {
            self.report.implausible += 1;
            return;
        }
        if time_ns < sensor.newest_ns {
            self.report.late += 1;
            return;
        }
        sensor.newest_ns = time_ns;
        sensor.state = match sensor.state {
            State::Alarm(alarm) if value < self.limits.low => self.end(&sensor.name, alarm, time_ns, value),
            State::Alarm(alarm) => {
                if let Some(alarm) = alarm.map(|alarm| &mut self.report.alarms[alarm]) {
                    alarm.highest = alarm.highest.max(value);
                }
                State::Alarm(alarm)
            }
            _ if value <= self.limits.high => State::Calm,
            State::Rising(since) if time_ns.abs_diff(since) < self.limits.lasting_ns => State::Rising(since),
            State::Calm if self.limits.lasting_ns > 0 => State::Rising(time_ns),
            _ => self.begin(&sensor.name, time_ns, value),
        };
    }

    /// An alarm begins.
    fn begin(&mut self, sensor: &str, time_ns: i64, value: f64) -> State {
        self.say(sensor, "is above", self.limits.high, time_ns, value);
        if !self.room.take(&[sensor], ALARM_BYTES) {
            self.report.unreported += 1;
            return State::Alarm(None);
        }
        let alarm = Alarm { sensor: sensor.to_string(), time_ns, value, highest: value, ended_ns: None };
        self.report.alarms.push(alarm);
        State::Alarm(Some(self.report.alarms.len() - 1))
    }

    /// An alarm ends.
    fn end(&mut self, sensor: &str, alarm: Option<usize>, time_ns: i64, value: f64) -> State {
        self.say(sensor, "is over, below", self.limits.low, time_ns, value);
        if let Some(alarm) = alarm {
            self.report.alarms[alarm].ended_ns = Some(time_ns);
        }
        State::Calm
    }

    /// Says what happens while it happens.
    fn say(&mut self, sensor: &str, what: &str, limit: f64, time_ns: i64, value: f64) {
        match self.lines.take(self.system.unix_time().as_nanos() as u64) {
            Some(unsaid) => {
                if unsaid > 0 {
                    println!("alarm: {unsaid} lines were not said, they were too many");
                }
                let (mut limits, mut values) = (Buffer::new(), Buffer::new());
                let (limit, value) = (limits.format(limit), values.format(value));
                println!("alarm: {sensor} {what} {limit}: {value} at {time_ns} ns");
            }
            None => self.report.unsaid += 1,
        }
    }
}

impl From<feed::Error> for Error {
    fn from(error: feed::Error) -> Self {
        Self::Feed(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values => formatter.write_str("high and low: numbers, and low is not above high"),
            Self::Lasting => write!(formatter, "lasting_s: {LASTING_MAX_S} at most, a year"),
            Self::Feed(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for Error {}
