//! The guest's peer: another domain, with its own view of the memory that both share.

use std::cell::Cell;
use std::rc::Rc;

use channel::layout::Layout;
use channel::{Bytes, Channel, ControlPage, Events, Offer, server};
use xen_fake::hypervisor::{ForeignPage, Mapping};
use xen_fake::{FakeXen, Machine};
use xen_pv::grant_table::{Grant, ReadWrite};
use xen_pv::shared_page::Shared;
use xen_pv::vchan::{self, Address, Vchan};
use xen_sys::types::{Domid, GrantRef, Port};

pub const PEER: Domid = Domid(3);
/// Grants of the peer's, from here on.
pub const GRANTS: u32 = 500;

/// The peer's view of shared pages.
pub struct Pages<S>(Vec<S>);

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
pub struct Line {
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

pub type PeersEnd<S> = Channel<Pages<S>, Pages<S>, Line>;

pub fn layout(left: u16, right: u16) -> Layout {
    Layout::claimed(left, right).expect("they fit")
}

pub fn ring<S>(pages: Vec<S>) -> Option<Pages<S>> {
    (!pages.is_empty()).then_some(Pages(pages))
}

/// The guest serves.
pub fn serve(machine: &Machine, layout: Layout) -> (Vchan<FakeXen, Grant<ReadWrite>>, Address) {
    vchan::serve(&machine.events, &machine.grants, PEER, layout).expect("there is room")
}

/// The peer connects to the guest's server.
pub fn connect_to(xen: &FakeXen, address: Address) -> PeersEnd<Mapping> {
    let offer = Offer::read(Pages(vec![xen.map(PEER, address.page)])).expect("the guest's rings are right");
    let map = |grants: &[u32]| ring(grants.iter().map(|grant| xen.map(PEER, GrantRef(*grant))).collect());
    xen.set_bound(address.port, true);
    let rings = (map(offer.left()), map(offer.right()));
    offer.connect(rings, Line { xen: xen.clone(), to: Rc::new(Cell::new(address.port)) })
}

/// The peer serves. Also where its page lies, and what says to it which port the guest has.
pub fn peer_serves(xen: &FakeXen, layout: Layout) -> (PeersEnd<ForeignPage>, Address, ForeignPage, Rc<Cell<Port>>) {
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
pub const CLIENTS_PORT: Port = Port(2);

pub fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 7 + at / 251) as u8).collect()
}
