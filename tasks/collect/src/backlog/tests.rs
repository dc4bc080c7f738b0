//! Tests of the queue of summaries.

use alloc::vec::Vec;

use embassy_time::Instant;
use proptest::prelude::*;
use readings::Statistics;

use super::{Backlog, Next, Summary};
use crate::window::Window;

fn window(start_s: i64) -> Window {
    Window { sensor: 0, start_s, statistics: Statistics::of(1.0) }
}

/// A queue with `count` summaries.
fn filled(limit: usize, count: i64) -> Backlog {
    let mut backlog = Backlog::new(limit, 0);
    (0..count).for_each(|start_s| {
        backlog.push(window(start_s));
    });
    backlog
}

const NOW: Instant = Instant::from_secs(100);

fn next(backlog: &Backlog) -> Option<u32> {
    match backlog.next(NOW) {
        Next::Summary(summary) => Some(summary.sequence),
        Next::Later(_) | Next::Nothing => None,
    }
}

#[test]
fn summaries_leave_when_they_are_answered() {
    let mut backlog = filled(10, 3);
    backlog.mark_sent(0);
    backlog.mark_sent(1);
    assert_eq!(next(&backlog), Some(2));
    assert!(backlog.answered(2));
    assert_eq!((backlog.len(), next(&backlog)), (2, Some(2)));
    assert!(!backlog.answered(2), "an answer counts once");
    assert!(!backlog.answered(3), "what is not under way is not answered");
    assert_eq!((backlog.len(), backlog.dropped()), (2, 0));
}

#[test]
fn what_was_under_way_over_a_lost_connection_is_sent_again_first() {
    let mut backlog = filled(10, 3);
    backlog.mark_sent(0);
    backlog.mark_sent(1);
    backlog.lost();
    assert_eq!(next(&backlog), Some(0));
    assert!(!backlog.answered(1));
}

#[test]
fn message_numbers_are_never_zero_and_differ_among_those_under_way() {
    let ids: Vec<u16> = (65_530..65_545)
        .map(|sequence| Summary { number: sequence, run: 0, sequence, window: window(0) }.id())
        .collect();
    assert!(ids.iter().all(|id| *id != 0));
    assert!(ids.windows(8).all(|ids| ids[1..].iter().all(|id| *id != ids[0])));
}

#[test]
fn a_full_queue_drops_the_oldest_that_is_not_under_way() {
    let mut backlog = filled(3, 3);
    backlog.mark_sent(0);
    assert!(!backlog.push(window(3)));
    assert_eq!((backlog.len(), backlog.dropped(), next(&backlog)), (3, 1, Some(2)));
    backlog.mark_sent(2);
    backlog.mark_sent(3);
    assert!(!backlog.push(window(4)));
    assert_eq!((backlog.len(), backlog.dropped(), next(&backlog)), (3, 2, None));
    assert!(backlog.answered(1));
    assert!(backlog.push(window(5)));
    // 4 was dropped, and its number with it.
    assert_eq!(next(&backlog), Some(5));
}

#[test]
fn a_summary_that_is_given_up_is_dropped() {
    let mut backlog = filled(3, 2);
    backlog.give_up(0);
    backlog.give_up(0);
    assert_eq!((backlog.len(), backlog.dropped(), next(&backlog)), (1, 1, Some(1)));
}

#[test]
fn a_refused_summary_waits_longer_each_time_and_others_pass_it() {
    let mut backlog = filled(3, 2);
    for pause_s in [1, 2, 4, 8, 16, 32, 60, 60] {
        backlog.mark_sent(0);
        assert!(backlog.refused(1, NOW));
        assert!(!backlog.refused(1, NOW), "it is not under way");
        assert_eq!(next(&backlog), Some(1));
        backlog.mark_sent(1);
        let until = Instant::from_secs(100 + pause_s);
        assert_eq!(backlog.next(NOW), Next::Later(until));
        assert!(matches!(backlog.next(until), Next::Summary(summary) if summary.sequence == 0));
        backlog.lost();
        // With another connection it still waits.
        assert_eq!(next(&backlog), Some(1));
    }
    backlog.mark_sent(0);
    assert!(backlog.give_up_answered(1) && !backlog.give_up_answered(1));
    assert_eq!((backlog.len(), backlog.dropped()), (1, 1));
}

proptest! {
    /// Each summary is delivered, dropped or still there, and never two of these; the queue keeps its bound.
    #[test]
    fn nothing_disappears(limit in 1usize..6, steps in prop::collection::vec((0u8..7, any::<u32>()), 0..200)) {
        let mut backlog = Backlog::new(limit, 0);
        let (mut pushed, mut delivered) = (0, Vec::new());
        for (step, choice) in steps {
            match step {
                0 => {
                    backlog.push(window(pushed));
                    pushed += 1;
                }
                1 => {
                    if let Next::Summary(summary) = backlog.next(NOW) {
                        prop_assert_eq!(i64::from(summary.sequence), summary.window.start_s);
                        backlog.mark_sent(summary.sequence);
                    }
                }
                2 => {
                    let id = (choice % 50) as u16 + 1;
                    if backlog.answered(id) {
                        delivered.push(id);
                    }
                }
                3 => backlog.lost(),
                4 => {
                    backlog.refused((choice % 50) as u16 + 1, NOW);
                }
                5 => {
                    backlog.give_up_answered((choice % 50) as u16 + 1);
                }
                _ => backlog.give_up(choice % 50),
            }
            prop_assert!(backlog.len() <= limit);
            prop_assert_eq!(pushed as u64, delivered.len() as u64 + backlog.dropped() + backlog.len() as u64);
        }
        let count = delivered.len();
        delivered.sort_unstable();
        delivered.dedup();
        prop_assert_eq!(delivered.len(), count);
    }
}
