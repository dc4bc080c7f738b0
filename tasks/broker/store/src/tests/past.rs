//! Readings from elsewhere and those of the store, one behind the other.

use std::string::ToString;
use std::vec::Vec;

use feed::{Gap, Reading, Reason};
use proptest::prelude::*;

use super::deliveries::{delivery, hear, heard, minute};
use super::{LIMITS, NOW, S, named, store, take};
use crate::delivery::{Delivery, Progress, Span};
use crate::store::{Limits, Store};

/// A database with a reading of each sensor every second, up to now.
fn give(delivery: &mut Delivery, store: &Store, name: &str, bytes: &mut Vec<u8>) {
    if !delivery.begin_past(store, &named(name)) {
        return;
    }
    while let Some(Span { from_ns, until_ns }) = delivery.missing(store) {
        let first_s = from_ns.div_euclid(S) + i64::from(from_ns.rem_euclid(S) > 0);
        for second in (first_s..).take_while(|second| second * S < until_ns) {
            while !delivery.has_room() {
                hear(delivery, store, NOW, bytes);
            }
            delivery.take_past(Reading { time_ns: second * S, value: 1.0 });
        }
        delivery.past_came();
        hear(delivery, store, NOW, bytes);
    }
}

fn waiting(contract: &str) -> Delivery {
    let mut delivery = delivery(contract);
    delivery.await_past();
    delivery
}

#[test]
fn what_the_store_does_not_hold_comes_first_and_nothing_comes_twice() {
    let store = minute();
    let (mut delivery, mut bytes) = (waiting("name=yard/*&name=attic&past_s=100"), Vec::new());
    // Nothing of the store before it is known what came before.
    assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Wait(None));
    assert!(heard(&bytes).readings.is_empty() && delivery.awaits_past());
    for name in ["yard/a", "roof/a", "attic", "yard/b"] {
        give(&mut delivery, &store, name, &mut bytes);
    }
    delivery.end_past(true);
    assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Ended);
    let heard = heard(&bytes);
    assert_eq!(
        (heard.names, heard.gaps),
        (["yard/a", "yard/b", "attic"].map(|name| name.to_string()).to_vec(), Vec::new())
    );
    for sensor in 0..3 {
        let times: Vec<_> =
            heard.readings.iter().filter(|(of, _)| *of == sensor).map(|(_, before_s)| *before_s).collect();
        assert_eq!(times, (1..=100).rev().collect::<Vec<_>>(), "{sensor}");
    }
    let given = delivery.given();
    assert_eq!((given.readings, given.fetched, given.sensors), (300, 180, 3));
}

#[test]
fn a_sensor_that_the_store_holds_from_before_the_window_waits_for_nobody() {
    let store = minute();
    let (mut delivery, mut bytes) = (waiting("name=roof/a&past_s=30&live=yes"), Vec::new());
    assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Wait(None));
    assert_eq!(heard(&bytes).readings.len(), 30);
    assert!(delivery.begin_past(&store, &named("roof/a")));
    assert_eq!(delivery.missing(&store), None);
}

#[test]
fn a_live_feed_goes_on_behind_the_past_and_a_sensor_has_one_number() {
    let mut store = store(LIMITS);
    let (mut delivery, mut bytes) = (waiting("name=*&past_s=10&live=yes"), Vec::new());
    hear(&mut delivery, &store, NOW, &mut bytes);
    give(&mut delivery, &store, "a", &mut bytes);
    give(&mut delivery, &store, "b", &mut bytes);
    // One that came from there too, and one that is new; of one sensor whose turn is over, and one whose turn it is.
    for name in ["a", "b"] {
        take(&mut store, name, 1, 1.0);
        take(&mut store, name, 0, 1.0);
    }
    take(&mut store, "c", 0, 1.0);
    hear(&mut delivery, &store, NOW, &mut bytes);
    let of = |bytes: &[u8], sensor| heard(bytes).readings.iter().filter(|(of, _)| *of == sensor).count();
    assert_eq!((of(&bytes, 0), of(&bytes, 1), of(&bytes, 2)), (11, 10, 0));
    delivery.end_past(true);
    assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Wait(None));
    assert_eq!((of(&bytes, 0), of(&bytes, 1), of(&bytes, 2)), (11, 11, 1));
    assert_eq!(heard(&bytes).names, ["a", "b", "c"]);
}

