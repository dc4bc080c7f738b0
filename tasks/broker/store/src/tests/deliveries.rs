//! What a task gets: exactly the sensors, the window and the rate of its contract.

use std::string::{String, ToString};
use std::vec::Vec;

use feed::{Decoder, Gap, Item, Reason};

use super::{LIMITS, NOW, S, store, take};
use crate::contract::Contract;
use crate::delivery::{Delivery, Progress};
use crate::store::{Limits, Store};

pub(super) fn delivery(contract: &str) -> Delivery {
    Delivery::new(Contract::parse(contract).expect("a contract"))
}

/// What a feed has said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub(super) names: Vec<String>,
    /// Seconds before now, by sensor.
    pub(super) readings: Vec<(usize, i64)>,
    pub(super) gaps: Vec<Gap>,
    pub(super) ended: bool,
}

/// All that there is at this time, and how the feed goes on then.
pub(super) fn hear(delivery: &mut Delivery, store: &Store, now_ns: i64, bytes: &mut Vec<u8>) -> Progress {
    loop {
        match delivery.fill(store, now_ns, bytes) {
            Progress::More => {}
            progress => return progress,
        }
        // `fill` stops where there is enough.
        let mut rest = Vec::new();
        let progress = delivery.fill(store, now_ns, &mut rest);
        bytes.extend(rest);
        if progress != Progress::More {
            return progress;
        }
    }
}

pub(super) fn heard(bytes: &[u8]) -> Heard {
    let (mut heard, mut decoder, mut held) = (Heard::default(), Decoder::new(), bytes);
    while !held.is_empty() {
        assert!(decoder.wanted(held).expect("a feed") <= held.len(), "all is whole frames");
        let (count, item) = decoder.next(held).expect("a feed");
        held = &held[count..];
        match item {
            Some(Item::Sensor(sensor)) => heard.names.push(sensor.name.to_string()),
            Some(Item::Readings(sensor, readings)) => {
                heard.readings.extend(readings.iter().map(|reading| (sensor, (NOW - reading.time_ns) / S)));
            }
            Some(Item::Gap(gap)) => heard.gaps.push(gap),
            None => {
                heard.ended = true;
                return heard;
            }
        }
    }
    heard
}

/// Three sensors with a reading a second for a minute.
pub(super) fn minute() -> Store {
    let mut store = store(LIMITS);
    for before_s in (1..=60).rev() {
        for name in ["yard/a", "yard/b", "roof/a"] {
            take(&mut store, name, before_s, 0.0);
        }
    }
    store
}

#[test]
fn a_window_is_exactly_its_readings_and_an_end() {
    let store = minute();
    let all = |sensors: usize, from: i64, until: i64| -> Vec<_> {
        (0..sensors).flat_map(|sensor| (until..=from).rev().map(move |before_s| (sensor, before_s))).collect()
    };
    let from_s = NOW / S - 30;
    for (contract, names, readings) in [
        ("name=yard/*&past_s=10", &["yard/a", "yard/b"][..], all(2, 10, 1)),
        ("name=*/a&past_s=100", &["yard/a", "roof/a"], all(2, 60, 1)),
        ("name=roof/a&past_s=0", &["roof/a"], all(1, 0, 1)),
        (&std::format!("name=roof/a&from_s={from_s}&until_s={}", from_s + 10), &["roof/a"], all(1, 30, 21)),
        ("name=cellar&past_s=10", &[], all(0, 0, 0)),
    ] {
        let (mut delivery, mut bytes) = (delivery(contract), Vec::new());
        assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Ended, "{contract}");
        let mut heard = heard(&bytes);
        heard.readings.sort_by_key(|(sensor, before_s)| (*sensor, -before_s));
        let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
        assert_eq!(heard, Heard { names, readings, gaps: Vec::new(), ended: true }, "{contract}");
        assert_eq!(delivery.fill(&store, NOW, &mut bytes), Progress::Ended);
    }
}

#[test]
fn a_window_that_reaches_into_the_future_waits_for_its_end() {
    let mut store = minute();
    let until_s = NOW / S + 5;
    let mut delivery = delivery(&std::format!("name=roof/a&from_s={}&until_s={until_s}", until_s - 7));
    let mut bytes = Vec::new();
    assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Wait(Some(until_s * S)));
    take(&mut store, "roof/a", -4, 0.0);
    take(&mut store, "roof/a", -5, 0.0);
    assert_eq!(hear(&mut delivery, &store, until_s * S, &mut bytes), Progress::Ended);
    assert_eq!(heard(&bytes).readings, [(0, 2), (0, 1), (0, -4)]);
}

