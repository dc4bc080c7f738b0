//! Tests of repeated messages.

use super::{REMEMBERED, Repeats};

fn received(count: u8) -> Repeats {
    let mut repeats = Repeats::new();
    (0..count).for_each(|number| assert!(!repeats.is_repeat("a", &[number])));
    repeats
}

#[test]
fn the_same_message_is_new_while_the_connection_holds() {
    let mut repeats = received(3);
    assert!(!repeats.is_repeat("a", &[2]));
}

#[test]
fn messages_after_a_reconnect_may_be_repeats_in_their_order() {
    let mut repeats = received(5);
    repeats.resumed();
    assert!(repeats.is_repeat("a", &[2]));
    assert!(repeats.is_repeat("a", &[3]));
    // 3 has come, so 3 and what was before it do not come again.
    assert!(!repeats.is_repeat("a", &[3]));
    assert!(repeats.is_repeat("a", &[4]));
}

#[test]
fn something_new_ends_the_repeats() {
    let mut repeats = received(3);
    repeats.resumed();
    assert!(!repeats.is_repeat("a", &[9]));
    repeats.ended();
    assert!(!repeats.is_repeat("a", &[2]));
}

#[test]
fn equal_messages_are_not_swallowed_for_ever() {
    let mut repeats = Repeats::new();
    (0..100).for_each(|_| assert!(!repeats.is_repeat("a", b"on")));
    repeats.resumed();
    let swallowed = (0..100).filter(|_| repeats.is_repeat("a", b"on")).count();
    assert_eq!(swallowed, REMEMBERED);
}

#[test]
fn repeats_of_repeats_are_found_after_a_second_reconnect() {
    let mut repeats = received(2);
    for _ in 0..3 {
        repeats.resumed();
        assert!(repeats.is_repeat("a", &[0]));
        assert!(repeats.is_repeat("a", &[1]));
    }
}

#[test]
fn topic_and_payload_are_told_apart() {
    let mut repeats = Repeats::new();
    repeats.is_repeat("ab", b"c");
    repeats.resumed();
    assert!(!repeats.is_repeat("a", b"bc"));
}
