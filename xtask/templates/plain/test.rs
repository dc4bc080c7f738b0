//! The task on this machine.

use futures_lite::future::block_on;
use host::Host;
use {crate}::{Parameters, Report, run};

fn reported(readings: &[i32], limit: Option<i32>) -> Result<Report, &'static str> {
    let system = Host::new().expect("a platform");
    block_on(run(Parameters { readings: readings.to_vec(), limit }, &system))
}

#[test]
fn the_highest_reading_is_found_and_those_above_the_limit_are_counted() {
    assert_eq!(reported(&[21, 19, 24], Some(20)), Ok(Report { highest: 24, above_limit: 2 }));
    assert_eq!(reported(&[-3], None), Ok(Report { highest: -3, above_limit: 0 }));
}

#[test]
fn no_readings_are_an_error() {
    assert_eq!(reported(&[], None), Err("no readings"));
}
