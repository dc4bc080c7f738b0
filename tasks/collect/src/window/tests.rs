//! Tests of windows: the rules one by one, and random readings against a sorted map of all of them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;
use readings::{Reading, Statistics};

use super::{Sensors, Taken, Window};

fn reading(name: &str, time: f64, value: f64) -> Reading<'_> {
    Reading { name, unit: "Cel", time, dated: true, value }
}

fn take(sensors: &mut Sensors, reading: &Reading<'_>) -> Taken {
    sensors.take(reading, false)
}

fn close_all(sensors: &mut Sensors) -> Vec<Window> {
    let mut closed = Vec::new();
    sensors.close_all(&mut |window| closed.push(window));
    closed
}

#[test]
fn a_later_reading_of_the_same_sensor_closes_its_window() {
    let mut sensors = Sensors::new(60, 10);
    assert_eq!(take(&mut sensors, &reading("a", 120.0, 1.0)), Taken::Counted(None));
    assert_eq!(take(&mut sensors, &reading("b", 500.0, 7.0)), Taken::Counted(None));
    assert_eq!(take(&mut sensors, &reading("a", 179.999, 3.0)), Taken::Counted(None));
    let mut statistics = Statistics::of(1.0);
    statistics.push(3.0);
    assert_eq!(
        take(&mut sensors, &reading("a", 180.0, 5.0)),
        Taken::Counted(Some(Window { sensor: 0, start_s: 120, statistics }))
    );
}

#[test]
fn windows_without_readings_are_skipped() {
    let mut sensors = Sensors::new(3600, 10);
    take(&mut sensors, &reading("a", 10.0, 1.0));
    let Taken::Counted(Some(first)) = take(&mut sensors, &reading("a", 1_360_195_205.5, 2.0)) else { panic!() };
    assert_eq!(first.start_s, 0);
    assert_eq!(close_all(&mut sensors)[0].start_s, 1_360_195_200);
}

#[test]
fn a_late_reading_is_left_out_of_window_and_totals() {
    let mut sensors = Sensors::new(60, 10);
    take(&mut sensors, &reading("a", 120.0, 1.0));
    assert_eq!(take(&mut sensors, &reading("a", 119.0, 100.0)), Taken::Late);
    // Out of order within the open window is not late.
    assert_eq!(take(&mut sensors, &reading("a", 150.0, 2.0)), Taken::Counted(None));
    assert_eq!(take(&mut sensors, &reading("a", 130.0, 3.0)), Taken::Counted(None));
    assert_eq!(sensors.all()[0].total.maximum(), 3.0);
}

#[test]
fn the_last_reading_again_is_a_repeat() {
    let mut sensors = Sensors::new(60, 10);
    take(&mut sensors, &reading("a", 120.0, 1.0));
    assert_eq!(take(&mut sensors, &reading("a", 120.0, 1.0)), Taken::Repeated);
    assert_eq!(take(&mut sensors, &reading("a", 120.0, 2.0)), Taken::Counted(None));
    assert_eq!(take(&mut sensors, &reading("a", 121.0, 2.0)), Taken::Counted(None));
    let undated = Reading { dated: false, ..reading("a", 121.0, 2.0) };
    assert_eq!(take(&mut sensors, &undated), Taken::Counted(None));
}

#[test]
fn where_repeats_are_expected_nothing_older_is_counted() {
    let mut sensors = Sensors::new(60, 10);
    for time in [120.0, 125.0, 123.0] {
        take(&mut sensors, &reading("a", time, 1.0));
    }
    assert_eq!(sensors.take(&reading("a", 120.0, 1.0), true), Taken::Repeated);
    assert_eq!(sensors.take(&reading("a", 125.0, 7.0), true), Taken::Repeated);
    assert_eq!(sensors.take(&Reading { dated: false, ..reading("a", 121.0, 2.0) }, true), Taken::Counted(None));
    assert_eq!(sensors.take(&reading("a", 126.0, 1.0), true), Taken::Counted(None));
    assert_eq!(sensors.take(&reading("a", 121.0, 1.0), false), Taken::Counted(None));
}

