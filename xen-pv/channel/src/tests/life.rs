//! Who is told of what, and how ends come and go.

use std::sync::atomic::Ordering::SeqCst;

use super::{Pair, Port, pages};
use crate::layout::{
    CLIENT_LIVE, CLIENT_NOTIFY, GRANTS, LEFT_CONS, LEFT_ORDER, LEFT_PROD, LIVE_AWAITED, LIVE_CONNECTED, LIVE_GONE,
    Layout, NOTIFY_WRITE, PAGE_BYTES, RIGHT_CONS, RIGHT_ORDER, RIGHT_PROD, SERVER_LIVE, SERVER_NOTIFY,
};
use crate::{ControlPage, Error, LocalMemory, Offer, Peer, Wait, Want, server};

#[test]
fn a_server_describes_itself_as_xens_library_does() {
    let page = LocalMemory::new(PAGE_BYTES);
    // A page that was used before.
    for at in (0..PAGE_BYTES).step_by(4) {
        page.write_u32(at, 0x5a5a_5a5a);
    }
    let layout = Layout::claimed(13, 12).expect("they fit");
    let server = server(page.clone(), (pages(2), pages(1)), Port::pair().0, layout, &[70, 80, 90]);
    assert_eq!([LEFT_CONS, LEFT_PROD, RIGHT_CONS, RIGHT_PROD].map(|at| page.read_u32(at)), [0; 4]);
    assert_eq!([LEFT_ORDER, RIGHT_ORDER].map(|at| page.read_u16(at)), [13, 12]);
    let bytes = [CLIENT_LIVE, SERVER_LIVE, CLIENT_NOTIFY, SERVER_NOTIFY].map(|at| page.read_u8(at));
    assert_eq!(bytes, [LIVE_AWAITED, LIVE_CONNECTED, NOTIFY_WRITE, 0]);
    assert_eq!([0, 1, 2, 3].map(|index| page.read_u32(GRANTS + 4 * index)), [70, 80, 90, 0x5a5a_5a5a]);
    let offer = Offer::read(page).expect("what the server has written");
    assert_eq!((offer.layout(), offer.left(), offer.right()), (layout, &[70, 80][..], &[90][..]));
    assert_eq!(server.events().sent(), 0);
}

#[test]
fn a_server_waits_for_its_client_and_hears_of_it() {
    let page = LocalMemory::new(PAGE_BYTES);
    let (server_port, client_port) = Port::pair();
    let layout = Layout::claimed(10, 11).expect("they fit");
    let mut server = server(page.clone(), (None::<LocalMemory>, None), server_port.clone(), layout, &[]);
    // The event channel has no other end yet, which is no reason to give up.
    server_port.bound.store(false, SeqCst);
    assert_eq!(server.peer(), Ok(Peer::Awaited));
    assert_eq!(server.prepare_wait(Want::Data(1)), Ok(Wait::Sleep));
    // What the client shall find when it comes.
    assert_eq!(server.write(b"welcome"), Ok(7));
    server_port.bound.store(true, SeqCst);
    let mut client = Offer::read(page).expect("an offer").connect((None::<LocalMemory>, None), client_port.clone());
    assert_eq!(client_port.sent(), 1);
    assert_eq!((server.peer(), client.peer()), (Ok(Peer::Connected), Ok(Peer::Connected)));
    let mut text = [0; 7];
    assert_eq!(client.read(&mut text), Ok(7));
    assert_eq!(text, *b"welcome");
}

#[test]
fn a_client_goes_on_where_the_page_says_that_another_was() {
    let mut pair = Pair::after(12, 13, u32::MAX - 2);
    assert_eq!((pair.client.write(b"old"), pair.server.write(b"new")), (Ok(3), Ok(3)));
    let offer = Offer::read(pair.page.clone()).expect("an offer");
    let mut second = offer.connect(pair.rings.clone(), pair.client_port.clone());
    assert_eq!(second.write(b"er"), Ok(2));
    let mut text = [0; 9];
    assert_eq!((pair.server.read(&mut text), &text[..5]), (Ok(5), &b"older"[..]));
    assert_eq!((second.read(&mut text), &text[..3]), (Ok(3), &b"new"[..]));
}

