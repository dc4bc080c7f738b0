//! Channels of a guest's to other domains, which are the test's.

use std::cell::Cell;
use std::future::{pending, ready};
use std::rc::Rc;

use channel::layout::{CLIENT_LIVE, LEFT_ORDER, Layout, SERVER_LIVE, Unfit};
use channel::{Bytes, Channel, ControlPage, Error, Events, Offer, Peer, Want, server};
use xen_fake::hypervisor::{ForeignPage, Mapping};
use xen_fake::machine::GUEST;
use xen_fake::{FakeXen, Machine};
use xen_pv::grant_table::{self, Grant, ReadWrite};
use xen_pv::hypervisor::{self, Hypervisor, NotMapped};
use xen_pv::shared_page::Shared;
use xen_pv::vchan::{self, Address, NoChannel, Vchan, directory};
use xen_pv::xenstore::Rights;
use xen_sys::types::{Domid, GrantRef, Port};

const PEER: Domid = Domid(3);
/// Grants of the peer's, from here on.
const GRANTS: u32 = 500;

/// The peer's view of shared pages.
struct Pages<S>(Vec<S>);

impl<S: Shared> Bytes for Pages<S> {
    fn read(&self, offset: usize, destination: &mut [u8]) {
        for (at, byte) in (offset..).zip(destination) {
            self.0[at / 4096].shared().read_bytes(at % 4096, std::slice::from_mut(byte));
        }
    }

    fn write(&self, offset: usize, source: &[u8]) {
        for (at, byte) in (offset..).zip(source) {
            self.0[at / 4096].shared().write_bytes(at % 4096, &[*byte]);
        }
    }
}

impl<S: Shared> ControlPage for Pages<S> {
    fn read_u8(&self, offset: usize) -> u8 {
        self.0[0].shared().read(offset)
    }

    fn write_u8(&self, offset: usize, value: u8) {
        self.0[0].shared().write(offset, value);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.0[0].shared().set_bits(offset, bits);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.0[0].shared().clear_bits(offset, bits)
    }

    fn read_u16(&self, offset: usize) -> u16 {
        self.0[0].shared().read(offset)
    }

    fn write_u16(&self, offset: usize, value: u16) {
        self.0[0].shared().write(offset, value);
    }

    fn read_u32(&self, offset: usize) -> u32 {
        self.0[0].shared().read(offset)
    }

    fn write_u32(&self, offset: usize, value: u32) {
        self.0[0].shared().write(offset, value);
    }
}

/// The peer's end of the event channel.
struct Line {
    xen: FakeXen,
    /// The guest's port, once there is one.
    to: Rc<Cell<Port>>,
}

impl Events for Line {
    fn send(&self) {
        self.xen.raise(self.to.get());
    }

    fn is_bound(&self) -> bool {
        true
    }
}

type PeersEnd<S> = Channel<Pages<S>, Pages<S>, Line>;

fn layout(left: u16, right: u16) -> Layout {
    Layout::claimed(left, right).expect("they fit")
}

fn ring<S>(pages: Vec<S>) -> Option<Pages<S>> {
    (!pages.is_empty()).then_some(Pages(pages))
}

/// The guest serves.
fn serve(machine: &Machine, layout: Layout) -> (Vchan<FakeXen, Grant<ReadWrite>>, Address) {
    vchan::serve(&machine.events, &machine.grants, PEER, layout).expect("there is room")
}

/// The peer connects to the guest's server.
fn connect_to(xen: &FakeXen, address: Address) -> PeersEnd<Mapping> {
    let offer = Offer::read(Pages(vec![xen.map(PEER, address.page)])).expect("the guest's rings are right");
    let map = |grants: &[u32]| ring(grants.iter().map(|grant| xen.map(PEER, GrantRef(*grant))).collect());
    xen.set_bound(address.port, true);
    let rings = (map(offer.left()), map(offer.right()));
    offer.connect(rings, Line { xen: xen.clone(), to: Rc::new(Cell::new(address.port)) })
}

