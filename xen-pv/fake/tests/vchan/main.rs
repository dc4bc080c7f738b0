//! Channels of a guest's to other domains, which are the test's.

mod directory;
mod peer;
mod stream;

use std::cell::Cell;
use std::future::{pending, ready};
use std::rc::Rc;

use channel::layout::{CLIENT_LIVE, LEFT_ORDER, Layout, SERVER_LIVE, Unfit};
use channel::{Error, Peer, Want};
use peer::{CLIENTS_PORT, GRANTS, PEER, bytes, connect_to, layout, peer_serves, serve};
use xen_fake::Machine;
use xen_pv::event_channel::PORTS_MAX;
use xen_pv::grant_table;
use xen_pv::hypervisor::{self, Hypervisor, NotMapped};
use xen_pv::shared_page::Shared;
use xen_pv::vchan::{self, Address, NoChannel};
use xen_sys::types::{GrantRef, Port};

#[test]
fn a_guest_serves_and_what_goes_in_comes_out_across_pages_that_lie_anywhere() {
    serves_and_passes(layout(13, 14), 7001, 16_383);
}

#[test]
fn small_rings_lie_in_the_first_page() {
    serves_and_passes(layout(10, 11), 700, 2047);
}

/// Passes so many bytes to the guest, and so many from it.
fn serves_and_passes(layout: Layout, to: usize, from: usize) {
    let mut machine = Machine::new();
    let (mut ours, address) = serve(&machine, layout);
    assert_eq!(ours.peer(), Ok(Peer::Awaited));
    let accepted = machine.tasks.spawn_for(async move { (ours.accept().await, ours) });
    machine.settle();
    assert!(accepted.borrow().is_none(), "a client that has not come is accepted");
    let mut peer = connect_to(&machine.xen, address);
    machine.settle();
    let (outcome, mut ours) = accepted.take().expect("the client has come");
    assert_eq!(outcome, Ok(true));
    for _ in 0..3 {
        let (sent, mut arrived) = (bytes(to), vec![0; to]);
        assert_eq!((peer.send(&sent), ours.receive(&mut arrived)), (Ok(true), Ok(true)));
        assert!(arrived == sent);
        let (sent, mut arrived) = (bytes(from), vec![0; from]);
        assert_eq!((ours.send(&sent), peer.receive(&mut arrived)), (Ok(true), Ok(true)));
        assert!(arrived == sent);
    }
    drop(peer);
    assert_eq!(ours.peer(), Ok(Peer::Gone));
    drop(ours);
    assert_eq!((machine.xen.granted(), machine.xen.open_ports()), (0, 1));
}

#[test]
fn a_guest_is_a_client_and_leaves_nothing_mapped() {
    let mut machine = Machine::new();
    let (mut peer, address, page, to) = peer_serves(&machine.xen, layout(13, 14));
    let mut ours = vchan::connect(&machine.xen, &machine.events, PEER, address).expect("the server is there");
    to.set(CLIENTS_PORT);
    assert_eq!((machine.xen.foreign_mapped(), machine.xen.open_ports()), (7, 2));
    assert_eq!((machine.xen.take_outgoing(CLIENTS_PORT), peer.peer()), (1, Ok(Peer::Connected)));
    let sent = bytes(16_000);
    let waiting = machine.tasks.spawn_for(async move { (ours.wait(Want::Data(16_000), pending::<()>).await, ours) });
    machine.settle();
    assert!(waiting.borrow().is_none(), "what is not there is waited for");
    assert_eq!(peer.send(&sent), Ok(true));
    machine.settle();
    let (outcome, mut ours) = waiting.take().expect("the bytes are there");
    let mut arrived = vec![0; 16_000];
    assert_eq!((outcome, ours.receive(&mut arrived)), (Ok(true), Ok(true)));
    assert!(arrived == sent);
    assert_eq!((ours.send(&sent[..8000]), peer.receive(&mut arrived[..8000])), (Ok(true), Ok(true)));
    assert!(arrived[..8000] == sent[..8000]);
    let _ = machine.xen.take_outgoing(CLIENTS_PORT);
    drop(ours);
    assert_eq!((machine.xen.foreign_mapped(), machine.xen.open_ports()), (0, 1));
    assert_eq!((page.shared().read::<u8>(CLIENT_LIVE), peer.peer()), (0, Ok(Peer::Gone)));
}

