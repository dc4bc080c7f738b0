//! Tests of repeated messages.

use super::Repeats;

#[test]
fn the_same_message_is_new_while_the_connection_holds() {
    let mut repeats = Repeats::default();
    assert!(!repeats.is_repeat("a", b"1"));
    assert!(!repeats.is_repeat("a", b"1"));
}

#[test]
fn the_first_messages_after_a_reconnect_may_be_repeats() {
    let mut repeats = Repeats::default();
    for payload in [b"1", b"2", b"3"] {
        assert!(!repeats.is_repeat("a", payload));
    }
    repeats.resumed();
    assert!(repeats.is_repeat("a", b"2"));
    assert!(repeats.is_repeat("a", b"3"));
    assert!(!repeats.is_repeat("a", b"4"));
    // The new message ended the repeats.
    assert!(!repeats.is_repeat("a", b"3"));
}

#[test]
fn no_more_repeats_than_could_be_unacknowledged() {
    let mut repeats = Repeats::default();
    repeats.is_repeat("a", b"1");
    repeats.resumed();
    for _ in 0..8 {
        assert!(repeats.is_repeat("a", b"1"));
    }
    assert!(!repeats.is_repeat("a", b"1"));
}

#[test]
fn repeats_of_repeats_are_found_after_a_second_reconnect() {
    let mut repeats = Repeats::default();
    repeats.is_repeat("a", b"1");
    repeats.is_repeat("a", b"2");
    for _ in 0..3 {
        repeats.resumed();
        assert!(repeats.is_repeat("a", b"1"));
        assert!(repeats.is_repeat("a", b"2"));
    }
}

#[test]
fn topic_and_payload_are_told_apart() {
    let mut repeats = Repeats::default();
    repeats.is_repeat("ab", b"c");
    repeats.resumed();
    assert!(!repeats.is_repeat("a", b"bc"));
}
