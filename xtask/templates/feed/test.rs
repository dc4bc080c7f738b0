//! The task on this machine, fed by the test.

use kernel::feed::{Error, Sensor};
use testing::{Feeder, Guest};
use {crate}::{Parameters, Report, run};

fn feeder() -> Feeder {
    let mut feed = Feeder::new();
    let sensor = feed.sensor(Sensor { name: "outdoors", unit: "Cel", ..Sensor::default() });
    feed.values(sensor, &[21.0, 19.0, 24.0]);
    feed
}

#[test]
fn the_highest_reading_is_found_and_those_above_the_limit_are_counted() {
    let guest = Guest::new();
    guest.feed(feeder());
    let report = guest.run(run(Parameters { limit: Some(20.0) }, &guest), |_| {});
    assert_eq!(report, Some(Ok(Report { highest: 24.0, above_limit: 2 })));
}

#[test]
fn a_feed_without_its_end_is_an_error() {
    let guest = Guest::new();
    guest.feed_bytes(feeder().interrupted());
    let report = guest.run(run(Parameters { limit: None }, &guest), |_| {});
    assert_eq!(report, Some(Err(Error::Interrupted { readings: 3 })));
}