#[test]
fn a_peer_that_dies_without_a_word_is_found_when_the_alarm_goes_off() {
    let mut machine = Machine::new();
    let (_peer, address, ..) = peer_serves(&machine.xen, layout(12, 12));
    let mut ours = vchan::connect(&machine.xen, &machine.events, PEER, address).expect("the server is there");
    machine.xen.set_bound(CLIENTS_PORT, false);
    let waited = machine.run(async move { (ours.wait(Want::Data(1), || ready(())).await, ours) });
    assert_eq!(waited.0, Ok(false));
    drop(waited);
    assert_eq!(machine.xen.foreign_mapped(), 0);
}

#[test]
fn alarms_do_not_end_the_wait_for_a_peer_that_lives() {
    let mut machine = Machine::new();
    let (mut peer, address, _, to) = peer_serves(&machine.xen, layout(12, 12));
    let mut ours = vchan::connect(&machine.xen, &machine.events, PEER, address).expect("the server is there");
    to.set(CLIENTS_PORT);
    let alarms = Rc::new(Cell::new(0));
    let count = Rc::clone(&alarms);
    let waiting = machine.tasks.spawn_for(async move {
        let alarm = || {
            count.set(count.get() + 1);
            // A few go off; then the event has to come.
            async {
                if count.get() > 5 {
                    pending().await
                }
            }
        };
        ours.wait(Want::Data(1), alarm).await
    });
    machine.settle();
    assert_eq!((alarms.get(), waiting.borrow().is_none()), (6, true));
    assert_eq!(peer.write(b"!"), Ok(1));
    machine.settle();
    assert_eq!(waiting.take(), Some(Ok(true)));
}

#[test]
fn a_peer_that_breaks_the_protocol_ends_the_wait() {
    let mut machine = Machine::new();
    let (_peer, address, page, to) = peer_serves(&machine.xen, layout(12, 12));
    let mut ours = vchan::connect(&machine.xen, &machine.events, PEER, address).expect("the server is there");
    to.set(CLIENTS_PORT);
    let waiting = machine.tasks.spawn_for(async move { ours.wait(Want::Data(1), pending::<()>).await });
    machine.settle();
    page.shared().write(SERVER_LIVE, 9u8);
    machine.xen.raise(CLIENTS_PORT);
    machine.settle();
    assert!(matches!(waiting.take(), Some(Err(Error::Broken(_)))));
    assert_eq!(machine.xen.foreign_mapped(), 0);
}

#[test]
fn a_client_that_cannot_have_the_servers_pages_keeps_nothing() {
    let machine = Machine::new();
    let connect = |address| vchan::connect(&machine.xen, &machine.events, PEER, address).map(|_| ());
    let (_peer, address, page, _) = peer_serves(&machine.xen, layout(13, 13));
    let nowhere = Address { port: Port(78), ..address };
    assert_eq!(connect(nowhere), Err(NoChannel::Event(hypervisor::Error::Invalid)));
    // A page of the second ring is missing, when the first is mapped already.
    machine.xen.withdraw_page(PEER, GrantRef(GRANTS + 4));
    assert!(matches!(connect(address), Err(NoChannel::NotMapped(NotMapped(_)))));
    page.shared().write(LEFT_ORDER, 21u16);
    assert_eq!(connect(address), Err(NoChannel::Unfit(Unfit::Order(21))));
    machine.xen.withdraw_page(PEER, address.page);
    assert!(matches!(connect(address), Err(NoChannel::NotMapped(NotMapped(_)))));
    assert_eq!((machine.xen.foreign_mapped(), machine.xen.open_ports()), (0, 1));
}

