//! The store against a model that keeps everything, and what tasks get of it.

mod deliveries;
mod model;
mod past;
mod sizes;

use std::string::{String, ToString};
use std::vec::Vec;

use feed::Reading;

use crate::store::{Limits, Store};
use crate::taken::Taken;

const S: i64 = 1_000_000_000;
/// The broker's clock, in most tests.
const NOW: i64 = 1_800_000_000 * S;
const LIMITS: Limits = Limits { bytes: 1 << 20, sensors: 64, age_s: 86_400, ahead_s: 300 };

fn store(limits: Limits) -> Store {
    Store::new(limits, Vec::new()).expect("memory")
}

fn named(name: &str) -> feed::Sensor<'_> {
    feed::Sensor { name, ..feed::Sensor::default() }
}

/// Takes a reading of that many seconds before now.
fn take(store: &mut Store, name: &str, before_s: i64, value: f64) -> Taken {
    store.take(&named(name), Reading { time_ns: NOW - before_s * S, value }, NOW)
}

/// All readings of a sensor that are kept: their times and bits.
fn kept(store: &Store, sensor: u32) -> Vec<(i64, u64)> {
    let mut cursor = store.since(sensor, i64::MIN);
    core::iter::from_fn(|| store.read(sensor, &mut cursor))
        .map(|reading| (reading.time_ns, reading.value.to_bits()))
        .collect()
}

#[test]
fn what_is_wrong_is_counted_for_its_sensor() {
    let rules = [crate::Rule::parse("name=a&min=-40&max=85&rate=3").expect("a rule")];
    let mut store = Store::new(LIMITS, rules.to_vec()).expect("memory");
    for (before_s, value, taken) in [
        (100, 1.0, Taken::Kept),
        (100, 1.0, Taken::Duplicate),
        (100, 2.0, Taken::Late),
        (101, 1.0, Taken::Late),
        (99, 85.1, Taken::OutOfRange),
        (99, f64::NAN, Taken::OutOfRange),
        (90_000, 1.0, Taken::Old),
        (-301, 1.0, Taken::Ahead),
        (99, 85.0, Taken::Kept),
        (98, -40.0, Taken::Kept),
        (97, 0.0, Taken::TooOften),
    ] {
        assert_eq!(take(&mut store, "a", before_s, value), taken, "{before_s} {value}");
    }
    assert_eq!(take(&mut store, "b", 1, f64::INFINITY), Taken::OutOfRange);
    let a = store.sensors()[0].counts();
    assert_eq!((a.taken, a.duplicates, a.late, a.out_of_range, a.old, a.ahead, a.too_often), (3, 1, 2, 2, 1, 1, 1));
    assert_eq!(a.wrong(), 7);
    // In the next second there may be more.
    let later = Reading { time_ns: NOW, value: 0.0 };
    assert_eq!(store.take(&named("a"), later, NOW + S), Taken::Kept);
}

#[test]
fn sensors_have_names_and_are_as_many_as_there_may_be() {
    let mut store = store(Limits { sensors: 2, ..LIMITS });
    let long = "x".repeat(129);
    for name in ["", "a\n", &long] {
        assert_eq!(take(&mut store, name, 1, 0.0), Taken::NoName, "{name}");
    }
    assert_eq!(take(&mut store, "a", 1, 0.0), Taken::Kept);
    let other_unit = feed::Sensor { name: "a", unit: "Cel", ..feed::Sensor::default() };
    let reading = Reading { time_ns: NOW - S, value: 0.0 };
    assert_eq!(store.take(&other_unit, reading, NOW), Taken::Kept);
    assert_eq!(take(&mut store, "b", 1, 0.0), Taken::NoSensor);
    assert_eq!(store.sensors().iter().map(|sensor| sensor.unit().to_string()).collect::<Vec<String>>(), ["", "Cel"]);
}

#[test]
fn a_store_that_cannot_be_says_what_it_needs() {
    let least = match Store::new(Limits { bytes: 1, ..LIMITS }, Vec::new()) {
        Err(crate::TooSmall::Limits { sensors: 64, bytes }) => bytes,
        other => panic!("{other:?}"),
    };
    assert!(Store::new(Limits { bytes: least, ..LIMITS }, Vec::new()).is_ok());
    assert!(Store::new(Limits { bytes: least - 1, ..LIMITS }, Vec::new()).is_err());
    assert!(Store::new(Limits { sensors: 0, ..LIMITS }, Vec::new()).is_err());
}

#[test]
fn a_chatty_sensor_displaces_itself_and_no_other() {
    let mut store = store(Limits { bytes: 200 << 10, ..LIMITS });
    let quiet: Vec<_> = (0..20).map(|number| std::format!("quiet/{number}")).collect();
    for number in 0..200_000i64 {
        let reading = Reading { time_ns: NOW + number, value: number as f64 / 7.0 };
        assert_eq!(store.take(&named("chatty"), reading, NOW), Taken::Kept);
        // These say little, and nothing at all from then on.
        if number % 200 == 0 && number < 20_000 {
            for name in &quiet {
                assert_eq!(store.take(&named(name), reading, NOW), Taken::Kept);
            }
        }
    }
    let [chatty, quiet @ ..] = store.sensors() else { panic!("no sensor") };
    assert!(chatty.counts().displaced > 100_000);
    for sensor in quiet {
        assert_eq!((sensor.counts().taken, sensor.counts().displaced), (100, 0), "{}", sensor.name());
    }
    assert!(store.bytes_used() <= 200 << 10);
}

#[test]
fn what_is_too_old_leaves() {
    let mut store = store(LIMITS);
    for before_s in (0..86_400).rev() {
        assert_eq!(take(&mut store, "a", before_s, f64::from(before_s as i32) / 7.0), Taken::Kept);
    }
    store.expire(NOW + 80_000 * S);
    let expired = store.sensors()[0].counts().expired;
    // In whole chunks: a few more than wanted stay.
    assert!((79_000..=80_000).contains(&expired), "{expired}");
    assert_eq!(store.kept(), 86_400 - expired);
    store.expire(NOW + 200_000 * S);
    assert_eq!((store.kept(), store.bytes_used()), (0, 0));
    assert_eq!(
        store.take(&named("a"), Reading { time_ns: NOW + 200_000 * S, value: 1.0 }, NOW + 200_000 * S),
        Taken::Kept
    );
    assert_eq!(kept(&store, 0).len(), 1);
}
