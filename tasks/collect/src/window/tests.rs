//! Tests of windows: the rules one by one, and random readings against a sorted map of all of them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;
use readings::{Reading, Statistics};

use super::{Sensors, Taken, Times, Window};

const TIMES: Times = Times { window_s: 60, grace_s: 0, ahead_s: 300 };

/// A clock that is set, and a window begins.
const NOW: f64 = 1_700_000_040.0;

fn reading(name: &str, time: f64, value: f64) -> Reading<'_> {
    Reading { name, unit: "Cel", time, dated: true, value }
}

/// Sensors, and the windows that were closed.
struct Bench {
    sensors: Sensors,
    closed: Vec<Window>,
    now: f64,
}

impl Bench {
    fn new(times: Times) -> Self {
        Self { sensors: Sensors::new(times, 10), closed: Vec::new(), now: NOW }
    }

    fn take(&mut self, reading: &Reading<'_>) -> Taken {
        self.sensors.take(reading, self.now, &mut |window| self.closed.push(window))
    }

    /// Closes by the clock, over a connection that began long ago.
    fn tick(&mut self, now: f64) {
        self.sensors.close_due(now, 0.0, &mut |window| self.closed.push(window));
    }

    /// Where the windows that were closed begin, relative to now.
    fn starts(&mut self) -> Vec<i64> {
        core::mem::take(&mut self.closed).iter().map(|window| window.start_s - NOW as i64).collect()
    }

    fn close_all(&mut self) -> Vec<i64> {
        self.sensors.close_all(&mut |window| self.closed.push(window));
        self.starts()
    }

    fn series(&self) -> Vec<(&str, &str, u64)> {
        self.sensors.all().iter().map(|sensor| (&*sensor.name, &*sensor.unit, sensor.total.count())).collect()
    }
}

#[test]
fn a_later_reading_of_the_same_series_closes_its_window() {
    let mut bench = Bench::new(TIMES);
    assert_eq!(bench.take(&reading("a", 120.0, 1.0)), Taken::Counted);
    assert_eq!(bench.take(&reading("b", 500.0, 7.0)), Taken::Counted);
    assert_eq!(bench.take(&reading("a", 179.999, 3.0)), Taken::Counted);
    assert_eq!(bench.closed, []);
    assert_eq!(bench.take(&reading("a", 180.0, 5.0)), Taken::Counted);
    let mut statistics = Statistics::of(1.0);
    statistics.push(3.0);
    assert_eq!(bench.closed, [Window { sensor: 0, start_s: 120, statistics }]);
}

#[test]
fn windows_without_readings_are_skipped() {
    let mut bench = Bench::new(Times { window_s: 3600, ..TIMES });
    bench.take(&reading("a", 10.0, 1.0));
    bench.take(&reading("a", 1_360_195_205.5, 2.0));
    assert_eq!(bench.closed[0].start_s, 0);
    bench.closed.clear();
    bench.sensors.close_all(&mut |window| bench.closed.push(window));
    assert_eq!(bench.closed[0].start_s, 1_360_195_200);
}

#[test]
fn a_late_reading_is_left_out_of_window_and_totals() {
    let mut bench = Bench::new(TIMES);
    bench.take(&reading("a", 120.0, 1.0));
    assert_eq!(bench.take(&reading("a", 119.0, 100.0)), Taken::Late);
    // Out of order within the open window is not late.
    assert_eq!(bench.take(&reading("a", 150.0, 2.0)), Taken::Counted);
    assert_eq!(bench.take(&reading("a", 130.0, 3.0)), Taken::Counted);
    assert_eq!(bench.sensors.all()[0].total.maximum(), 3.0);
}

#[test]
fn a_window_waits_for_late_readings_as_long_as_it_is_told() {
    let mut bench = Bench::new(Times { grace_s: 90, ..TIMES });
    // Newest first, over three windows.
    for time in [179.0, 150.0, 121.0, 119.0, 90.0, 61.0] {
        assert_eq!(bench.take(&reading("a", time, 1.0)), Taken::Counted, "{time}");
    }
    // What the first reading had closed: 179 - 90 is behind 60.
    assert_eq!(bench.take(&reading("a", 59.0, 1.0)), Taken::Late);
    assert_eq!(bench.closed, []);
    bench.take(&reading("a", 209.0, 1.0));
    assert_eq!(bench.closed, []);
    bench.take(&reading("a", 210.0, 1.0));
    assert_eq!(bench.closed.iter().map(|window| window.start_s).collect::<Vec<_>>(), [60]);
    assert_eq!(bench.take(&reading("a", 119.0, 1.0)), Taken::Late);
    assert_eq!(bench.sensors.all()[0].total.count(), 8);
}