#[test]
fn what_was_not_asked_for_is_wrong_and_what_did_not_come_is_a_gap() {
    let rules = [crate::Rule::parse("name=a&max=85").expect("a rule")];
    let store = Store::new(LIMITS, rules.to_vec()).expect("memory");
    let (mut delivery, mut bytes) = (waiting("name=a&past_s=10"), Vec::new());
    hear(&mut delivery, &store, NOW, &mut bytes);
    assert!(!delivery.begin_past(&store, &named("b")) && delivery.missing(&store).is_none());
    assert!(delivery.begin_past(&store, &named("a")));
    assert_eq!(delivery.missing(&store), Some(Span { from_ns: NOW - 10 * S, until_ns: NOW }));
    for (before_s, value) in [(11, 1.0), (9, 1.0), (9, 1.0), (10, 1.0), (-1, 1.0), (8, 86.0), (8, f64::NAN), (7, 85.0)]
    {
        delivery.take_past(Reading { time_ns: NOW - before_s * S, value });
    }
    // Next to what was asked for.
    delivery.take_past(Reading { time_ns: NOW + 400, value: 1.0 });
    hear(&mut delivery, &store, NOW, &mut bytes);
    // What is missing behind a connection that was lost.
    assert_eq!(delivery.missing(&store), Some(Span { from_ns: NOW - 7 * S + 1, until_ns: NOW }));
    delivery.end_past(false);
    assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Ended);
    let heard = heard(&bytes);
    assert_eq!(heard.readings, [(0, 9), (0, 7)]);
    let (sensor, readings) = (Some(0), 6);
    let wrong = Gap { sensor, readings, reason: Reason::Invalid };
    assert_eq!(heard.gaps, [wrong, Gap { sensor: None, readings: 0, reason: Reason::NotFetched }]);
}

#[test]
fn the_rate_of_the_contract_holds_for_the_past() {
    let store = store(LIMITS);
    let (mut delivery, mut bytes) = (waiting("name=a&past_s=90&rate=40"), Vec::new());
    hear(&mut delivery, &store, NOW, &mut bytes);
    assert!(delivery.begin_past(&store, &named("a")) && delivery.missing(&store).is_some());
    (1..=90).rev().for_each(|before_s| delivery.take_past(Reading { time_ns: NOW - before_s * S, value: 0.0 }));
    delivery.past_came();
    for (second, count) in [(0, 40), (1, 80), (2, 90)] {
        let progress = hear(&mut delivery, &store, NOW + second * S, &mut bytes);
        let paused = Progress::Wait(Some(NOW + (second + 1) * S));
        assert_eq!(progress, if count < 90 { paused } else { Progress::Wait(None) });
        assert_eq!((heard(&bytes).readings.len(), delivery.has_given()), (count, count == 90));
    }
}

proptest! {
    /// Whatever the store holds, and loses while the past comes.
    #[test]
    fn no_reading_is_lost_or_comes_twice_where_both_meet(
        held_s in 0i64..400, window_s in 1i64..600, more in 0usize..30_000, before_turn in any::<bool>()
    ) {
        // Room for some thousand readings.
        let mut store = store(Limits { bytes: 160 << 10, sensors: 2, ..LIMITS });
        (1..=held_s).rev().for_each(|before_s| { take(&mut store, "a", before_s, 1.0); });
        let (mut delivery, mut bytes) = (waiting(&std::format!("name=a&past_s={window_s}")), Vec::new());
        hear(&mut delivery, &store, NOW, &mut bytes);
        // The same sensor displaces its own.
        let displace = |store: &mut Store| for number in 0..more {
            let value = (number as f64).sin();
            store.take(&named("a"), Reading { time_ns: NOW + number as i64, value }, NOW);
        };
        if before_turn {
            displace(&mut store);
        }
        delivery.begin_past(&store, &named("a"));
        if let Some(span) = delivery.missing(&store) {
            delivery.take_past(Reading { time_ns: span.from_ns, value: 1.0 });
            hear(&mut delivery, &store, NOW, &mut bytes);
            // The connection is lost.
        }
        if !before_turn {
            displace(&mut store);
        }
        // As `give`, from there on.
        while let Some(span) = delivery.missing(&store) {
            for before_s in (1..=window_s).rev().filter(|before_s| (span.from_ns..span.until_ns).contains(&(NOW - before_s * S))) {
                while !delivery.has_room() {
                    hear(&mut delivery, &store, NOW, &mut bytes);
                }
                delivery.take_past(Reading { time_ns: NOW - before_s * S, value: 1.0 });
            }
            delivery.past_came();
            hear(&mut delivery, &store, NOW, &mut bytes);
        }
        delivery.end_past(true);
        prop_assert_eq!(hear(&mut delivery, &store, NOW, &mut bytes), Progress::Ended);
        let heard = heard(&bytes);
        prop_assert_eq!(heard.readings, (1..=window_s).rev().map(|before_s| (0, before_s)).collect::<Vec<_>>());
        // What came after the window may have left before the feed saw that it was after it.
        prop_assert!(heard.gaps.iter().all(|gap| gap.reason == Reason::NotTaken), "{:?}", heard.gaps);
    }
}
