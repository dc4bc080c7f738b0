//! Grants, shared pages and event channels.

use xen_fake::tasks::CountingWaker;
use xen_fake::{FakeXen, Machine};
use xen_pv::event_channel::Events;
use xen_pv::grant_table::{Busy, Error, Grant, GrantTable, ReadOnly, ReadWrite};
use xen_pv::hypervisor::{self, Hypervisor};
use xen_pv::memory::Page;
use xen_pv::shared_page::Shared;
use xen_sys::types::{Domid, Port};

const BACKEND: Domid = Domid(3);

fn table(entries: u32) -> (FakeXen, GrantTable<FakeXen>) {
    let xen = FakeXen::new(entries);
    let (address, count) = xen.grant_table();
    // SAFETY: the fake's table is leaked, and only the fake changes it besides.
    let table = unsafe { GrantTable::new(xen.clone(), address, count) };
    (xen, table)
}

fn page() -> Page {
    Page::allocate().expect("memory")
}

#[test]
fn a_granted_page_is_shared_in_both_directions() {
    let (xen, table) = table(64);
    let grant: Grant<ReadWrite> = table.grant(page(), BACKEND).expect("room");
    grant.shared().write_bytes(100, b"from the guest");
    assert_eq!(xen.copy_from(BACKEND, grant.reference(), 100, 14), b"from the guest");
    xen.copy_to(BACKEND, grant.reference(), 4090, b"answer");
    let mut copy = [0; 6];
    grant.shared().read_bytes(4090, &mut copy);
    assert_eq!(&copy, b"answer");
}

#[test]
fn the_reserved_entries_are_never_granted() {
    let (_xen, table) = table(12);
    let grants: Vec<Grant<ReadOnly>> = (0..4).map(|_| table.grant(page(), BACKEND).expect("room")).collect();
    assert!(grants.iter().all(|grant| (8..12).contains(&grant.reference().0)));
    assert!(matches!(table.grant::<ReadOnly>(page(), BACKEND), Err(Error::TableFull)));
    drop(grants);
    assert_eq!(table.free_entries(), 4);
    assert!(table.grant::<ReadOnly>(page(), BACKEND).is_ok());
}

#[test]
fn end_access_returns_the_page() {
    let (xen, table) = table(64);
    let granted = page();
    let address = granted.address();
    let grant: Grant<ReadWrite> = table.grant(granted, BACKEND).expect("room");
    let reference = grant.reference();
    let back = grant.end().expect("nobody uses it");
    assert_eq!(back.address(), address);
    assert!(!xen.is_granted(reference));
    assert_eq!(table.free_entries(), 56);
}

#[test]
fn end_access_returns_busy_while_the_backend_maps() {
    let (xen, table) = table(64);
    let grant: Grant<ReadWrite> = table.grant(page(), BACKEND).expect("room");
    let mapping = xen.map(BACKEND, grant.reference());
    let Err(Busy(grant)) = grant.end() else { panic!("ended while it was mapped") };
    assert!(xen.is_granted(grant.reference()), "the entry is as it was");
    mapping.shared().write(0, 7u32);
    assert_eq!(grant.shared().read::<u32>(0), 7);
    drop(mapping);
    assert!(grant.end().is_ok());
}

#[test]
fn dropping_a_busy_grant_quarantines_its_page_and_entry_and_counts_it() {
    let (xen, table) = table(64);
    let grant: Grant<ReadOnly> = table.grant(page(), BACKEND).expect("room");
    let mapping = xen.map(BACKEND, grant.reference());
    let free = table.free_entries();
    drop(grant);
    assert_eq!(table.quarantined(), 1);
    table.sweep();
    assert_eq!((table.quarantined(), table.free_entries()), (1, free), "still mapped");
    assert_eq!(mapping.shared().read::<u32>(0), 0, "the page is still there");
    drop(mapping);
    table.sweep();
    assert_eq!((table.quarantined(), table.free_entries()), (0, free + 1));
}

#[test]
#[should_panic(expected = "is not granted")]
fn a_backend_that_uses_a_page_after_the_end_is_found_out() {
    let (xen, table) = table(64);
    let grant: Grant<ReadWrite> = table.grant(page(), BACKEND).expect("room");
    let reference = grant.reference();
    drop(grant);
    let _ = xen.copy_from(BACKEND, reference, 0, 1);
}

#[test]
#[should_panic(expected = "granted to another domain")]
fn a_page_is_granted_to_one_domain_only() {
    let (xen, table) = table(64);
    let grant: Grant<ReadWrite> = table.grant(page(), BACKEND).expect("room");
    let _ = xen.copy_from(Domid(4), grant.reference(), 0, 1);
}

