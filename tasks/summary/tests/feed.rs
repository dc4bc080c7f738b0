//! The task, fed with arrays, and as a process with a file.

use std::process::Command;

use kernel::feed::{Error, Gap, Reason, Sensor};
use summary::{Parameters, Report, run};
use testing::{Feeder, Guest};

fn reported(guest: &Guest) -> Result<Report, Error> {
    guest.run(run(Parameters {}, guest), |_| {}).expect("a feed that is there is read to its end")
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
    feed.gap(Gap { sensor: Some(outdoors), readings: 5, reason: Reason::Rate });
    feed.values(outdoors, &[3.0, f64::NAN, f64::INFINITY, 6.0]);
    feed.values(silent, &[f64::NEG_INFINITY]);
    let guest = Guest::new();
    guest.feed(feed);
    let report = reported(&guest).expect("a whole feed");
    assert_eq!((report.readings, report.not_finite, report.left_out), (10_007, 3, 5));
    assert_eq!(report.silent, ["silent"]);
    let [outdoors, indoors] = report.sensors.try_into().expect("two sensors");
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
    assert_eq!(reported(&guest), Err(Error::Interrupted { readings: 2 }));
    assert_eq!(reported(&guest), Err(Error::Taken));
}

#[test]
fn a_file_is_a_feed_on_this_machine() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("readings.csv");
    std::fs::write(&file, "time,t,h\n2024-01-01T00:00:00Z,20.5,\n2024-01-01T00:00:01Z,21.5,50\n").expect("a file");
    let run =
        |word: &str| Command::new(env!("CARGO_BIN_EXE_summary")).arg(word).output().expect("the task as a process");
    let output = run(&format!("feed={}", file.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("result: readings=3 not_finite=0 left_out=0 "), "{said}");
    assert!(said.contains("mean=21") && said.contains("name=h"), "{said}");
    let output = run("feed=nowhere.csv");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no feed: nowhere.csv: No such file"), "{said}");
    let said = String::from_utf8_lossy(&run("").stderr).into_owned();
    assert!(said.contains("feed=readings.csv"), "{said}");
}
