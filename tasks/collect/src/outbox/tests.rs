//! Tests of the queue of summaries.

use alloc::vec::Vec;

use proptest::prelude::*;
use readings::Statistics;

use super::{Outbox, Summary};
use crate::window::Window;

fn window(start_s: i64) -> Window {
    Window { sensor: 0, start_s, statistics: Statistics::of(1.0) }
}

/// A queue with `count` summaries.
fn filled(limit: usize, count: i64) -> Outbox {
    let mut outbox = Outbox::new(limit);
    (0..count).for_each(|start_s| outbox.push(window(start_s)));
    outbox
}

fn next(outbox: &Outbox) -> Option<u32> {
    outbox.next().map(|summary| summary.sequence)
}

#[test]
fn summaries_leave_when_they_are_answered() {
    let mut outbox = filled(10, 3);
    outbox.mark_sent(0);
    outbox.mark_sent(1);
    assert_eq!(next(&outbox), Some(2));
    assert!(outbox.answered(2));
    assert_eq!((outbox.len(), next(&outbox)), (2, Some(2)));
    assert!(!outbox.answered(2), "an answer counts once");
    assert!(!outbox.answered(3), "what is not under way is not answered");
    assert_eq!((outbox.len(), outbox.dropped()), (2, 0));
}

#[test]
fn what_was_under_way_over_a_lost_connection_is_sent_again_first() {
    let mut outbox = filled(10, 3);
    outbox.mark_sent(0);
    outbox.mark_sent(1);
    outbox.lost();
    assert_eq!(next(&outbox), Some(0));
    assert!(!outbox.answered(1));
}

#[test]
fn message_numbers_are_never_zero_and_differ_among_those_under_way() {
    let ids: Vec<u16> = (65_530..65_545).map(|sequence| Summary { sequence, window: window(0) }.id()).collect();
    assert!(ids.iter().all(|id| *id != 0));
    assert!(ids.windows(8).all(|ids| ids[1..].iter().all(|id| *id != ids[0])));
}

#[test]
fn a_full_queue_drops_the_oldest_that_is_not_under_way() {
    let mut outbox = filled(3, 3);
    outbox.mark_sent(0);
    outbox.push(window(3));
    assert_eq!((outbox.len(), outbox.dropped(), next(&outbox)), (3, 1, Some(2)));
    outbox.mark_sent(2);
    outbox.mark_sent(3);
    outbox.push(window(4));
    assert_eq!((outbox.len(), outbox.dropped(), next(&outbox)), (3, 2, None));
    assert!(outbox.answered(1));
    outbox.push(window(5));
    // 4 was dropped, and its number with it.
    assert_eq!(next(&outbox), Some(5));
}

#[test]
fn a_summary_that_is_given_up_is_dropped() {
    let mut outbox = filled(3, 2);
    outbox.give_up(0);
    outbox.give_up(0);
    assert_eq!((outbox.len(), outbox.dropped(), next(&outbox)), (1, 1, Some(1)));
}

proptest! {
    /// Each summary is delivered, dropped or still there, and never two of these; the queue keeps its bound.
    #[test]
    fn nothing_disappears(limit in 1usize..6, steps in prop::collection::vec((0u8..5, any::<u32>()), 0..200)) {
        let mut outbox = Outbox::new(limit);
        let (mut pushed, mut delivered) = (0, Vec::new());
        for (step, choice) in steps {
            match step {
                0 => {
                    outbox.push(window(pushed));
                    pushed += 1;
                }
                1 => {
                    if let Some(summary) = outbox.next() {
                        prop_assert_eq!(i64::from(summary.sequence), summary.window.start_s);
                        outbox.mark_sent(summary.sequence);
                    }
                }
                2 => {
                    let id = (choice % 50) as u16 + 1;
                    if outbox.answered(id) {
                        delivered.push(id);
                    }
                }
                3 => outbox.lost(),
                _ => outbox.give_up(choice % 50),
            }
            prop_assert!(outbox.len() <= limit);
            prop_assert_eq!(pushed as u64, delivered.len() as u64 + outbox.dropped() + outbox.len() as u64);
        }
        let count = delivered.len();
        delivered.sort_unstable();
        delivered.dedup();
        prop_assert_eq!(delivered.len(), count);
    }
}