#[test]
fn an_event_is_sent_to_who_has_asked_for_it_and_to_nobody_else() {
    let mut pair = Pair::new(12, 13);
    let (at_server, at_client) = (pair.server_port, pair.client_port);
    // Each tells of its first bytes, because it was asked at the beginning; the client has also told that it is there.
    assert_eq!((pair.client.write(&[1]), at_client.sent()), (Ok(1), 2));
    assert_eq!((pair.server.write(&[1]), at_server.sent()), (Ok(1), 1));
    for end in [&mut pair.client, &mut pair.server] {
        assert_eq!((end.write(&[1]), end.read(&mut [0])), (Ok(1), Ok(1)));
    }
    assert_eq!((at_server.sent(), at_client.sent()), (0, 0));

    // Once for each time that it was asked.
    assert_eq!(pair.server.prepare_wait(Want::Data(9)), Ok(Wait::Sleep));
    assert_eq!((pair.client.write(&[2]), pair.client.write(&[2]), at_client.sent()), (Ok(1), Ok(1), 1));
    assert_eq!(pair.client.prepare_wait(Want::Data(9)), Ok(Wait::Sleep));
    assert_eq!((pair.server.write(&[2]), pair.server.write(&[2]), at_server.sent()), (Ok(1), Ok(1), 1));
    assert_eq!(pair.client.prepare_wait(Want::Room(4096)), Ok(Wait::Sleep));
    assert_eq!((pair.server.read(&mut [0]), pair.server.read(&mut [0]), at_server.sent()), (Ok(1), Ok(1), 1));
    assert_eq!(pair.server.prepare_wait(Want::Room(8192)), Ok(Wait::Sleep));
    assert_eq!((pair.client.read(&mut [0]), pair.client.read(&mut [0]), at_client.sent()), (Ok(1), Ok(1), 1));

    // Who wants to hear of bytes is not told of room, and the other way round.
    assert_eq!(pair.server.prepare_wait(Want::Data(9)), Ok(Wait::Sleep));
    assert_eq!((pair.client.read(&mut [0]), at_client.sent()), (Ok(1), 0));
    assert_eq!((pair.client.write(&[0]), at_client.sent()), (Ok(1), 1));
    assert_eq!(pair.server.write(&[0]), Ok(1));
    assert_eq!(pair.server.prepare_wait(Want::Room(8192)), Ok(Wait::Sleep));
    assert_eq!((pair.client.write(&[0]), at_client.sent()), (Ok(1), 0));
}

#[test]
fn who_finds_what_it_wants_does_not_sleep() {
    let mut pair = Pair::new(10, 12);
    assert_eq!(pair.client.write(&[0; 24]), Ok(24));
    assert_eq!(pair.server.prepare_wait(Want::Data(24)), Ok(Wait::Ready));
    assert_eq!(pair.server.prepare_wait(Want::Data(25)), Ok(Wait::Sleep));
    assert_eq!(pair.client.prepare_wait(Want::Room(1000)), Ok(Wait::Ready));
    assert_eq!(pair.client.prepare_wait(Want::Room(1001)), Ok(Wait::Sleep));
    assert_eq!(pair.client.prepare_wait(Want::Room(1025)), Err(Error::TooLong));
    assert_eq!(pair.server.prepare_wait(Want::Data(1025)), Err(Error::TooLong));
    assert_eq!(pair.server.prepare_wait(Want::Room(4096)), Ok(Wait::Ready));
}

#[test]
fn an_end_that_is_dropped_is_gone_and_what_it_said_is_still_there() {
    let mut pair = Pair::new(10, 12);
    pair.client_port.sent();
    assert_eq!((pair.client.write(&[3; 5]), pair.client_port.sent()), (Ok(5), 1));
    drop(pair.client);
    assert_eq!((pair.page.read_u8(CLIENT_LIVE), pair.client_port.sent()), (LIVE_GONE, 1));
    assert_eq!(pair.server.peer(), Ok(Peer::Gone));
    assert_eq!((pair.server.write(&[1]), pair.server.send(&[1])), (Err(Error::Closed), Err(Error::Closed)));
    assert_eq!(pair.server.prepare_wait(Want::Data(5)), Ok(Wait::Ready));
    assert_eq!(pair.server.prepare_wait(Want::Data(6)), Ok(Wait::Closed));
    assert_eq!(pair.server.prepare_wait(Want::Room(1)), Ok(Wait::Closed));
    assert_eq!(pair.server.read(&mut [0; 9]), Ok(5));
    assert_eq!(pair.server.prepare_wait(Want::Data(1)), Ok(Wait::Closed));
    // It does not come back.
    pair.page.write_u8(CLIENT_LIVE, LIVE_CONNECTED);
    assert_eq!(pair.server.peer(), Ok(Peer::Gone));

    let mut pair = Pair::new(10, 12);
    drop(pair.server);
    assert_eq!((pair.page.read_u8(SERVER_LIVE), pair.server_port.sent()), (LIVE_GONE, 1));
    assert_eq!(pair.client.peer(), Ok(Peer::Gone));
    assert_eq!(pair.client.prepare_wait(Want::Room(1)), Ok(Wait::Closed));
}

#[test]
fn a_domain_that_dies_without_a_word_is_found_by_who_looks() {
    let mut pair = Pair::new(10, 12);
    assert_eq!(pair.server.peer(), Ok(Peer::Connected));
    pair.client_port.bound.store(false, SeqCst);
    for end in [&mut pair.server, &mut pair.client] {
        assert_eq!(end.prepare_wait(Want::Data(1)), Ok(Wait::Sleep));
        assert_eq!(end.peer(), Ok(Peer::Gone));
        assert_eq!(end.prepare_wait(Want::Data(1)), Ok(Wait::Closed));
        assert_eq!(end.write(&[1]), Err(Error::Closed));
    }
}