#[test]
fn a_sensor_keeps_its_unit() {
    let mut sensors = Sensors::new(60, 10);
    take(&mut sensors, &reading("a", 120.0, 1.0));
    assert_eq!(take(&mut sensors, &Reading { unit: "K", ..reading("a", 121.0, 274.0) }), Taken::Unusable);
}

#[test]
fn times_out_of_range_are_unusable() {
    let mut sensors = Sensors::new(1, 10);
    for time in [-0.5, 8_796_093_022_208.0, 1e300, f64::NAN, f64::INFINITY] {
        assert_eq!(take(&mut sensors, &reading("a", time, 1.0)), Taken::Unusable);
    }
    assert_eq!(take(&mut sensors, &reading("a", 8_796_093_022_207.5, 1.0)), Taken::Counted(None));
    assert_eq!(close_all(&mut sensors)[0].start_s, 8_796_093_022_207);
}

#[test]
fn no_more_sensors_than_the_limit() {
    let mut sensors = Sensors::new(60, 2);
    take(&mut sensors, &reading("b", 1.0, 1.0));
    take(&mut sensors, &reading("a", 1.0, 1.0));
    assert_eq!(take(&mut sensors, &reading("c", 1.0, 1.0)), Taken::OverLimit);
    assert_eq!(take(&mut sensors, &reading("a", 2.0, 1.0)), Taken::Counted(None));
    let names: Vec<&str> = sensors.all().iter().map(|sensor| &*sensor.name).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn windows_are_closed_once() {
    let mut sensors = Sensors::new(60, 10);
    take(&mut sensors, &reading("a", 1.0, 1.0));
    assert_eq!(close_all(&mut sensors).len(), 1);
    assert_eq!(close_all(&mut sensors).len(), 0);
}

fn statistics(values: &[f64]) -> Statistics {
    let mut statistics = Statistics::of(values[0]);
    values[1..].iter().for_each(|value| statistics.push(*value));
    statistics
}

proptest! {
    /// Of readings in any order, each window gets those that came before a later window was opened.
    #[test]
    fn every_reading_is_in_its_window_or_late(
        window_s in 1u32..5000,
        readings in prop::collection::vec((0u8..5, 0u32..40_000), 1..300),
        disorder in 0u32..10_000,
    ) {
        let mut sensors = Sensors::new(window_s, 4);
        let mut closed = Vec::new();
        // Name, window start -> values, in the order they came.
        let mut expected: BTreeMap<(String, i64), Vec<f64>> = BTreeMap::new();
        let mut newest: BTreeMap<String, i64> = BTreeMap::new();
        let (mut late, mut over) = (0, 0);
        for (step, (sensor, time)) in readings.iter().enumerate() {
            let name = ["north", "east", "south", "west", "up"][usize::from(*sensor)].to_string();
            let time = step as u32 * 500 + time % (disorder + 1);
            let start = i64::from(time / window_s * window_s);
            let value = step as f64;
            let known = newest.contains_key(&name);
            let taken = take(&mut sensors, &reading(&name, f64::from(time), value));
            if !known && newest.len() == 4 {
                over += 1;
                prop_assert_eq!(taken, Taken::OverLimit);
            } else if known && start < newest[&name] {
                late += 1;
                prop_assert_eq!(taken, Taken::Late);
            } else {
                newest.insert(name.clone(), start);
                expected.entry((name, start)).or_default().push(value);
                let Taken::Counted(window) = taken else { panic!("{taken:?}") };
                closed.extend(window);
            }
        }
        closed.extend(close_all(&mut sensors));
        prop_assert_eq!(closed.len(), expected.len());
        for window in &closed {
            let name = sensors.all()[usize::from(window.sensor)].name.to_string();
            prop_assert_eq!(window.statistics, statistics(&expected[&(name, window.start_s)]));
        }
        for sensor in sensors.all() {
            let all: Vec<f64> = expected.iter().filter(|((name, _), _)| **name == *sensor.name).flat_map(|(_, values)| values.clone()).collect();
            prop_assert_eq!(sensor.total, statistics(&all));
        }
        let counted: u64 = sensors.all().iter().map(|sensor| sensor.total.count()).sum();
        prop_assert_eq!(counted + late + over, readings.len() as u64);
    }
}
