//! What drivers do in a domain that was resumed, where everything outside the guest's memory is new.

use xen_fake::Machine;
use xen_sys::types::{Domid, Port};

/// The port of the store, which the machine opens first.
const STORE: Port = Port(1);

#[test]
fn requests_and_watches_go_on_with_a_store_that_knows_of_none() {
    let mut machine = Machine::new();
    let client = machine.client;
    let watch = machine.run(async move { client.watch("data").await }).expect("a watch");
    assert!(client.is_idle());
    machine.events.forget_all();
    machine.store.start_anew();
    assert_eq!(machine.store.watch_count(), 0);
    client.resume(STORE);
    machine.settle();
    assert_eq!(machine.store.watch_count(), 1);
    let outcome = machine.run(async move {
        client.write("data/after", b"x").await?;
        // At its registration and anew, a watch tells of its own path; then comes the change.
        while watch.changed().await != "data/after" {}
        client.read("data/after").await
    });
    assert_eq!(outcome.expect("the store answers"), b"x");
}

#[test]
fn a_client_is_idle_only_between_requests() {
    let mut machine = Machine::new();
    drop(machine.client.write("data/x", b"y"));
    assert!(!machine.client.is_idle());
    machine.settle();
    assert!(machine.client.is_idle());
}

#[test]
fn ports_of_the_domain_before_are_neither_listened_to_nor_closed() {
    let machine = Machine::new();
    let channel = machine.events.allocate(Domid(0)).expect("a port");
    let port = channel.port();
    machine.events.forget_all();
    // By now it is somebody else's, the console's perhaps.
    machine.xen.raise(port);
    assert_eq!(machine.events.dispatch(), 0);
    assert_eq!(machine.events.ports(&mut [Port(0); 8]), 0);
    channel.notify();
    assert_eq!(machine.xen.take_outgoing(port), 0);
    let open = machine.xen.open_ports();
    drop(channel);
    assert_eq!(machine.xen.open_ports(), open);
}
