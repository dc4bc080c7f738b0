//! The task, fed with arrays, and as a process with a file.

use std::process::Command;

use kernel::feed::{self, Gap, Reading, Reason, SENSORS_MAX, Sensor};
use summary::{Error, Parameters, Quantile, Report, run};
use testing::{Feeder, Guest};

fn reported(guest: &Guest) -> Result<Report, Error> {
    asked(guest, None)
}

fn asked(guest: &Guest, quantiles: Option<&[f64]>) -> Result<Report, Error> {
    let parameters = Parameters { quantiles: quantiles.map(<[f64]>::to_vec) };
    guest.run(run(parameters, guest), |_| {}).expect("a feed that is there is read to its end")
}

#[test]
fn each_sensor_has_its_statistics() {
    let mut feed = Feeder::new();
    let outdoors = feed.sensor(Sensor { name: "outdoors", unit: "Cel", ..Sensor::default() });
    let silent = Sensor { name: "silent", ..Sensor::default() };
    let silent = feed.sensor(silent);
    feed.values(outdoors, &[1.0, 2.0]);
    let indoors = feed.sensor(Sensor { name: "indoors", ..Sensor::default() });
    feed.values(indoors, &vec![20.0; 10_000]);
    for readings in [5, u64::MAX] {
        feed.gap(Gap { sensor: Some(outdoors), readings, reason: Reason::Rate });
    }
    feed.values(outdoors, &[3.0, f64::NAN, f64::INFINITY, -1.1e30, 6.0]);
    feed.values(silent, &[f64::NEG_INFINITY]);
    let guest = Guest::new();
    guest.feed(feed);
    let report = reported(&guest).expect("a whole feed");
    assert_eq!((report.readings, report.implausible, report.left_out), (10_008, 4, u64::MAX));
    assert_eq!(report.silent, ["silent"]);
    let [outdoors, indoors] = report.sensors.try_into().expect("two sensors");
    assert!(outdoors.quantiles.is_empty());
    let (outdoors, indoors) = (outdoors.statistics, indoors.statistics);
    assert_eq!((outdoors.name.as_str(), outdoors.unit.as_str(), outdoors.count), ("outdoors", "Cel", 4));
    assert_eq!((outdoors.minimum, outdoors.maximum, outdoors.mean, outdoors.variance), (1.0, 6.0, 3.0, 3.5));
    assert_eq!((indoors.count, indoors.mean, indoors.variance), (10_000, 20.0, 0.0));
}

#[test]
fn a_feed_that_ends_early_is_an_error_that_says_how_much_came() {
    let mut feed = Feeder::new();
    let sensor = feed.sensor(Sensor { name: "t", ..Sensor::default() });
    feed.values(sensor, &[1.0, 2.0]);
    let guest = Guest::new();
    guest.feed_bytes(feed.interrupted());
    assert_eq!(reported(&guest), Err(Error::Feed(feed::Error::Interrupted { readings: 2 })));
    assert_eq!(reported(&guest), Err(Error::Feed(feed::Error::Taken)));
}

#[test]
fn nothing_is_a_summary_too() {
    let guest = Guest::new();
    guest.feed(Feeder::new());
    assert_eq!(asked(&guest, Some(&[0.5])), Ok(Report::default()));
}

/// NIST's Statistical Reference Datasets, univariate, NumAcc1 to NumAcc4: the values are given by a rule, and mean and
/// standard deviation (of a sample) are certified. <https://www.itl.nist.gov/div898/strd/univ/homepage.html>
#[test]
fn means_and_variances_are_those_that_nist_certifies() {
    let alternating = |first: f64, low: f64, high: f64| {
        let rest = (0..1000).map(move |at| if at % 2 == 0 { low } else { high });
        [first].into_iter().chain(rest).collect::<Vec<_>>()
    };
    let sets = [
        (vec![10_000_001.0, 10_000_003.0, 10_000_002.0], 10_000_002.0, 1.0),
        (alternating(1.2, 1.1, 1.3), 1.2, 0.1),
        (alternating(1_000_000.2, 1_000_000.1, 1_000_000.3), 1_000_000.2, 0.1),
        (alternating(10_000_000.2, 10_000_000.1, 10_000_000.3), 10_000_000.2, 0.1),
    ];
    for (values, mean, deviation) in sets {
        let mut feed = Feeder::new();
        let sensor = feed.sensor(Sensor { name: "t", ..Sensor::default() });
        feed.values(sensor, &values);
        let guest = Guest::new();
        guest.feed(feed);
        let statistics = reported(&guest).expect("a whole feed").sensors[0].statistics.clone();
        let count = values.len() as f64;
        let found = (statistics.variance * count / (count - 1.0)).sqrt();
        assert!((statistics.mean - mean).abs() <= 1e-14 * mean, "{statistics:?}");
        // The values themselves are rounded: 10,000,000.2 to 2e-9.
        assert!((found - deviation).abs() <= 1e-15 * mean + 1e-14, "{found} instead of {deviation}");
    }
}