#[test]
fn a_live_feed_begins_now_and_hears_of_new_sensors() {
    let mut store = minute();
    let (mut delivery, mut bytes) = (delivery("name=roof/*"), Vec::new());
    assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Wait(None));
    take(&mut store, "roof/a", 0, 0.0);
    take(&mut store, "roof/new", 5, 0.0);
    take(&mut store, "cellar", 5, 0.0);
    assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Wait(None));
    let heard = heard(&bytes);
    assert_eq!(heard.names, ["roof/a", "roof/new"]);
    assert_eq!(heard.readings.len(), 2);
    assert!(heard.readings.contains(&(0, 0)) && heard.readings.contains(&(1, 5)) && !heard.ended);
}

#[test]
fn a_live_feed_that_is_not_taken_loses_the_oldest_and_says_so() {
    let mut store = store(Limits { bytes: 200 << 10, ..LIMITS });
    take(&mut store, "a", 80_000, 0.0);
    let (mut delivery, mut bytes) = (delivery("name=a"), Vec::new());
    hear(&mut delivery, &store, NOW, &mut bytes);
    for before_s in (1..80_000).rev() {
        take(&mut store, "a", before_s, f64::from(before_s as i32) / 7.0);
    }
    hear(&mut delivery, &store, NOW, &mut bytes);
    let (heard, given) = (heard(&bytes), delivery.given());
    let [gap] = heard.gaps[..] else { panic!("{:?}", heard.gaps) };
    assert_eq!((gap.sensor, gap.reason), (Some(0), Reason::NotTaken));
    assert!(gap.readings > 1000 && gap.readings + heard.readings.len() as u64 == 79_999, "{gap:?}");
    assert_eq!((given.lost, given.readings), (gap.readings, heard.readings.len() as u64));
    assert_eq!(heard.readings.last(), Some(&(0, 1)));
}

#[test]
fn the_past_is_given_at_the_rate_of_the_contract_and_what_is_live_beyond_it_is_left_out() {
    let mut store = minute();
    let (mut delivery, mut bytes) = (delivery("name=*&past_s=60&live=yes&rate=100"), Vec::new());
    assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Wait(Some(NOW + S)));
    assert_eq!(heard(&bytes).readings.len(), 100);
    assert_eq!(hear(&mut delivery, &store, NOW + S, &mut bytes), Progress::Wait(None));
    assert_eq!((heard(&bytes).readings.len(), heard(&bytes).gaps.len()), (180, 0));
    for number in 0..30 {
        let reading = feed::Reading { time_ns: NOW + number, value: 0.0 };
        store.take(&super::named("roof/a"), reading, NOW);
    }
    // In this second 80 were given already.
    assert_eq!(hear(&mut delivery, &store, NOW + S, &mut bytes), Progress::Wait(None));
    let heard = heard(&bytes);
    assert_eq!(heard.readings.len(), 200);
    assert_eq!(heard.gaps, [Gap { sensor: Some(2), readings: 10, reason: Reason::Rate }]);
    assert_eq!(delivery.given().too_many, 10);
}

#[test]
fn wrong_readings_are_a_gap_of_their_sensor_alone() {
    let mut store = minute();
    let (mut delivery, mut bytes) = (delivery("name=yard/*"), Vec::new());
    take(&mut store, "yard/a", 5, 0.0);
    hear(&mut delivery, &store, NOW, &mut bytes);
    take(&mut store, "yard/b", 0, f64::NAN);
    take(&mut store, "yard/b", 3, 0.0);
    take(&mut store, "roof/a", 3, 0.0);
    hear(&mut delivery, &store, NOW, &mut bytes);
    assert_eq!(heard(&bytes).gaps, [Gap { sensor: Some(1), readings: 2, reason: Reason::Invalid }]);
}

#[test]
fn a_chatty_sensor_does_not_hold_up_the_others_of_a_feed() {
    let mut store = store(LIMITS);
    for before_s in (1..50_000).rev() {
        take(&mut store, "a", before_s, 1.0);
    }
    take(&mut store, "b", 1, 1.0);
    let (mut delivery, mut bytes) = (delivery("name=*&past_s=80000"), Vec::new());
    assert_eq!(delivery.fill(&store, NOW, &mut bytes), Progress::More);
    assert!(bytes.len() < 64 << 10);
    assert!(heard(&bytes).readings.contains(&(1, 1)));
}