/// The peer serves. Also where its page lies, and what says to it which port the guest has.
fn peer_serves(xen: &FakeXen, layout: Layout) -> (PeersEnd<ForeignPage>, Address, ForeignPage, Rc<Cell<Port>>) {
    let address = Address { page: GrantRef(GRANTS), port: Port(77) };
    let page = xen.offer_page(PEER, address.page, true);
    let grants: Vec<u32> = (1..=layout.grants() as u32).map(|index| GRANTS + index).collect();
    let (left, right) = grants.split_at(layout.left().pages());
    // The client writes to the left ring only.
    let offer = |grants: &[u32], writable| {
        ring(grants.iter().map(|grant| xen.offer_page(PEER, GrantRef(*grant), writable)).collect())
    };
    let rings = (offer(left, true), offer(right, false));
    xen.offer_port(PEER, address.port);
    let to = Rc::new(Cell::new(Port(0)));
    let line = Line { xen: xen.clone(), to: Rc::clone(&to) };
    (server(Pages(vec![page.clone()]), rings, line, layout, &grants), address, page, to)
}

/// The guest's only port besides the store's.
const CLIENTS_PORT: Port = Port(2);

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn a_guest_serves_and_what_goes_in_comes_out_across_pages_that_lie_anywhere() {
    let mut machine = Machine::new();
    let (mut ours, address) = serve(&machine, layout(13, 14));
    assert_eq!(ours.peer(), Ok(Peer::Awaited));
    let accepted = machine.tasks.spawn_for(async move { (ours.accept().await, ours) });
    machine.settle();
    assert!(accepted.borrow().is_none(), "a client that has not come is accepted");
    let mut peer = connect_to(&machine.xen, address);
    machine.settle();
    let (outcome, mut ours) = accepted.take().expect("the client has come");
    assert_eq!(outcome, Ok(true));
    for _ in 0..3 {
        let (sent, mut arrived) = (bytes(7001), vec![0; 7001]);
        assert_eq!((peer.send(&sent), ours.receive(&mut arrived)), (Ok(true), Ok(true)));
        assert!(arrived == sent);
        let (sent, mut arrived) = (bytes(16_383), vec![0; 16_383]);
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

/// As the toolstack makes it: the guest's own.
fn own_data(machine: &mut Machine) -> String {
    let data = format!("{}/data", machine.store.home());
    machine.store.write(&data, "");
    machine.store.allow(&data, &[(GUEST, Rights::None)]);
    data
}

#[test]
fn a_server_shows_its_client_and_nobody_else_where_it_is() {
    let mut machine = Machine::new();
    let data = own_data(&mut machine);
    let store = machine.client;
    let address = Address { page: GrantRef(11), port: Port(22) };
    let found = machine.run(async move {
        let before = directory::find(&store, "data/vchan/3/feed").await;
        directory::publish(&store, "data/vchan/3/feed", PEER, address).await.expect("the guest's own");
        (before, directory::find(&store, "data/vchan/3/feed").await)
    });
    assert_eq!(found, (Ok(None), Ok(Some(address))));
    for (name, value) in [("ring-ref", "11"), ("event-channel", "22")] {
        let path = format!("{data}/vchan/3/feed/{name}");
        assert_eq!(machine.store.read(&path).as_deref(), Some(value));
        let path = format!("data/vchan/3/feed/{name}");
        let permissions = machine.run(async move { store.permissions(&path).await.expect("the guest's own") });
        let permissions: Vec<_> = permissions.iter().map(|one| (one.domain, one.rights)).collect();
        assert_eq!(permissions, [(GUEST, Rights::None), (PEER, Rights::Read)]);
    }
    let withdrawn = machine.run(async move {
        let first = directory::withdraw(&store, "data/vchan/3/feed").await;
        (first, directory::withdraw(&store, "data/vchan/3/feed").await)
    });
    assert_eq!((withdrawn, machine.store.exists(&format!("{data}/vchan/3/feed"))), ((Ok(()), Ok(())), false));
}

#[test]
fn an_address_that_is_none_is_not_found() {
    let mut machine = Machine::new();
    let data = own_data(&mut machine);
    for (page, port) in [("0", "1"), ("1", "0"), ("", "1"), ("1", "x"), ("4294967296", "1"), (" 1", "1")] {
        machine.store.write(&format!("{data}/it/ring-ref"), page);
        machine.store.write(&format!("{data}/it/event-channel"), port);
        let store = machine.client;
        assert_eq!(machine.run(async move { directory::find(&store, "data/it").await }), Ok(None), "{page}, {port}");
    }
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
