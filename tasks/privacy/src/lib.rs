//! Means over groups of sensors, and nothing of a group that is small: what one sensor has said is nowhere in the report.
//!
//! Each sensor counts once, by the mean of its readings, however many it has: so none outweighs the others of its group. README.md
//! says what that protects, and what it does not.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use kernel::Fed;
use kernel::feed::{self, Item};
use kernel::nodes::MAX_BYTES;
use postcard_schema::Schema;
use readings::{Room, Statistics, number};
use serde::{Deserialize, Serialize};

/// The smallest size that may be asked for: of two sensors, who owns one learns the other from their mean.
const LEAST_SENSORS: u32 = 3;
/// What a group has of the report, beside texts.
const GROUP_BYTES: usize = 5 + 8;
/// What else the report has.
const HEAD_BYTES: usize = 7 * 10;

/// What the task is told.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// What makes sensors a group, beside their unit.
    pub by: By,
    /// How many sensors with readings a group must have; three at least.
    pub least_sensors: u32,
}

/// What sensors may have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Where they are.
    Place,
    /// What they measure.
    Kind,
}

/// What the feed had.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// All readings.
    pub readings: u64,
    /// Of these, values that are infinite, not a number or beyond 1e30, which count nowhere else.
    pub implausible: u64,
    /// Readings that the feed left out, as far as it knows.
    pub left_out: u64,
    /// The groups that are large enough.
    pub groups: Vec<Group>,
    /// How many groups are too small.
    pub suppressed_groups: u32,
    /// How many sensors with readings these have, and how many belong to none because they have no place, or no kind.
    pub suppressed_sensors: u32,
    /// How many groups that are large enough found no room in the report.
    pub unreported: u32,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct Group {
    /// The place or the kind that its sensors have in common.
    pub of: String,
    /// Their unit, empty if there is none.
    pub unit: String,
    /// How many of them have readings.
    pub sensors: u32,
    /// The mean of the sensors' means.
    pub mean: f64,
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Groups would be too small.
    Least,
    /// There is no whole feed.
    Feed(feed::Error),
}

/// A sensor, or several that have the same name in the same group: described twice, one is still one.
struct Member {
    name: String,
    /// Which group; none if nothing is known that would make one.
    group: Option<usize>,
    statistics: Option<Statistics>,
}

/// What is known of the sensors.
#[derive(Default)]
struct Sensors {
    /// What the members of a group have in common: the place or the kind, and the unit.
    groups: Vec<[String; 2]>,
    members: Vec<Member>,
    /// Which member each sensor of the feed is.
    numbers: Vec<usize>,
}

/// The task.
///
/// # Errors
/// The parameters are wrong, or there is no whole feed.
pub async fn run(Parameters { by, least_sensors }: Parameters, system: &impl Fed) -> Result<Report, Error> {
    if least_sensors < LEAST_SENSORS {
        return Err(Error::Least);
    }
    let mut feed = system.feed().await?;
    let (mut sensors, mut report) = (Sensors::default(), Report::default());
    while let Some(item) = feed.next().await? {
        match item {
            Item::Sensor(new) => sensors.describe(new, by),
            Item::Readings(sensor, readings) => {
                let statistics = &mut sensors.members[sensors.numbers[sensor]].statistics;
                for value in readings.iter().map(|reading| reading.value) {
                    match statistics {
                        _ if !number::is_plausible(value) => report.implausible += 1,
                        Some(statistics) => statistics.push(value),
                        None => *statistics = Some(Statistics::of(value)),
                    }
                }
            }
            Item::Gap(gap) => report.left_out = report.left_out.saturating_add(gap.readings),
        }
    }
    report.readings = feed.readings();
    sensors.report(least_sensors, &mut report);
    Ok(report)
}

impl Sensors {
    /// Finds a new sensor its group.
    fn describe(&mut self, new: feed::Sensor<'_>, by: By) {
        let of = match by {
            By::Place => new.place,
            By::Kind => new.kind,
        };
        let key = [of, new.unit];
        let group = (!of.is_empty()).then(|| find(&mut self.groups, |group| *group == key, || key.map(String::from)));
        let is_known = |member: &Member| member.name == new.name && member.group == group;
        let member = || Member { name: new.name.to_string(), group, statistics: None };
        self.numbers.push(find(&mut self.members, is_known, member));
    }

    /// Says of each group what may be said.
    fn report(self, least_sensors: u32, report: &mut Report) {
        let mut room = Room::new(MAX_BYTES - HEAD_BYTES);
        let means = |group| {
            let members = self.members.iter().filter(move |member| member.group == group);
            members.filter_map(|member| Some(member.statistics?.mean()))
        };
        report.suppressed_sensors = means(None).count() as u32;
        for (number, [of, unit]) in self.groups.into_iter().enumerate() {
            let sensors = means(Some(number)).count() as u32;
            if sensors == 0 {
                // It has said nothing.
            } else if sensors < least_sensors {
                report.suppressed_groups += 1;
                report.suppressed_sensors += sensors;
            } else if room.take(&[&of, &unit], GROUP_BYTES) {
                let mean = means(Some(number)).sum::<f64>() / f64::from(sensors);
                report.groups.push(Group { of, unit, sensors, mean });
            } else {
                report.unreported += 1;
            }
        }
    }
}

/// Where an item is in a list; it is put there if it is not yet.
fn find<T>(list: &mut Vec<T>, is_it: impl FnMut(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    list.iter().position(is_it).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    })
}

impl From<feed::Error> for Error {
    fn from(error: feed::Error) -> Self {
        Self::Feed(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Least => {
                write!(formatter, "least_sensors: {LEAST_SENSORS} at least, or a mean tells who owns one the others")
            }
            Self::Feed(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for Error {}
