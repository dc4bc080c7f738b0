//! A model that keeps all that is right, and takes its time.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use feed::{Decoder, Item, Reading};
use proptest::prelude::*;

use super::{LIMITS, S, kept, named, store};
use crate::contract::Contract;
use crate::delivery::{Delivery, Progress};
use crate::store::{Limits, Store};
use crate::taken::Taken;

/// What happens to a store.
#[derive(Debug, Clone)]
enum Step {
    /// So many readings of a sensor, each so long after the one before.
    Readings { sensor: u8, count: u16, distance_ns: i64, value: f64 },
    /// Time passes.
    Wait(u32),
    /// The task takes what there is.
    Deliver,
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), (-1000i32..1000).prop_map(|tenths| f64::from(tenths) / 10.0)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..6, 1u16..400, prop_oneof![-S..S, Just(S), 0i64..1000], value())
            .prop_map(|(sensor, count, distance_ns, value)| Step::Readings { sensor, count, distance_ns, value }),
        1 => (0u32..2000).prop_map(Step::Wait),
        2 => Just(Step::Deliver),
    ]
}

/// What is right of each sensor, all of it.
#[derive(Default)]
struct Model(BTreeMap<String, Vec<(i64, u64)>>);

impl Model {
    fn take(&mut self, name: &str, reading: Reading, now_ns: i64, limits: Limits) -> Taken {
        let all = self.0.entry(name.to_string()).or_default();
        let (time_ns, bits) = (reading.time_ns, reading.value.to_bits());
        if all.last() == Some(&(time_ns, bits)) {
            return Taken::Duplicate;
        }
        if !reading.value.is_finite() {
            return Taken::OutOfRange;
        }
        if time_ns > now_ns + i64::from(limits.ahead_s) * S {
            return Taken::Ahead;
        }
        if time_ns < now_ns - i64::from(limits.age_s) * S {
            return Taken::Old;
        }
        if all.last().is_some_and(|last| last.0 >= time_ns) {
            return Taken::Late;
        }
        all.push((time_ns, bits));
        Taken::Kept
    }
}

/// What a task was told, by sensor: readings, and how many were left out because they had gone.
#[derive(Debug, Default)]
struct Task {
    names: Vec<String>,
    readings: BTreeMap<String, Vec<(i64, u64)>>,
    lost: BTreeMap<String, u64>,
    decoder: Decoder,
    /// Bytes that are not a whole frame: the feed's first ones, before there is a sensor.
    held: Vec<u8>,
}

impl Task {
    fn hear(&mut self, bytes: &[u8]) {
        self.held.extend(bytes);
        let (bytes, mut at) = (core::mem::take(&mut self.held), 0);
        while bytes.len() - at >= self.decoder.wanted(&bytes[at..]).expect("a feed") {
            let (count, item) = self.decoder.next(&bytes[at..]).expect("a feed");
            at += count;
            match item {
                Some(Item::Sensor(sensor)) => self.names.push(sensor.name.to_string()),
                Some(Item::Readings(sensor, readings)) => {
                    let all = self.readings.entry(self.names[sensor].clone()).or_default();
                    all.extend(readings.iter().map(|reading| (reading.time_ns, reading.value.to_bits())));
                }
                Some(Item::Gap(gap)) if gap.reason == feed::Reason::NotTaken => {
                    *self.lost.entry(self.names[gap.sensor.expect("one")].clone()).or_default() += gap.readings;
                }
                Some(Item::Gap(_)) => {}
                None => panic!("a live feed has no end"),
            }
        }
        self.held.extend(&bytes[at..]);
        assert!(self.held.is_empty() || self.names.is_empty(), "all is whole frames");
    }
}

fn deliver(delivery: &mut Delivery, store: &Store, now_ns: i64) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut out = Vec::new();
        let progress = delivery.fill(store, now_ns, &mut out);
        all.extend(out);
        match progress {
            Progress::More => {}
            Progress::Wait(until_ns) => {
                assert_eq!(until_ns, None);
                return all;
            }
            Progress::Ended => panic!("a live feed has no end"),
        }
    }
}

fn check(steps: Vec<Step>) {
    let limits = Limits { bytes: 24 << 10, sensors: 6, ..LIMITS };
    let (mut store, mut model) = (store(limits), Model::default());
    let mut now_ns = super::NOW;
    let (mut delivery, mut task) = (Delivery::new(Contract::parse("name=*").expect("a contract")), Task::default());
    task.hear(&deliver(&mut delivery, &store, now_ns));
    let mut times = [now_ns - 1000 * S; 6];
    for step in steps {
        match step {
            Step::Readings { sensor, count, distance_ns, value } => {
                let (name, time_ns) = (sensor.to_string(), &mut times[usize::from(sensor)]);
                for number in 0..count {
                    *time_ns += distance_ns;
                    let reading = Reading { time_ns: *time_ns, value: value + f64::from(number / 3) };
                    let taken = store.take(&named(&name), reading, now_ns);
                    assert_eq!(taken, model.take(&name, reading, now_ns, limits));
                }
            }
            Step::Wait(seconds) => {
                now_ns += i64::from(seconds) * S;
                store.expire(now_ns);
            }
            Step::Deliver => task.hear(&deliver(&mut delivery, &store, now_ns)),
        }
        assert!(store.bytes_used() <= limits.bytes);
    }
    task.hear(&deliver(&mut delivery, &store, now_ns));
    for (number, sensor) in store.sensors().iter().enumerate() {
        let (all, kept) = (&model.0[sensor.name()], kept(&store, number as u32));
        let counts = sensor.counts();
        assert!(all.ends_with(&kept), "what is kept is the last of what came, bit for bit");
        assert_eq!(counts.taken, all.len() as u64);
        assert_eq!(counts.displaced + counts.expired, (all.len() - kept.len()) as u64);
        // What the task has was never out of order, and what it does not have was said.
        let taken = task.readings.remove(sensor.name()).unwrap_or_default();
        let lost = task.lost.remove(sensor.name()).unwrap_or(0);
        assert_eq!(taken.len() as u64 + lost, all.len() as u64);
        let mut rest = all.iter();
        assert!(taken.iter().all(|reading| rest.any(|other| other == reading)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_store_keeps_the_last_of_what_the_model_keeps(steps in prop::collection::vec(step(), 1..60)) {
        check(steps);
    }
}
