//! What drivers do in a domain that was resumed, where everything outside the guest's memory is new.

use xen_fake::bed::Bed;
use xen_fake::{Machine, Netback};
use xen_pv::hypervisor::Hypervisor;
use xen_sys::types::{Domid, GrantRef, Port};

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

/// The numbers that the card has told its backend: rings, then event channels.
fn offered(bed: &Bed) -> [u32; 4] {
    ["rx-ring-ref", "tx-ring-ref", "event-channel-rx", "event-channel-tx"].map(|key| {
        let value = bed.machine.store.read(&format!("{}/{key}", Netback::frontend()));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key}"))
    })
}

/// The card finds a backend in the new domain, whose paths and address may be those of the old one: what it then shares
/// is new, and what it gave up belongs to nobody in between.
#[test]
fn a_card_connects_again_with_grants_and_ports_of_the_new_domain() {
    for backend in [0, 5] {
        let mut bed = Bed::connected();
        bed.assert_works();
        let granted = bed.machine.xen.granted();
        let mut connections = 1;
        for _ in 0..3 {
            let old = bed.machine.netback.take().expect("a card");
            old.remove_directories(&mut bed.machine.store);
            drop(old);
            bed.machine.xen.resume(STORE);
            // Somebody else's, the console's perhaps, by a number that was the card's.
            let other = bed.machine.xen.allocate_unbound(Domid(0)).expect("a port");
            bed.machine.events.forget_all();
            bed.machine.store.start_anew();
            let netback = Netback::new(&bed.machine.xen, Domid(backend));
            bed.machine.attach(netback);
            bed.machine.client.resume(STORE);
            // The stack goes on as if nothing had happened.
            bed.turn(usize::MAX);
            bed.machine.settle();

            connections += 1;
            assert_eq!(bed.counters().connections, connections);
            let [rx_ring, tx_ring, rx_port, tx_port] = offered(&bed);
            for ring in [rx_ring, tx_ring] {
                assert!(bed.machine.xen.is_writable(Domid(backend), GrantRef(ring)), "ring {ring}");
            }
            for port in [rx_port, tx_port] {
                assert_eq!(bed.machine.xen.remote(Port(port)), Some(Domid(backend)), "port {port}");
            }
            bed.assert_works();
            // Nothing of the domains before is left, or was closed or ended in this one.
            assert_eq!((bed.machine.xen.granted(), bed.machine.grants.quarantined()), (granted, 0));
            assert_eq!((bed.machine.xen.open_ports(), bed.machine.xen.remote(other)), (4, Some(Domid(0))));
        }
        assert_eq!(bed.counters().broken, 0);
    }
}

#[test]
#[should_panic = "finds no room to be polled"]
fn a_port_that_finds_no_room_to_be_polled_is_not_left_out_in_silence() {
    let machine = Machine::new();
    let channels: Vec<_> = (0..3).map(|_| machine.events.allocate(Domid(0)).expect("a port")).collect();
    assert_eq!(machine.events.ports(&mut [Port(0); 4]), 1 + channels.len());
    machine.events.ports(&mut [Port(0); 3]);
}
