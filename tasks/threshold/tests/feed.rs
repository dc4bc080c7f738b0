//! The task, fed with arrays, and as a process with a file.

use std::process::Command;

use kernel::feed::{self, Gap, Reading, Reason, SENSORS_MAX, Sensor};
use testing::{Feeder, Guest};
use threshold::{Alarm, Error, Parameters, Report, run};

const S: i64 = 1_000_000_000;

fn reported(parameters: Parameters, fed: Feeder) -> Result<Report, Error> {
    let guest = Guest::new();
    guest.feed(fed);
    guest.run(run(parameters, &guest), |_| {}).expect("a feed that is there is read to its end")
}

/// Above 30 and below 25.
fn limits(lasting_s: Option<u32>) -> Parameters {
    Parameters { high: 30.0, low: Some(25.0), lasting_s }
}

fn one(name: &str) -> (Feeder, usize) {
    let mut feed = Feeder::new();
    let sensor = feed.sensor(Sensor { name, ..Sensor::default() });
    (feed, sensor)
}

fn alarm(sensor: &str, [time_s, ended_s]: [i64; 2], value: f64, highest: f64) -> Alarm {
    Alarm { sensor: sensor.into(), time_ns: time_s * S, value, highest, ended_ns: Some(ended_s * S) }
}

#[test]
fn an_alarm_begins_above_one_value_and_ends_below_another() {
    let (mut feed, sensor) = one("t");
    feed.values(sensor, &[30.0, 30.5, 29.0, 31.0, 25.0, 24.5, 30.0, 26.0, 40.0]);
    let report = reported(limits(None), feed).expect("a whole feed");
    let open = Alarm { ended_ns: None, ..alarm("t", [8, 0], 40.0, 40.0) };
    assert_eq!(report, Report { readings: 9, alarms: vec![alarm("t", [1, 5], 30.5, 31.0), open], ..Report::default() });
}

#[test]
fn sensors_are_apart_even_of_one_name() {
    let (mut feed, first) = one("t");
    let second = feed.sensor(Sensor { name: "t", ..Sensor::default() });
    feed.values(first, &[31.0]);
    feed.values(second, &[32.0, 20.0]);
    let alarms = reported(limits(None), feed).expect("a whole feed").alarms;
    assert_eq!(alarms.iter().map(|alarm| alarm.ended_ns).collect::<Vec<_>>(), [None, Some(S)]);
}

#[test]
fn an_excess_may_have_to_last() {
    let (mut feed, sensor) = one("t");
    // Two peaks that are too short, and one that is not.
    feed.values(sensor, &[31.0, 32.0, 30.0, 31.0, 32.0, 29.0, 33.0, 34.0, 35.0, 20.0]);
    let alarms = reported(limits(Some(2)), feed).expect("a whole feed").alarms;
    assert_eq!(alarms, [alarm("t", [8, 9], 35.0, 35.0)]);
}

#[test]
fn a_gap_ends_no_alarm_but_begins_an_excess_anew() {
    let (mut feed, sensor) = one("t");
    let other = feed.sensor(Sensor { name: "u", ..Sensor::default() });
    let at = |time_s: i64, value| Reading { time_ns: time_s * S, value };
    for sensor in [sensor, other] {
        feed.readings(sensor, &[at(0, 31.0)]);
    }
    feed.gap(Gap { sensor: Some(sensor), readings: 3, reason: Reason::NotTaken });
    for sensor in [sensor, other] {
        feed.readings(sensor, &[at(5, 32.0)]);
    }
    feed.gap(Gap { sensor: None, readings: 4, reason: Reason::Restarted });
    for sensor in [sensor, other] {
        feed.readings(sensor, &[at(9, 33.0), at(14, 20.0)]);
    }
    let report = reported(limits(Some(5)), feed).expect("a whole feed");
    assert_eq!((report.left_out, report.alarms), (7, vec![alarm("u", [5, 14], 32.0, 33.0)]));
}

