//! Exchanges with the store that fail, or that something else comes in between.

use std::cell::RefCell;

use kernel::console::Console;
use xen_fake::bed::{BUFFERS, Bed};
use xen_fake::machine::GUEST;
use xen_fake::{Machine, Netback};
use xen_pv::xenstore::{ErrorKind, Rights};
use xen_sys::types::{Domid, Port};

thread_local! {
    /// What this test's thread has written.
    static WRITTEN: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Buffer;

impl Console for Buffer {
    fn write(&self, bytes: &[u8]) {
        WRITTEN.with_borrow_mut(|written| written.push_str(&String::from_utf8_lossy(bytes)));
    }
}

/// Lets the guest and the store go on until the guest has sent so many further requests.
fn until_requests(machine: &mut Machine, count: u32) {
    let limit = machine.store.requests + count;
    while machine.store.requests < limit {
        assert!(machine.turn_of_the_guest(), "the guest is at rest");
    }
}

#[test]
fn a_repair_between_a_look_that_fails_and_its_reply_is_seen() {
    // However far the guest is by then.
    for requests in 1..40 {
        let mut bed = Bed::unattached(BUFFERS);
        let mut netback = Netback::new(&bed.machine.xen, Domid(0));
        netback.mac = "none".to_owned();
        let path = format!("{}/mac", netback.own_frontend());
        bed.machine.attach(netback);
        let limit = bed.machine.store.requests + requests;
        while bed.machine.store.requests < limit && bed.machine.turn_of_the_guest() {}
        bed.machine.store.write(&path, "00:16:3e:01:02:03");
        bed.machine.settle();
        assert!(bed.is_up(), "after {requests} requests");
    }
}

#[test]
fn a_look_that_fails_after_the_offer_takes_it_back_in_the_open() {
    let mut bed = Bed::unattached(BUFFERS);
    let mut netback = Netback::new(&bed.machine.xen, Domid(0));
    netback.slow_script = true;
    bed.machine.attach(netback);
    bed.machine.settle();
    // The backend has the rings and has not shown it yet.
    assert_eq!(Netback::frontend_shown(&bed.machine.store), "4");
    assert!(!bed.is_up() && bed.netback().rings.is_some());
    bed.machine.store.fail_reads("mac", "EIO");
    bed.machine.store.write(&format!("{}/anything", Netback::frontend()), "");
    until_requests(&mut bed.machine, 1);
    bed.machine.settle();
    assert_eq!(Netback::frontend_shown(&bed.machine.store), "6", "the backend must see that it is to let go");
    bed.machine.store.fail_reads("", "");
    let Machine { netback, store, .. } = &mut bed.machine;
    netback.as_ref().expect("a card").script_ends(store);
    bed.machine.settle();
    bed.assert_works();
    assert_eq!(bed.machine.grants.quarantined(), 0);
}

#[test]
fn an_end_that_cannot_be_shown_is_shown_later() {
    let mut bed = Bed::connected();
    let path = format!("{}/state", Netback::frontend());
    bed.machine.store.allow(&path, &[(Domid(0), Rights::None)]);
    let Machine { netback, store, .. } = &mut bed.machine;
    netback.as_ref().expect("a card").request_close(store);
    bed.machine.settle();
    assert!(!bed.is_up());
    assert_eq!(Netback::frontend_shown(&bed.machine.store), "4");
    bed.machine.store.allow(&path, &[(GUEST, Rights::None), (Domid(0), Rights::Read)]);
    bed.machine.store.write(&format!("{}/anything", Netback::frontend()), "");
    bed.machine.settle();
    assert_eq!(Netback::frontend_shown(&bed.machine.store), "6");
}

#[test]
fn a_request_whose_reply_was_not_taken_holds_no_suspension_up() {
    let mut machine = Machine::new();
    let request = machine.client.read("data/anything");
    assert!(!machine.client.is_idle());
    machine.settle();
    assert!(machine.client.is_idle(), "the reply is here");
    drop(request);
}

#[test]
fn a_reply_of_the_store_before_says_nothing_in_a_domain_that_was_resumed() {
    let mut machine = Machine::new();
    let request = machine.client.read("data/anything");
    machine.settle();
    machine.events.forget_all();
    machine.store.start_anew();
    machine.client.resume(Port(1));
    let outcome = machine.run(request);
    assert_eq!(outcome.expect_err("lost").kind, ErrorKind::Disconnected);
}

/// Suspended at every point of the handshake, the card finds its backend in the new domain.
#[test]
fn a_card_that_is_suspended_in_the_middle_of_an_exchange_connects() {
    for turns in 0..60 {
        let mut bed = Bed::unattached(BUFFERS);
        let netback = Netback::new(&bed.machine.xen, Domid(0));
        bed.machine.attach(netback);
        for _ in 0..turns {
            bed.machine.turn_of_the_guest();
            let Machine { netback, store, .. } = &mut bed.machine;
            netback.as_mut().expect("a card").step(store);
        }
        // As the platform does: nothing of the guest's runs until no message is under way.
        while !bed.machine.client.is_idle() {
            bed.machine.store.serve();
            bed.machine.events.dispatch();
            bed.machine.client.pump();
        }
        let old = bed.machine.netback.take().expect("a card");
        old.remove_directories(&mut bed.machine.store);
        drop(old);
        bed.machine.xen.resume(Port(1));
        bed.machine.events.forget_all();
        bed.machine.store.start_anew();
        let netback = Netback::new(&bed.machine.xen, Domid(0));
        bed.machine.attach(netback);
        bed.machine.client.resume(Port(1));
        bed.machine.settle();
        bed.turn(usize::MAX);
        bed.machine.settle();
        assert!(bed.is_up(), "suspended after {turns} turns");
        bed.assert_works();
    }
}

#[test]
fn a_lost_store_is_not_said_to_have_no_card() {
    kernel::console::attach(&Buffer);
    let mut machine = Machine::new();
    machine.store.offer_reconnection();
    machine.store.inject_bytes(&[0xff; 64]);
    let _device = machine.start_netfront(BUFFERS);
    machine.settle();
    let written = WRITTEN.take();
    let said: Vec<_> = written.lines().collect();
    assert!(said.iter().filter(|line| line.starts_with("network: no card")).count() <= 1, "{said:?}");
    // Nothing was known before the store was lost: only its second answer may say so.
    let lost = said.iter().position(|line| line.starts_with("xenstore: ")).expect("the store was lost");
    assert!(!said[..lost].iter().any(|line| line.starts_with("network: no card")), "{said:?}");
    let mut netback = Netback::new(&machine.xen, Domid(0));
    netback.mac = "00:16:3e:01:02:03".to_owned();
    machine.attach(netback);
    machine.settle();
    assert_eq!(Netback::frontend_shown(&machine.store), "4");
}

#[test]
fn a_lost_store_that_does_not_come_back_says_nothing_of_cards() {
    kernel::console::attach(&Buffer);
    let mut machine = Machine::new();
    machine.store.inject_bytes(&[0xff; 64]);
    let _device = machine.start_netfront(BUFFERS);
    machine.settle();
    let written = WRITTEN.take();
    assert!(!written.contains("no card"), "{written}");
}

#[test]
fn a_refused_write_is_tried_again_when_somebody_else_changes_something_meanwhile() {
    for requests in 1..40 {
        let mut bed = Bed::unattached(BUFFERS);
        let netback = Netback::new(&bed.machine.xen, Domid(0));
        netback.create_directories(&mut bed.machine.store);
        let path = format!("{}/feature-rx-notify", Netback::frontend());
        bed.machine.store.write(&path, "");
        bed.machine.store.allow(&path, &[(Domid(0), Rights::None)]);
        bed.machine.netback = Some(netback);
        let limit = bed.machine.store.requests + requests;
        while bed.machine.store.requests < limit {
            let mut progress = bed.machine.turn_of_the_guest();
            let Machine { netback, store, .. } = &mut bed.machine;
            progress |= netback.as_mut().expect("a card").step(store);
            if !progress {
                break;
            }
        }
        bed.machine.store.remove(&path);
        bed.machine.settle();
        assert!(bed.is_up(), "after {requests} requests");
    }
}