#[test]
fn an_event_wakes_who_waits_for_its_port_and_no_other() {
    let xen = FakeXen::new(16);
    let events = Events::new(xen.clone());
    let (first, second) = (events.allocate(BACKEND).expect("a port"), events.allocate(BACKEND).expect("a port"));
    let (first_wakes, waker) = CountingWaker::new();
    first.register(&waker);
    let (second_wakes, waker) = CountingWaker::new();
    second.register(&waker);
    xen.raise(second.port());
    assert_eq!(events.dispatch(), 1);
    assert_eq!((first_wakes.take(), second_wakes.take()), (0, 1));
    assert!(!first.take() && second.take() && !second.take());
    assert_eq!(events.dispatch(), 0, "the pending bit was cleared");
}

#[test]
fn the_poll_list_names_every_bound_port_and_no_closed_one() {
    let xen = FakeXen::new(16);
    let events = Events::new(xen.clone());
    let own = xen.allocate_unbound(BACKEND).expect("a port");
    let bound = events.bind(own);
    let channels: Vec<_> = (0..5).map(|_| events.allocate(BACKEND).expect("a port")).collect();
    let mut ports = [Port(0); 8];
    assert_eq!(events.ports(&mut ports), 6);
    drop(channels);
    drop(bound);
    assert_eq!(events.ports(&mut ports), 0);
    assert_eq!(xen.open_ports(), 1, "a port that was only bound stays open");
    assert_eq!(events.ports(&mut ports[..0]), 0);
}

#[test]
fn a_new_channel_sees_no_event_of_the_ports_former_owner() {
    let xen = FakeXen::new(16);
    let events = Events::new(xen.clone());
    let old = events.allocate(BACKEND).expect("a port");
    let port = old.port();
    xen.raise(port);
    drop(old);
    let new = events.allocate(BACKEND).expect("a port");
    assert_eq!(new.port(), port);
    assert_eq!(events.dispatch(), 0);
}

#[test]
fn no_port_is_an_error_with_a_name() {
    let xen = FakeXen::new(16);
    xen.limit_ports(0);
    let error = Events::new(xen).allocate(BACKEND).expect_err("no port is left");
    assert_eq!(error, hypervisor::Error::NoSpace);
    assert_eq!(error.to_string(), "ENOSPC");
}

#[test]
fn waiting_for_an_event_that_came_before_returns_at_once() {
    let mut machine = Machine::new();
    let channel = machine.events.allocate(BACKEND).expect("a port");
    machine.xen.raise(channel.port());
    machine.settle();
    machine.run(async move { channel.wait().await });
}

#[test]
#[should_panic(expected = "access was never ended")]
fn a_grant_that_is_never_ended_is_found_out() {
    let (_xen, table) = table(64);
    let grant: Grant<ReadWrite> = table.grant(page(), BACKEND).expect("room");
    std::mem::forget(grant);
}

#[test]
#[should_panic(expected = "granted already")]
fn a_page_that_is_used_anew_while_it_is_granted_is_found_out() {
    let (xen, table) = table(64);
    let grant: Grant<ReadWrite> = table.grant(page(), BACKEND).expect("room");
    let entry = xen.grant_table().0;
    // SAFETY: the table is leaked, and there is one thread.
    let granted = unsafe { entry.add(grant.reference().0 as usize).read_volatile() };
    let page = grant.end().expect("nobody uses it");
    // As if it had not been ended.
    // SAFETY: as above.
    unsafe { entry.add(9).write_volatile(granted) };
    let _ = table.grant::<ReadWrite>(page, BACKEND);
}

#[test]
fn adjacent_pages_are_written_as_one_piece_and_granted_and_freed_one_by_one() {
    let (xen, table) = table(64);
    let pages = Page::allocate_adjacent(3).expect("memory");
    let mut grants: Vec<Grant<ReadOnly>> =
        pages.into_iter().map(|page| table.grant(page, BACKEND).expect("room")).collect();
    let bytes = Grant::adjacent_bytes_mut(&mut grants);
    assert!(bytes.len() == 3 * 4096 && bytes.iter().all(|byte| *byte == 0));
    bytes[4090..4102].copy_from_slice(b"on two pages");
    assert_eq!(xen.copy_from(BACKEND, grants[0].reference(), 4090, 6), b"on two");
    assert_eq!(xen.copy_from(BACKEND, grants[1].reference(), 0, 6), b" pages");
    let mapping = xen.map(BACKEND, grants[1].reference());
    drop(grants);
    assert_eq!(table.quarantined(), 1, "only the page that is in use");
    assert_eq!(mapping.shared().read::<u32>(0), u32::from_ne_bytes(*b" pag"));
}

#[test]
#[should_panic]
fn pages_that_are_not_adjacent_are_never_one_piece() {
    let (_xen, table) = table(64);
    let mut pages = Page::allocate_adjacent(3).expect("memory");
    let mut grants: Vec<Grant<ReadOnly>> = [pages.pop(), pages.pop()]
        .into_iter()
        .flatten()
        .map(|page| table.grant(page, BACKEND).expect("room"))
        .collect();
    let _ = Grant::adjacent_bytes_mut(&mut grants);
}