#[test]
fn what_is_late_or_no_number_begins_and_ends_nothing() {
    let (mut feed, sensor) = one("t");
    let at = |time_s: i64, value| Reading { time_ns: time_s * S, value };
    feed.values(sensor, &[f64::INFINITY, f64::NAN, 2e30]);
    feed.readings(sensor, &[at(9, 20.0), at(8, 99.0), at(9, 31.0), at(3, 0.0), at(10, f64::NEG_INFINITY)]);
    let ends = [(i64::MIN, 0.0), (i64::MAX, 31.0)].map(|(time_ns, value)| Reading { time_ns, value });
    feed.readings(sensor, &ends);
    let report = reported(limits(None), feed).expect("a whole feed");
    assert_eq!((report.readings, report.implausible, report.late), (10, 4, 3));
    assert_eq!(report.alarms, [Alarm { ended_ns: None, ..alarm("t", [9, 0], 31.0, 31.0) }]);
}

#[test]
fn a_live_feed_has_its_report_when_the_task_is_asked_to_end() {
    let (mut feed, sensor) = one("t");
    feed.values(sensor, &[31.0]);
    let guest = Guest::new();
    guest.feed_live(feed);
    let report = guest.run(run(limits(None), &guest), Guest::stop).expect("it ends").expect("a report");
    assert_eq!((report.readings, report.stopped, report.alarms.len()), (1, true, 1));
}

#[test]
fn a_feed_that_ends_early_is_an_error() {
    let guest = Guest::new();
    guest.feed_bytes(one("t").0.interrupted());
    let report = guest.run(run(limits(None), &guest), |_| {}).expect("it ends");
    assert_eq!(report, Err(Error::Feed(feed::Error::Interrupted { readings: 0 })));
}

#[test]
fn values_that_are_none_are_refused() {
    let wrong = |high, low| reported(Parameters { high, low, lasting_s: None }, Feeder::new());
    for (high, low) in [(f64::NAN, None), (1.0, Some(f64::NAN)), (f64::INFINITY, None), (1.0, Some(1.5))] {
        assert_eq!(wrong(high, low), Err(Error::Values), "{high} {low:?}");
    }
    assert_eq!(wrong(1.0, None), Ok(Report::default()));
    assert_eq!(reported(limits(Some(u32::MAX)), Feeder::new()), Err(Error::Lasting));
}

#[test]
fn alarms_beyond_the_report_are_counted_and_none_is_lost_by_them() {
    let text = "x".repeat(128);
    let mut feed = Feeder::new();
    for _ in 0..SENSORS_MAX {
        let sensor = feed.sensor(Sensor { name: &text, ..Sensor::default() });
        feed.values(sensor, &[f64::from(1 << 20), 0.0]);
    }
    let report = reported(limits(None), feed).expect("a whole feed");
    assert_eq!(report.alarms.len() as u64 + report.unreported, SENSORS_MAX as u64);
    // A beginning and an end each, of which some are said.
    assert_eq!(report.unsaid, 2 * SENSORS_MAX as u64 - 100);
    let bytes = postcard::to_stdvec(&report).expect("a report").len();
    assert!((kernel::nodes::MAX_BYTES / 2..=kernel::nodes::MAX_BYTES).contains(&bytes), "{bytes} bytes");
}

#[test]
fn an_alarm_is_said_at_once() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("alarms.csv");
    std::fs::write(&file, "time,t\n1,30\n2,30.5\n3,24\n").expect("a file");
    let feed = format!("feed={}", file.display());
    let process = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_threshold")).arg(&feed).args(words).output();
        let output = output.expect("the task as a process");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let said = process(&["high=30", "low=25"]);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "alarm: t is above 30.0: 30.5 at 2000000000 ns");
    assert_eq!(lines[1], "alarm: t is over, below 25.0: 24.0 at 3000000000 ns");
    assert!(lines[2].starts_with("result: readings=3 ") && lines[2].contains("alarms.0.sensor=t "), "{said}");
    let said = process(&["high=30", "low=31"]);
    assert!(said.contains("error: high and low: numbers, and low is not above high"), "{said}");
}