#[test]
fn a_server_without_room_keeps_nothing() {
    let machine = Machine::new();
    let full = vchan::serve(&machine.events, &machine.grants, PEER, layout(20, 20)).map(|_| ());
    assert_eq!((full, machine.xen.granted()), (Ok(()), 0));
    let _channels: Vec<_> = (0..3).map(|_| serve(&machine, layout(20, 12))).collect();
    let granted = machine.xen.granted();
    let refused = vchan::serve(&machine.events, &machine.grants, PEER, layout(20, 20)).map(|_| ());
    assert_eq!(refused, Err(NoChannel::Grant(grant_table::Error::TableFull)));
    assert_eq!((machine.xen.granted(), machine.xen.open_ports()), (granted, 4));
    machine.xen.limit_ports(4);
    let refused = vchan::serve(&machine.events, &machine.grants, PEER, layout(10, 11)).map(|_| ());
    assert_eq!(refused, Err(NoChannel::Event(hypervisor::Error::NoSpace)));
    assert_eq!(machine.xen.granted(), granted);
}

/// A `Hypervisor` says of a port that is nobody's that nothing is bound to it.
#[test]
fn a_port_has_another_end_once_somebody_has_bound_to_it() {
    let machine = Machine::new();
    let channel = machine.events.allocate(PEER).expect("room");
    assert!(!channel.is_bound());
    machine.xen.set_bound(channel.port(), true);
    assert!(channel.is_bound());
    machine.events.forget_all();
    assert!(!channel.is_bound() && !machine.xen.is_bound(Port(0)) && !machine.xen.is_bound(Port(99)));
}

#[test]
fn a_hypervisor_that_forbids_guests_to_talk_is_named_with_what_to_do() {
    let machine = Machine::new();
    let (_peer, address, ..) = peer_serves(&machine.xen, layout(12, 12));
    machine.xen.forbid_guests();
    let served = vchan::serve(&machine.events, &machine.grants, PEER, layout(12, 12)).map(|_| ());
    let connected = vchan::connect(&machine.xen, &machine.events, PEER, address).map(|_| ());
    assert_eq!((served, connected), (Err(NoChannel::Forbidden(PEER)), Err(NoChannel::Forbidden(PEER))));
    let said = NoChannel::Forbidden(PEER).to_string();
    assert!(said.contains("domain 3") && said.contains("SILO") && said.contains("xsm=dummy"), "{said}");
    assert_eq!((machine.xen.granted(), machine.xen.foreign_mapped(), machine.xen.open_ports()), (0, 0, 1));
    assert!(machine.events.allocate(xen_sys::types::Domid(0)).is_ok(), "domain 0 is no guest");
}

#[test]
fn a_guest_has_no_more_ports_than_it_can_sleep_on() {
    let machine = Machine::new();
    // The store has one.
    let channels: Vec<_> = (1..PORTS_MAX).map(|_| machine.events.allocate(PEER).expect("room")).collect();
    let mut ports = [Port(0); PORTS_MAX];
    assert_eq!(machine.events.ports(&mut ports), PORTS_MAX);
    let refused = machine.events.allocate(PEER).map(|_| ());
    assert_eq!(refused, Err(hypervisor::Error::NoSpace));
    machine.xen.offer_port(PEER, Port(77));
    let refused = machine.events.bind_interdomain(PEER, Port(77)).map(|_| ());
    assert_eq!(refused, Err(hypervisor::Error::NoSpace));
    drop(channels);
    assert!(machine.events.allocate(PEER).is_ok());
}

#[test]
fn a_channel_is_closed_before_the_guest_is_suspended() {
    let machine = Machine::new();
    let (ours, address) = serve(&machine, layout(12, 12));
    let mut client = connect_to(&machine.xen, address);
    let (mut server, theirs, _, to) = peer_serves(&machine.xen, layout(12, 12));
    let other = vchan::connect(&machine.xen, &machine.events, PEER, theirs).expect("the server is there");
    to.set(Port(3));
    let ports = [address.port, Port(3)];
    for port in ports {
        let _ = machine.xen.take_outgoing(port);
    }
    assert_eq!((client.peer(), server.peer()), (Ok(Peer::Connected), Ok(Peer::Connected)));
    machine.events.say_farewell();
    assert_eq!(ports.map(|port| machine.xen.take_outgoing(port)), [1, 1]);
    assert_eq!((client.peer(), server.peer()), (Ok(Peer::Gone), Ok(Peer::Gone)));
    // Once.
    machine.events.say_farewell();
    assert_eq!(ports.map(|port| machine.xen.take_outgoing(port)), [0, 0]);
    drop(client);
    drop((ours, other));
    assert_eq!((machine.xen.granted(), machine.xen.foreign_mapped()), (0, 0));
}
