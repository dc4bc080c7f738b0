//! The task, fed with arrays, and as a process with a file.

use std::process::Command;

use downsample::{Error, Parameters, Report, Row, run};
use kernel::feed::{self, Gap, Reading, Reason, SENSORS_MAX, Sensor};
use testing::{Feeder, Guest};

const S: i64 = 1_000_000_000;

fn reported(interval_s: u32, fed: Feeder) -> Result<Report, Error> {
    let guest = Guest::new();
    guest.feed(fed);
    guest.run(run(Parameters { interval_s }, &guest), |_| {}).expect("a feed that is there is read to its end")
}

fn at(time_ns: i64, value: f64) -> Reading {
    Reading { time_ns, value }
}

fn row(start_s: i64, count: u64, [minimum, maximum, mean]: [f64; 3]) -> Row {
    Row { start_s, count, minimum, maximum, mean }
}

#[test]
fn each_interval_has_its_figures_in_the_order_of_time_whatever_that_of_the_readings() {
    let mut feed = Feeder::new();
    let sensor = feed.sensor(Sensor { name: "t", unit: "Cel", ..Sensor::default() });
    feed.sensor(Sensor { name: "silent", ..Sensor::default() });
    feed.readings(sensor, &[at(60 * S, 1.0), at(119 * S + 999_999_999, 2.0), at(120 * S, 7.0)]);
    feed.gap(Gap { sensor: None, readings: 9, reason: Reason::NotKept });
    // Late ones, some of them before 1970, and two empty minutes between.
    feed.readings(sensor, &[at(61 * S, 6.0), at(-1, 4.0), at(-60 * S, 8.0), at(-60 * S - 1, 5.0), at(300 * S, 0.5)]);
    let report = reported(60, feed).expect("a whole feed");
    assert_eq!((report.readings, report.left_out, report.unreported), (8, 9, 0));
    let [sensor] = &report.sensors[..] else { panic!("{report:?}") };
    assert_eq!((sensor.name.as_str(), sensor.unit.as_str()), ("t", "Cel"));
    let expected = [
        row(-120, 1, [5.0; 3]),
        row(-60, 2, [4.0, 8.0, 6.0]),
        row(60, 3, [1.0, 6.0, 3.0]),
        row(120, 1, [7.0; 3]),
        row(300, 1, [0.5; 3]),
    ];
    assert_eq!(sensor.rows, expected);
}

#[test]
fn the_first_and_the_last_time_have_intervals_too() {
    for interval_s in [1, 7, 3600, u32::MAX] {
        let mut feed = Feeder::new();
        let sensor = feed.sensor(Sensor { name: "t", ..Sensor::default() });
        feed.readings(sensor, &[at(i64::MAX, 1.0), at(i64::MIN, 2.0)]);
        let rows = reported(interval_s, feed).expect("a whole feed").sensors[0].rows.clone();
        for (row, time_ns) in rows.iter().zip([i64::MIN, i64::MAX]) {
            let start_ns = i128::from(row.start_s) * i128::from(S);
            let passed = i128::from(time_ns) - start_ns;
            assert!((0..i128::from(interval_s) * i128::from(S)).contains(&passed), "{interval_s} {row:?}");
            assert_eq!(row.start_s % i64::from(interval_s), 0);
        }
    }
}

#[test]
fn what_is_no_number_has_no_interval() {
    let mut feed = Feeder::new();
    let sensor = feed.sensor(Sensor { name: "t", ..Sensor::default() });
    feed.values(sensor, &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e31]);
    assert_eq!(reported(1, feed), Ok(Report { readings: 4, implausible: 4, ..Report::default() }));
    assert_eq!(reported(1, Feeder::new()), Ok(Report::default()));
    assert_eq!(reported(0, Feeder::new()), Err(Error::Interval));
}

#[test]
fn intervals_beyond_the_report_are_counted_and_those_before_are_not_lost() {
    let text = "x".repeat(128);
    let mut feed = Feeder::new();
    for _ in 0..SENSORS_MAX {
        let sensor = feed.sensor(Sensor { name: &text, unit: &text, ..Sensor::default() });
        feed.values(sensor, &[1.0, 2.0]);
    }
    // All of these in an interval that has room already.
    feed.values(0, &[3.0; 1]);
    let report = reported(1, feed).expect("a whole feed");
    let counted: u64 = report.sensors.iter().flat_map(|sensor| &sensor.rows).map(|row| row.count).sum();
    assert_eq!(counted + report.unreported, report.readings);
    assert_eq!(report.sensors[0].rows[0], row(0, 2, [1.0, 3.0, 2.0]));
    let bytes = postcard::to_stdvec(&report).expect("a report").len();
    assert!((kernel::nodes::MAX_BYTES / 2..=kernel::nodes::MAX_BYTES).contains(&bytes), "{bytes} bytes");
}

#[test]
fn a_feed_that_ends_early_is_an_error() {
    let guest = Guest::new();
    guest.feed_bytes(Feeder::new().interrupted());
    let report = guest.run(run(Parameters { interval_s: 1 }, &guest), |_| {}).expect("it ends");
    assert_eq!(report, Err(Error::Feed(feed::Error::Interrupted { readings: 0 })));
}

#[test]
fn a_file_is_a_feed_on_this_machine() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("readings.csv");
    std::fs::write(&file, "time,t\n2024-01-01T00:00:59Z,20.5\n2024-01-01T00:01:00Z,21.5\n").expect("a file");
    let feed = format!("feed={}", file.display());
    let run = |word: &str| {
        Command::new(env!("CARGO_BIN_EXE_downsample")).args([feed.as_str(), word]).output().expect("a process")
    };
    let said = String::from_utf8_lossy(&run("interval_s=60").stdout).into_owned();
    assert!(said.contains("sensors.0.rows.1.start_s=1704067260 sensors.0.rows.1.count=1 "), "{said}");
    let said = String::from_utf8_lossy(&run("interval_s=0").stderr).into_owned();
    assert!(said.contains("error: interval_s: a second at least"), "{said}");
}