#[test]
fn equal_readings_count_as_often_as_they_come() {
    let mut bench = Bench::new(TIMES);
    for _ in 0..3 {
        assert_eq!(bench.take(&reading("a", 120.0, 1.0)), Taken::Counted);
    }
    assert_eq!(bench.sensors.all()[0].total.count(), 3);
}

#[test]
fn several_units_of_a_name_are_several_series() {
    let mut bench = Bench::new(TIMES);
    for unit in ["%RH", "lon", "lat", "%RH", "lat"] {
        assert_eq!(bench.take(&Reading { unit, ..reading("a", 120.0, 1.0) }), Taken::Counted);
    }
    bench.take(&Reading { unit: "m", ..reading("b", 120.0, 1.0) });
    bench.take(&Reading { unit: "lat", ..reading("a", 180.0, 1.0) });
    assert_eq!(bench.series(), [("a", "%RH", 2), ("a", "lon", 1), ("a", "lat", 3), ("b", "m", 1)]);
    assert_eq!(bench.closed.iter().map(|window| window.sensor).collect::<Vec<_>>(), [2]);
    // Which of several a reading without a unit belongs to, nobody knows.
    bench.take(&Reading { unit: "", ..reading("a", 180.0, 1.0) });
    assert_eq!(bench.series()[4], ("a", "", 1));
}

#[test]
fn a_unit_that_is_sometimes_left_out_is_no_other_series() {
    let mut bench = Bench::new(TIMES);
    for unit in ["", "Cel", "", "Cel"] {
        assert_eq!(bench.take(&Reading { unit, ..reading("a", 120.0, 1.0) }), Taken::Counted);
    }
    assert_eq!(bench.series(), [("a", "Cel", 4)]);
}

#[test]
fn a_reading_far_in_the_future_costs_itself() {
    let mut bench = Bench::new(TIMES);
    // The first of its sensor, too.
    for time in [NOW + 300.5, NOW * 1000.0, 8_796_093_022_208.0, 1e300, f64::INFINITY, f64::from(u32::MAX)] {
        assert_eq!(bench.take(&reading("a", time, 1.0)), Taken::Ahead, "{time}");
    }
    assert_eq!(bench.series(), []);
    // A clock that is a little ahead now and then closes nothing either.
    for time in [NOW, NOW + 300.0, NOW + 1.0, NOW + 120.0, NOW + 2.0] {
        assert_eq!(bench.take(&reading("a", time, 1.0)), Taken::Counted, "{time}");
    }
    assert_eq!(bench.closed, []);
    bench.now = NOW + 60.0;
    assert_eq!(bench.take(&reading("a", NOW + 60.0, 1.0)), Taken::Counted);
    assert_eq!(bench.starts(), [0]);
    assert_eq!(bench.close_all(), [60, 120, 300]);
}

#[test]
fn a_clock_here_that_is_not_set_calls_nothing_ahead() {
    let mut bench = Bench::new(TIMES);
    bench.now = 100.0;
    assert_eq!(bench.take(&reading("a", NOW, 1.0)), Taken::Counted);
    assert_eq!(bench.take(&reading("a", NOW + 60.0, 1.0)), Taken::Counted);
    assert_eq!(bench.starts(), [0]);
    bench.tick(200.0);
    assert_eq!(bench.closed, []);
}

#[test]
fn times_before_1970_are_unusable() {
    let mut bench = Bench::new(TIMES);
    for time in [-0.5, -1e300, f64::NAN, f64::NEG_INFINITY] {
        assert_eq!(bench.take(&reading("a", time, 1.0)), Taken::Unusable);
    }
    assert_eq!(bench.take(&reading("a", 0.0, 1.0)), Taken::Counted);
}

#[test]
fn the_clock_closes_the_last_window_of_a_sensor_that_died() {
    let mut bench = Bench::new(Times { grace_s: 10, ..TIMES });
    bench.take(&reading("a", NOW + 5.0, 1.0));
    bench.tick(NOW + 69.0);
    assert_eq!(bench.closed, []);
    bench.tick(NOW + 70.0);
    assert_eq!(bench.starts(), [0]);
    // A reading that was ahead keeps its window until that is over.
    bench.take(&reading("a", NOW + 65.0, 1.0));
    bench.tick(NOW + 129.0);
    assert_eq!(bench.closed, []);
    bench.tick(NOW + 130.0);
    assert_eq!(bench.starts(), [60]);
    bench.tick(NOW + 200.0);
    assert_eq!(bench.closed, []);
    // Closed is closed, and what comes next opens the next.
    bench.now = NOW + 201.0;
    assert_eq!(bench.take(&reading("a", NOW + 66.0, 1.0)), Taken::Late);
    assert_eq!(bench.take(&reading("a", NOW + 125.0, 1.0)), Taken::Counted);
}

