//! The task, fed with arrays, and as a process.

use std::process::Command;

use kernel::feed::{self, Gap, Reason, SENSORS_MAX, Sensor};
use privacy::{By, Error, Group, Parameters, Report, run};
use testing::{Feeder, Guest};

fn reported(by: By, least_sensors: u32, feed: Feeder) -> Result<Report, Error> {
    let guest = Guest::new();
    guest.feed(feed);
    let parameters = Parameters { by, least_sensors };
    guest.run(run(parameters, &guest), |_| {}).expect("a feed that is there is read to its end")
}

/// A sensor with readings: name, kind and unit, place.
fn describe(feed: &mut Feeder, name: &str, kind: &str, place: &str, values: &[f64]) {
    let unit = if kind == "temperature" { "Cel" } else { "" };
    let sensor = feed.sensor(Sensor { name, kind, unit, place });
    feed.values(sensor, values);
}

fn group(of: &str, unit: &str, sensors: u32, mean: f64) -> Group {
    Group { of: of.into(), unit: unit.into(), sensors, mean }
}

fn houses() -> Feeder {
    let mut feed = Feeder::new();
    // As chatty as it is, it is one of three.
    describe(&mut feed, "1", "temperature", "north", &[30.0; 1000]);
    describe(&mut feed, "2", "temperature", "north", &[18.0, 20.0]);
    describe(&mut feed, "3", "temperature", "north", &[20.0]);
    describe(&mut feed, "4", "temperature", "south", &[10.0]);
    describe(&mut feed, "5", "temperature", "south", &[14.0]);
    describe(&mut feed, "6", "temperature", "", &[1000.0]);
    describe(&mut feed, "7", "power", "north", &[5.0]);
    feed
}

#[test]
fn a_group_has_a_mean_of_its_sensors_and_one_that_is_small_has_nothing() {
    let report = reported(By::Place, 3, houses()).expect("a whole feed");
    assert_eq!(report.groups, [group("north", "Cel", 3, 23.0)]);
    assert_eq!((report.suppressed_groups, report.suppressed_sensors), (2, 4));
    let report = reported(By::Kind, 6, houses()).expect("a whole feed");
    assert_eq!(report.groups, [group("temperature", "Cel", 6, (30.0 + 19.0 + 20.0 + 10.0 + 14.0 + 1000.0) / 6.0)]);
    assert_eq!((report.suppressed_groups, report.suppressed_sensors), (1, 1));
}

#[test]
fn a_sensor_that_is_described_twice_makes_no_group_larger() {
    let mut feed = houses();
    describe(&mut feed, "4", "temperature", "south", &[12.0]);
    let report = reported(By::Place, 3, feed).expect("a whole feed");
    assert_eq!((report.groups.len(), report.suppressed_groups, report.suppressed_sensors), (1, 2, 4));
}

#[test]
fn a_sensor_without_a_plausible_reading_makes_no_group_larger() {
    let mut feed = houses();
    describe(&mut feed, "8", "temperature", "south", &[f64::NAN, f64::INFINITY, 1e31]);
    let silent = feed.sensor(Sensor { name: "9", kind: "temperature", unit: "Cel", place: "south" });
    feed.gap(Gap { sensor: Some(silent), readings: 4, reason: Reason::Invalid });
    feed.sensor(Sensor { name: "10", kind: "temperature", unit: "Cel", place: "nowhere" });
    let report = reported(By::Place, 3, feed).expect("a whole feed");
    assert_eq!((report.groups.len(), report.suppressed_groups, report.suppressed_sensors), (1, 2, 4));
    assert_eq!((report.implausible, report.left_out), (3, 4));
}

#[test]
fn what_a_small_group_has_said_is_nowhere_in_the_report() {
    let with = |value: f64| {
        let mut feed = houses();
        describe(&mut feed, "8", "temperature", "west", &[value]);
        reported(By::Place, 3, feed).expect("a whole feed")
    };
    assert_eq!(with(1.0), with(-500.0));
}

#[test]
fn groups_of_two_are_refused() {
    assert_eq!(reported(By::Kind, 2, houses()), Err(Error::Least));
    assert_eq!(reported(By::Kind, 3, Feeder::new()), Ok(Report::default()));
}

#[test]
fn groups_beyond_the_report_are_counted_and_none_is_lost_by_them() {
    let mut feed = Feeder::new();
    for at in 0..SENSORS_MAX {
        let place = format!("{}{:03}", "x".repeat(125), at / 3);
        let sensor = Sensor { name: &at.to_string(), unit: &"x".repeat(128), kind: "", place: &place };
        let sensor = feed.sensor(sensor);
        feed.values(sensor, &[1.0]);
    }
    let report = reported(By::Place, 3, feed).expect("a whole feed");
    assert_eq!(report.groups.len() + report.unreported as usize, SENSORS_MAX / 3);
    assert_eq!((report.suppressed_groups, report.suppressed_sensors), (1, 1));
    let bytes = postcard::to_stdvec(&report).expect("a report").len();
    assert!((kernel::nodes::MAX_BYTES / 2..=kernel::nodes::MAX_BYTES).contains(&bytes), "{bytes} bytes");
}

#[test]
fn a_feed_that_ends_early_is_an_error() {
    let guest = Guest::new();
    guest.feed_bytes(houses().interrupted());
    let report = guest.run(run(Parameters { by: By::Kind, least_sensors: 3 }, &guest), |_| {}).expect("it ends");
    assert_eq!(report, Err(Error::Feed(feed::Error::Interrupted { readings: 1007 })));
}

#[test]
fn parameters_are_words() {
    let run = |words: [&str; 2]| {
        let output = Command::new(env!("CARGO_BIN_EXE_privacy")).args(words).output().expect("a process");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run(["by=place", "least_sensors=2"]).contains("error: least_sensors: 3 at least"));
    assert!(run(["by=name", "least_sensors=3"]).contains("one of place, kind"));
}
