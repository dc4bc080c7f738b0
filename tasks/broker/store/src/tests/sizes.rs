//! What a reading costs: the figures that README.md gives.

use feed::Reading;

use super::{NOW, named};
use crate::store::{Limits, Store};
use crate::taken::Taken;

const BUDGET: usize = 64 << 20;

/// Random numbers that are always the same.
struct Random(u64);

impl Random {
    fn next(&mut self, below: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as i64 % below
    }
}

/// Fills a store with readings of 20 sensors, so many of them a second, and says how many bytes each takes.
fn bytes_each(mut reading: impl FnMut(i64, &mut Random) -> Reading) -> f64 {
    let limits = Limits { bytes: BUDGET, sensors: 1024, age_s: u32::MAX, ahead_s: u32::MAX };
    let mut store = Store::new(limits, [].into()).expect("memory");
    let mut random = Random(1);
    let names: [_; 20] = core::array::from_fn(|number| std::format!("sensor/{number}"));
    for number in 0..5000 {
        for name in &names {
            assert_eq!(store.take(&named(name), reading(number, &mut random), NOW), Taken::Kept);
        }
    }
    assert_eq!(store.kept(), 100_000);
    store.bytes_used() as f64 / 100_000.0
}

/// A sensor's walk, in hundredths.
fn walk(number: i64, random: &mut Random) -> f64 {
    (2000 + number % 700 + random.next(5)) as f64 / 100.0
}

#[test]
fn five_million_readings_of_typical_sensors_find_room_in_64_mib() {
    const SECOND: i64 = 1_000_000_000;
    let at = |number: i64, noise_ns: i64| NOW + number * SECOND + noise_ns;
    let regular = bytes_each(|number, random| Reading { time_ns: at(number, 0), value: walk(number, random) });
    // Dated by the broker when a message comes, with milliseconds of noise.
    let dated = bytes_each(|number, random| Reading {
        time_ns: at(number, random.next(20_000_000)),
        value: walk(number, random),
    });
    let single = bytes_each(|number, random| Reading {
        time_ns: at(number, random.next(20_000_000)),
        value: f64::from(walk(number, random) as f32 / 3.0),
    });
    // The worst that a sensor can do: all bits of a value, at any time.
    let any = bytes_each(|number, random| Reading {
        time_ns: at(number, random.next(SECOND)),
        value: 1.0 / (1.0 + random.next(1 << 40) as f64),
    });
    let readings = |bytes: f64| (BUDGET - (2 << 20)) as f64 / bytes / 1e6;
    std::println!("bytes a reading: {regular:.1} regular, {dated:.1} dated on arrival, {single:.1} f32, {any:.1} any");
    assert!(readings(regular) > 15.0, "{regular}");
    assert!(readings(dated) > 9.0, "{dated}");
    assert!(readings(single) > 6.0, "{single}");
    assert!(any < 18.0, "{any}");
}
