//! A peer that breaks the protocol. What it can write at random is the fuzzer's.

use super::{End, Pair};
use crate::layout::{
    CLIENT_LIVE, LEFT_CONS, LEFT_ORDER, LEFT_PROD, LIVE_AWAITED, RIGHT_CONS, RIGHT_ORDER, RIGHT_PROD, SERVER_LIVE,
    Unfit,
};
use crate::{ControlPage, Error, Fault, Offer, Peer, Want};

/// Every call says the same, whatever the page says by now.
fn assert_broken(end: &mut End, fault: Fault) {
    let broken = Error::Broken(fault);
    assert_eq!((end.readable(), end.writable()), (Err(broken), Err(broken)));
    assert_eq!((end.read(&mut [0]), end.receive(&mut [0])), (Err(broken), Err(broken)));
    assert_eq!((end.write(&[0]), end.send(&[0])), (Err(broken), Err(broken)));
    assert_eq!(end.prepare_wait(Want::Data(1)), Err(broken));
    assert_eq!(end.peer(), Err(broken));
}

#[test]
fn an_index_that_is_farther_than_the_ring_is_long_breaks_the_channel() {
    for ours in [0, 5000, u32::MAX - 100] {
        // As far as the ring is long: it is full.
        let mut pair = Pair::after(12, 13, ours);
        pair.page.write_u32(LEFT_PROD, ours.wrapping_add(4096));
        pair.page.write_u32(RIGHT_CONS, ours.wrapping_sub(8192));
        assert_eq!((pair.server.readable(), pair.server.writable()), (Ok(4096), Ok(0)));
        for too_much in [1, 1 << 31, 0u32.wrapping_sub(8193)] {
            // Behind what can have been written.
            let mut pair = Pair::after(12, 13, ours);
            let fault = Fault::Index { theirs: ours.wrapping_add(4096).wrapping_add(too_much), ours };
            pair.page.write_u32(LEFT_PROD, ours.wrapping_add(4096).wrapping_add(too_much));
            assert_eq!(pair.server.readable(), Err(Error::Broken(fault)));
            pair.page.write_u32(LEFT_PROD, ours);
            assert_broken(&mut pair.server, fault);
            // Before what can have been left to read.
            let mut pair = Pair::after(12, 13, ours);
            let fault = Fault::Index { theirs: ours.wrapping_sub(8192).wrapping_sub(too_much), ours };
            pair.page.write_u32(RIGHT_CONS, ours.wrapping_sub(8192).wrapping_sub(too_much));
            assert_eq!(pair.server.writable(), Err(Error::Broken(fault)));
            pair.page.write_u32(RIGHT_CONS, ours);
            assert_broken(&mut pair.server, fault);
        }
    }
}

#[test]
fn the_other_end_judges_the_same() {
    let mut pair = Pair::new(12, 13);
    pair.page.write_u32(RIGHT_PROD, 8193);
    let fault = Fault::Index { theirs: 8193, ours: 0 };
    assert_eq!(pair.client.read(&mut [0]), Err(Error::Broken(fault)));
    assert_broken(&mut pair.client, fault);
    let mut pair = Pair::new(12, 13);
    pair.page.write_u32(LEFT_CONS, 1);
    let fault = Fault::Index { theirs: 1, ours: 0 };
    assert_eq!(pair.client.write(&[0]), Err(Error::Broken(fault)));
    assert_broken(&mut pair.client, fault);
}

#[test]
fn what_a_peer_writes_over_our_own_indices_is_not_believed() {
    let mut pair = Pair::new(12, 13);
    for at in [LEFT_CONS, RIGHT_PROD] {
        pair.page.write_u32(at, 0xdead_beef);
    }
    assert_eq!((pair.server.readable(), pair.server.writable()), (Ok(0), Ok(8192)));
    assert_eq!(pair.server.write(&[1; 10]), Ok(10));
    assert_eq!((pair.page.read_u32(RIGHT_PROD), pair.client.readable()), (10, Ok(10)));
}

#[test]
fn a_peer_says_of_itself_that_it_is_there_or_gone_and_nothing_else() {
    for value in [3, 0x80, 0xff] {
        let mut pair = Pair::new(12, 13);
        pair.page.write_u8(CLIENT_LIVE, value);
        assert_eq!(pair.server.write(&[0]), Err(Error::Broken(Fault::Live(value))));
        assert_broken(&mut pair.server, Fault::Live(value));
    }
    // A server is never awaited.
    let mut pair = Pair::new(12, 13);
    pair.page.write_u8(SERVER_LIVE, LIVE_AWAITED);
    assert_eq!(pair.client.peer(), Err(Error::Broken(Fault::Live(LIVE_AWAITED))));
    // A client that was there has come: who believed this would wait for it without an end.
    let mut pair = Pair::new(12, 13);
    assert_eq!(pair.server.peer(), Ok(Peer::Connected));
    pair.page.write_u8(CLIENT_LIVE, LIVE_AWAITED);
    assert_eq!(pair.server.peer(), Err(Error::Broken(Fault::Live(LIVE_AWAITED))));
}

#[test]
fn an_offer_of_rings_that_cannot_be_is_refused() {
    let pair = Pair::new(12, 13);
    for (left, right, unfit) in [
        (9, 13, Unfit::Order(9)),
        (12, 21, Unfit::Order(21)),
        (0xffff, 0, Unfit::Order(0xffff)),
        (11, 11, Unfit::SamePlace),
        (20, 10, Unfit::GrantsInRing),
    ] {
        pair.page.write_u16(LEFT_ORDER, left);
        pair.page.write_u16(RIGHT_ORDER, right);
        assert_eq!(Offer::read(pair.page.clone()).err(), Some(unfit));
    }
}