#[test]
fn the_clock_gives_archives_and_connections_their_time() {
    let mut bench = Bench::new(Times { grace_s: 10, ..TIMES });
    bench.take(&reading("a", 120.0, 1.0));
    bench.tick(NOW + 69.0);
    assert_eq!(bench.closed, []);
    // A reading that has waited at the source since before a new connection still comes in time.
    bench.sensors.close_due(NOW + 80.0, NOW + 75.0, &mut |window| panic!("{window:?}"));
    assert_eq!(bench.take(&reading("a", 121.0, 1.0)), Taken::Counted);
    bench.sensors.close_due(NOW + 85.0, NOW + 75.0, &mut |window| bench.closed.push(window));
    assert_eq!(bench.closed.len(), 1);
    assert_eq!(bench.closed[0].statistics.count(), 2);
}

#[test]
fn no_more_series_than_the_limit() {
    let mut sensors = Sensors::new(TIMES, 2);
    let mut take = |reading| sensors.take(&reading, NOW, &mut |_| {});
    take(reading("b", 1.0, 1.0));
    take(reading("a", 1.0, 1.0));
    assert_eq!(take(reading("c", 1.0, 1.0)), Taken::OverLimit);
    assert_eq!(take(Reading { unit: "K", ..reading("a", 1.0, 1.0) }), Taken::OverLimit);
    assert_eq!(take(reading("a", 2.0, 1.0)), Taken::Counted);
    let names: Vec<&str> = sensors.all().iter().map(|sensor| &*sensor.name).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn windows_are_closed_once_and_few_are_open() {
    let mut bench = Bench::new(Times { ahead_s: 3600, ..TIMES });
    for minute in 0..20 {
        assert_eq!(bench.take(&reading("a", NOW + f64::from(minute * 60), 1.0)), Taken::Counted);
        assert!(bench.sensors.all()[0].open.len() <= 4);
    }
    assert_eq!(bench.starts(), (0..16).map(|minute| minute * 60).collect::<Vec<_>>());
    assert_eq!(bench.close_all().len(), 4);
    assert_eq!(bench.close_all().len(), 0);
}

fn statistics(values: &[f64]) -> Statistics {
    let mut statistics = Statistics::of(values[0]);
    values[1..].iter().for_each(|value| statistics.push(*value));
    statistics
}

proptest! {
    /// Of readings in any order, each window gets those that came before its series was its grace period further.
    #[test]
    fn every_reading_is_in_its_window_or_late(
        window_s in 1u32..5000,
        graces in 0u32..5,
        readings in prop::collection::vec((0u8..5, 0u32..40_000), 1..300),
        disorder in 0u32..10_000,
    ) {
        let grace_s = graces * window_s / 2;
        let mut sensors = Sensors::new(Times { window_s, grace_s, ahead_s: 0 }, 4);
        let mut closed = Vec::new();
        // Name, window start -> values, in the order they came.
        let mut expected: BTreeMap<(String, u32), Vec<f64>> = BTreeMap::new();
        let mut newest: BTreeMap<String, u32> = BTreeMap::new();
        let (mut late, mut over) = (0, 0);
        for (step, (sensor, time)) in readings.iter().enumerate() {
            let name = ["north", "east", "south", "west", "up"][usize::from(*sensor)].to_string();
            let time = step as u32 * 500 + time % (disorder + 1);
            let start = time / window_s * window_s;
            let value = step as f64;
            let taken = sensors.take(&reading(&name, f64::from(time), value), NOW, &mut |window| closed.push(window));
            let known = newest.get(&name).copied();
            if known.is_none() && newest.len() == 4 {
                over += 1;
                prop_assert_eq!(taken, Taken::OverLimit);
            } else if known.is_some_and(|newest| start + window_s + grace_s <= newest) {
                late += 1;
                prop_assert_eq!(taken, Taken::Late);
            } else {
                newest.insert(name.clone(), known.unwrap_or(0).max(time));
                expected.entry((name, start)).or_default().push(value);
                prop_assert_eq!(taken, Taken::Counted);
            }
        }
        sensors.close_all(&mut |window| closed.push(window));
        prop_assert_eq!(closed.len(), expected.len());
        for window in &closed {
            let name = sensors.all()[usize::from(window.sensor)].name.to_string();
            prop_assert_eq!(window.statistics, statistics(&expected[&(name, window.start_s as u32)]));
        }
        for sensor in sensors.all() {
            let own = expected.iter().filter(|((name, _), _)| **name == *sensor.name);
            prop_assert_eq!(sensor.total.count(), own.map(|(_, values)| values.len() as u64).sum::<u64>());
        }
        let counted: u64 = sensors.all().iter().map(|sensor| sensor.total.count()).sum();
        prop_assert_eq!(counted + late + over, readings.len() as u64);
    }
}