#[test]
fn quantiles_are_exact_while_readings_find_room_and_say_by_how_much_they_may_be_off_beyond_that() {
    let mut feed = Feeder::new();
    let few = feed.sensor(Sensor { name: "few", ..Sensor::default() });
    let many = feed.sensor(Sensor { name: "many", ..Sensor::default() });
    feed.values(few, &(0..4096).rev().map(f64::from).collect::<Vec<_>>());
    feed.values(many, &(0..100_000).map(f64::from).collect::<Vec<_>>());
    let guest = Guest::new();
    guest.feed(feed);
    let [few, many] = asked(&guest, Some(&[0.5, 0.99])).expect("a whole feed").sensors.try_into().expect("two");
    let exact = |fraction, value| Quantile { fraction, value, off_by: 0 };
    assert_eq!(few.quantiles, [exact(0.5, 2047.0), exact(0.99, 4055.0)]);
    for (quantile, right) in many.quantiles.iter().zip([49_999.0, 98_999.0]) {
        assert!((quantile.value - right).abs() <= quantile.off_by as f64 && quantile.off_by < 100, "{quantile:?}");
    }
}

#[test]
fn quantiles_that_are_none_are_refused() {
    for wrong in [&[0.5, 1.1][..], &[-0.1], &[f64::NAN], &[0.5; 17]] {
        assert_eq!(asked(&Guest::new(), Some(wrong)), Err(Error::Quantiles), "{wrong:?}");
    }
    assert!(Error::Quantiles.to_string().contains("16 numbers from 0 to 1"));
}

#[test]
fn sensors_beyond_the_report_are_counted_and_none_is_lost_by_them() {
    // The longest texts; sensors may have the same name, and times any order.
    let text = "x".repeat(128);
    let mut feed = Feeder::new();
    for at in 0..SENSORS_MAX {
        let sensor = feed.sensor(Sensor { name: &text, unit: &text, ..Sensor::default() });
        if at % 2 == 0 {
            feed.readings(sensor, &[Reading { time_ns: i64::MAX, value: 1.0 }, Reading { time_ns: 0, value: 2.0 }]);
        }
    }
    let guest = Guest::new();
    guest.feed(feed);
    let report = asked(&guest, Some(&[0.5; 16])).expect("a whole feed");
    let shown = report.sensors.len() + report.silent.len();
    assert_eq!(shown + report.unreported as usize, SENSORS_MAX);
    assert!(report.sensors.iter().all(|sensor| sensor.statistics.count == 2));
    let bytes = postcard::to_stdvec(&report).expect("a report").len();
    assert!((kernel::nodes::MAX_BYTES / 2..=kernel::nodes::MAX_BYTES).contains(&bytes), "{bytes} bytes");
}

#[test]
fn a_file_is_a_feed_on_this_machine() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("readings.csv");
    std::fs::write(&file, "time,t,h\n2024-01-01T00:00:00Z,20.5,\n2024-01-01T00:00:01Z,21.5,50\n").expect("a file");
    let run =
        |word: &str| Command::new(env!("CARGO_BIN_EXE_summary")).arg(word).output().expect("the task as a process");
    let output = run(&format!("feed={}", file.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("result: readings=3 implausible=0 left_out=0 "), "{said}");
    assert!(said.contains("mean=21") && said.contains("name=h"), "{said}");
    let said = String::from_utf8_lossy(&run("quantiles=0.5,2").stderr).into_owned();
    assert!(said.contains("error: quantiles:"), "{said}");
    let output = run("feed=nowhere.csv");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no feed: nowhere.csv: No such file"), "{said}");
    let said = String::from_utf8_lossy(&run("").stderr).into_owned();
    assert!(said.contains("feed=readings.csv"), "{said}");
}
