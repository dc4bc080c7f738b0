//! The card's life: connect, close, detach, attach, restart.

use kernel::net::device::NetworkDevice;
use smoltcp::phy::Device as _;
use xen_fake::bed::{BUFFERS, Bed};
use xen_fake::frames::udp_frame;
use xen_fake::hypervisor::Mapping;
use xen_fake::netback::Rings;
use xen_fake::random::Random;
use xen_fake::{Machine, Netback};
use xen_pv::memory::Page;
use xen_pv::netfront::{Buffers, Pacing};
use xen_pv::shared_page::SharedPage;
use xen_pv::xenstore::{ErrorKind, Rights};
use xen_sys::types::{Domid, GrantRef};

/// Entries of the grant table that a connected card uses: two rings, its receive pages, half as many transmit pages.
fn entries(buffers: Buffers) -> usize {
    2 + usize::from(buffers.receive) + usize::from(buffers.transmit).div_ceil(2)
}

#[test]
fn the_card_connects_and_frames_pass_both_ways() {
    let mut bed = Bed::connected();
    assert_eq!(bed.device.hardware_address().0, [0, 0x16, 0x3e, 1, 2, 3]);
    assert_eq!(bed.counters().connections, 1);
    assert_eq!(bed.machine.xen.granted(), entries(BUFFERS));
    // One port for the store, two for the card.
    assert_eq!(bed.machine.xen.open_ports(), 3);
    bed.assert_works();
}

#[test]
fn a_card_is_connected_with_few_events_for_the_store() {
    let mut machine = Machine::new();
    let netback = Netback::new(&machine.xen, Domid(0));
    machine.attach(netback);
    let device = machine.start_netfront(BUFFERS);
    machine.settle();
    assert!(device.link_up());
    // Four for the card: the rings are announced when they are offered and once more when the backend has taken them.
    // Each event for the store is an exchange, which a new domain waits for: a look for the card, one at its backend,
    // the keys, the state; then two looks, of which the first comes from what the guest itself has written.
    assert_eq!(machine.xen.notifications(), 4 + 6);
}

#[test]
fn the_link_is_down_until_the_backend_has_connected() {
    let mut bed = Bed::unattached(BUFFERS);
    assert!(!bed.is_up());
    assert!(!bed.try_send(&udp_frame(b"too early", true)));
    let mut netback = Netback::new(&bed.machine.xen, Domid(0));
    netback.frozen = true;
    bed.machine.attach(netback);
    bed.machine.settle();
    assert!(!bed.is_up());
    bed.netback().frozen = false;
    bed.turn(0);
    bed.machine.settle();
    assert!(bed.is_up());
    assert!(bed.wakes.take() > 0, "the stack is told");
    bed.assert_works();
}

#[test]
fn every_page_is_zero_when_it_is_granted() {
    // Memory that was used for something else before.
    let pages: Vec<_> = (0..entries(BUFFERS)).map(|_| Page::allocate().expect("memory")).collect();
    for page in &pages {
        // SAFETY: the page is ours and nothing refers to it.
        unsafe { SharedPage::new(page.address()) }.write_bytes(0, &[0x5a; 4096]);
    }
    drop(pages);
    let mut bed = Bed::connected();
    bed.netback().manual = true;
    let all = (0..1024).map(GrantRef).filter(|reference| bed.machine.xen.is_granted(*reference));
    let pages: Vec<_> = all.map(|reference| bed.machine.xen.copy_from(Domid(0), reference, 0, 4096)).collect();
    assert_eq!(pages.len(), entries(BUFFERS));
    // The rings hold indices and requests; no other page holds anything.
    assert_eq!(pages.iter().filter(|page| page.iter().any(|byte| *byte != 0)).count(), 2);
    assert!(pages.iter().all(|page| !page.contains(&0x5a)));
}

#[test]
fn the_backends_domain_comes_from_the_store() {
    let mut bed = Bed::unattached(BUFFERS);
    let netback = Netback::new(&bed.machine.xen, Domid(5));
    bed.machine.attach(netback);
    bed.machine.settle();
    bed.assert_works();
}

#[test]
fn detach_ends_every_grant_and_closes_every_port() {
    let mut bed = Bed::connected();
    bed.assert_works();
    bed.machine.detach();
    assert!(!bed.is_up());
    assert_eq!(bed.machine.xen.granted(), 0);
    assert_eq!(bed.machine.grants.quarantined(), 0);
    assert_eq!(bed.machine.xen.open_ports(), 1);
    assert!(!bed.machine.store.exists(&Netback::frontend()), "the directory was written to after it had gone");
}

#[test]
fn attach_after_detach_connects_again_and_again() {
    let mut bed = Bed::connected();
    for round in 1..20u8 {
        bed.machine.detach();
        assert!(!bed.is_up());
        let mut netback = Netback::new(&bed.machine.xen, Domid(u16::from(round)));
        netback.mac = format!("00:16:3e:00:00:{round:02x}");
        bed.machine.attach(netback);
        bed.machine.settle();
        assert_eq!(bed.device.hardware_address().0[5], round);
        bed.assert_works();
    }
    assert_eq!(bed.counters().connections, 20);
    assert_eq!(bed.machine.xen.granted(), entries(BUFFERS));
    assert_eq!(bed.machine.grants.quarantined(), 0);
}

#[test]
fn a_card_that_is_swapped_in_one_go_is_noticed() {
    let mut bed = Bed::connected();
    for domain in 1..5 {
        // Gone and there again before the guest has looked once.
        let old = bed.machine.netback.take().expect("a card");
        old.remove_directories(&mut bed.machine.store);
        drop(old);
        let netback = Netback::new(&bed.machine.xen, Domid(domain));
        bed.machine.attach(netback);
        bed.machine.settle();
        bed.assert_works();
    }
    assert_eq!(bed.machine.grants.quarantined(), 0);
}

#[test]
fn a_card_with_another_address_in_the_place_of_the_old_one_is_noticed() {
    let mut bed = Bed::connected();
    for number in 1..5u8 {
        // The same backend domain, so that no path differs; gone and there again before the guest has looked once.
        let old = bed.machine.netback.take().expect("a card");
        old.remove_directories(&mut bed.machine.store);
        drop(old);
        let mut netback = Netback::new(&bed.machine.xen, Domid(0));
        netback.mac = format!("00:16:3e:00:00:{number:02x}");
        bed.machine.attach(netback);
        bed.machine.settle();
        assert_eq!(bed.device.hardware_address().0[5], number);
        bed.assert_works();
    }
}

#[test]
fn frames_that_wait_for_the_card_are_delivered_as_soon_as_it_connects() {
    let frame = udp_frame(b"early", true);
    let early = frame.clone();
    let mut bed = Bed::with(BUFFERS, |netback| netback.to_deliver.push_back((early, 0)));
    assert_eq!(bed.receive(), [frame]);
}

#[test]
fn a_new_init_wait_is_a_new_connection() {
    let mut bed = Bed::connected();
    for round in 2..10 {
        drop(bed.replace_backend());
        bed.machine.settle();
        assert!(!bed.is_up());
        bed.netback().frozen = false;
        bed.machine.settle();
        assert_eq!(bed.counters().connections, round);
        bed.assert_works();
    }
    assert_eq!(bed.machine.xen.granted(), entries(BUFFERS));
    assert_eq!(bed.machine.grants.quarantined(), 0);
}

/// Takes the backend's driver from the card and gives it back, with frames under way in both directions.
fn rebind(bed: &mut Bed) {
    let frame = udp_frame(b"under way", true);
    bed.send(&frame);
    bed.netback().to_deliver.push_back((frame, 0));
    let Machine { netback, store, .. } = &mut bed.machine;
    let netback = netback.as_mut().expect("a card");
    netback.unbind(store);
    netback.bind(store);
}

#[test]
fn a_backend_that_is_bound_again_goes_on_with_the_rings_of_before() {
    let mut bed = Bed::connected();
    for round in 2..50 {
        rebind(&mut bed);
        bed.machine.settle();
        bed.assert_works();
        assert_eq!(bed.netback().connections, round);
    }
    assert_eq!(bed.counters().connections, 1, "the guest had no reason to connect again");
    assert_eq!(bed.machine.xen.granted(), entries(BUFFERS));
    assert_eq!(bed.machine.grants.quarantined(), 0);
}

#[test]
fn a_backend_that_is_bound_again_works_before_the_script_has_ended() {
    let mut bed = Bed::connected();
    bed.netback().slow_script = true;
    rebind(&mut bed);
    bed.machine.settle();
    let Machine { netback, store, .. } = &mut bed.machine;
    assert_eq!(netback.as_ref().expect("a card").shown(store), "2");
    bed.assert_works();
    let Machine { netback, store, .. } = &mut bed.machine;
    netback.as_ref().expect("a card").script_ends(store);
    bed.machine.settle();
    bed.assert_works();
    assert_eq!(bed.counters().connections, 1);
}

#[test]
fn a_connection_that_breaks_before_the_script_has_ended_is_made_anew_afterwards() {
    let mut bed = Bed::connected();
    bed.netback().slow_script = true;
    rebind(&mut bed);
    bed.machine.settle();
    bed.netback().manual = true;
    bed.netback().overwrite(false, 8, 5000);
    bed.netback().raise();
    bed.machine.settle();
    bed.turn(0);
    bed.machine.settle();
    assert!(!bed.is_up());
    assert_eq!(Netback::frontend_shown(&bed.machine.store), "6", "the backend has not said that it let go");
    bed.netback().manual = false;
    let Machine { netback, store, .. } = &mut bed.machine;
    netback.as_ref().expect("a card").script_ends(store);
    bed.machine.settle();
    bed.assert_works();
    assert_eq!(bed.counters().connections, 2);
}

#[test]
fn a_new_card_whose_nodes_are_the_same_is_noticed_when_the_old_one_had_closed() {
    let mut bed = Bed::connected();
    for _ in 0..5 {
        let Machine { netback, store, .. } = &mut bed.machine;
        netback.as_ref().expect("a card").request_close(store);
        bed.machine.settle();
        assert_eq!(Netback::frontend_shown(&bed.machine.store), "6");
        // Gone and there again before the guest has looked once.
        let netback = Netback::new(&bed.machine.xen, Domid(0));
        bed.machine.attach(netback);
        bed.machine.settle();
        bed.assert_works();
    }
}

/// What may happen to a card in any order. The backend, the toolstack and the guest each go on as far as chance has it.
#[test]
fn no_order_of_events_leaves_the_card_dead() {
    for seed in 1..200u32 {
        let mut random = Random(u64::from(seed) << 32 | 0x9e37_79b9);
        let mut bed = Bed::connected();
        bed.netback().slow_script = seed % 2 == 0;
        for _ in 0..random.below(60) {
            let machine = &mut bed.machine;
            let Machine { netback, store, .. } = machine;
            let backend = netback.as_mut().expect("a card");
            match random.below(24) {
                0 | 1 if !backend.is_unbound() => backend.unbind(store),
                2 | 3 if backend.is_unbound() => backend.bind(store),
                4 if !backend.is_unbound() => backend.script_ends(store),
                5 if !backend.is_unbound() => backend.give_up(store),
                6 => {
                    backend.unbind(store);
                    let netback = Netback::new(&machine.xen, Domid(0));
                    machine.attach(netback);
                }
                7 if backend.rings.is_some() => {
                    backend.tolerant = true;
                    backend.overwrite(false, 8, 5000);
                    backend.raise();
                    bed.turn(usize::MAX);
                }
                8..=13 => drop(backend.step(store)),
                14 | 15 => drop(bed.turn(usize::MAX)),
                _ => drop(machine.turn_of_the_guest()),
            }
        }
        let Machine { netback, store, .. } = &mut bed.machine;
        let netback = netback.as_mut().expect("a card");
        netback.slow_script = false;
        netback.script_ends(store);
        if netback.is_unbound() {
            netback.bind(store);
        }
        bed.receive();
        assert!(bed.is_up(), "seed {seed}");
        bed.assert_works();
        assert_eq!(bed.machine.xen.granted(), entries(BUFFERS), "seed {seed}");
    }
}

#[test]
fn no_data_flows_from_the_moment_in_which_the_backend_is_closing() {
    let mut bed = Bed::connected();
    bed.turn(0);
    bed.wakes.take();
    // It has not let go of anything yet, and never does.
    bed.netback().frozen = true;
    let directory = bed.netback().directory();
    bed.machine.store.write(&format!("{directory}/state"), "5");
    bed.machine.settle();
    assert_eq!(Netback::frontend_shown(&bed.machine.store), "6");
    assert!(!bed.is_up());
    assert!(bed.wakes.take() > 0, "the stack is told");
    assert!(!bed.try_send(&udp_frame(b"too late", true)));
    bed.netback().to_deliver.push_back((udp_frame(b"too late", true), 0));
    assert_eq!(bed.receive(), Vec::<Vec<u8>>::new());
    assert_eq!(bed.machine.xen.granted(), entries(BUFFERS), "what it may still use stays as it is");
}

#[test]
fn closed_without_closing_stops_the_card() {
    let mut bed = Bed::connected();
    let Machine { netback, store, .. } = &mut bed.machine;
    let netback = netback.as_mut().expect("a card");
    netback.unbind(store);
    netback.show(store, "6");
    bed.machine.settle();
    assert!(!bed.is_up());
    assert_eq!(bed.machine.xen.granted(), 0);
    // The toolstack has not said that the card goes: the frontend is ready for the backend to come back.
    assert_eq!(Netback::frontend_shown(&bed.machine.store), "1");
    let Machine { netback, store, .. } = &mut bed.machine;
    netback.as_mut().expect("a card").bind(store);
    bed.machine.settle();
    bed.assert_works();
}

#[test]
fn directories_that_vanish_without_a_word_stop_the_card() {
    let mut bed = Bed::connected();
    let directory = bed.netback().directory();
    bed.machine.netback = None;
    bed.machine.store.remove(&Netback::frontend());
    bed.machine.store.remove(&directory);
    bed.machine.settle();
    assert!(!bed.is_up());
    assert_eq!(bed.machine.xen.granted(), 0);
    let netback = Netback::new(&bed.machine.xen, Domid(0));
    bed.machine.attach(netback);
    bed.machine.settle();
    bed.assert_works();
}

#[test]
fn pages_that_the_backend_keeps_mapped_are_quarantined_until_it_lets_go() {
    let mut bed = Bed::connected();
    bed.netback().frozen = true;
    // It says that it has closed, but lets go of nothing.
    let directory = bed.netback().directory();
    bed.machine.store.write(&format!("{directory}/state"), "6");
    bed.machine.settle();
    assert_eq!(bed.machine.grants.quarantined(), 2, "both rings");
    assert_eq!(bed.machine.xen.granted(), 2);
    // A new backend gets new pages; the old ones stay out of use.
    let old = bed.machine.netback.take();
    bed.machine.store.remove(&Netback::frontend());
    bed.machine.settle();
    let netback = Netback::new(&bed.machine.xen, Domid(0));
    bed.machine.attach(netback);
    bed.machine.settle();
    bed.assert_works();
    assert_eq!(bed.machine.grants.quarantined(), 2);
    drop(old);
    bed.machine.detach();
    assert_eq!(bed.machine.grants.quarantined(), 0);
    assert_eq!(bed.machine.xen.granted(), 0);
}

/// A backend that is replaced again and again and lets go of nothing that `keep` maps; returns the pages in quarantine once
/// it gets no connection any more.
fn quarantined_by(mut keep: impl FnMut(&Bed) -> Vec<Mapping>) -> usize {
    let mut bed = Bed::connected();
    let mut kept = Vec::new();
    for _ in 0..100 {
        kept.extend(keep(&bed).into_iter().map(Kept::Page));
        kept.extend(bed.replace_backend().map(Kept::Rings));
        bed.machine.settle();
        bed.netback().frozen = false;
        bed.machine.settle();
    }
    assert!(!bed.is_up());
    let quarantined = bed.machine.grants.quarantined();
    assert_eq!(bed.machine.xen.granted(), quarantined);
    // It is served again once it has let go.
    drop(kept);
    drop(bed.replace_backend());
    bed.machine.settle();
    bed.netback().frozen = false;
    bed.machine.settle();
    bed.assert_works();
    quarantined
}

/// What a backend keeps.
#[expect(dead_code, reason = "held for their ends")]
enum Kept {
    Page(Mapping),
    Rings(Rings),
}

#[test]
fn a_backend_that_keeps_every_ring_is_refused_before_it_has_all_memory() {
    // The rings of 32 connections are as much as it may keep, and it has the 33rd before that is known.
    assert_eq!(quarantined_by(|_| Vec::new()), 64 + 2);
}

#[test]
fn a_backend_that_keeps_every_page_is_refused_before_it_has_all_memory() {
    let every_page = |bed: &Bed| {
        let xen = &bed.machine.xen;
        let granted = (0..1024).map(GrantRef).filter(|reference| xen.is_granted(*reference));
        granted.map(|reference| xen.map(Domid(0), reference)).collect()
    };
    // Two connections are less than 64 pages, a third is more.
    assert_eq!(quarantined_by(every_page), 3 * entries(BUFFERS));
}

#[test]
fn a_card_that_closes_before_it_connects_is_let_go() {
    let mut bed = Bed::with(BUFFERS, |netback| netback.features.retain(|(name, _)| *name != "feature-rx-copy"));
    assert_eq!(Netback::frontend_shown(&bed.machine.store), "1");
    bed.machine.detach();
    assert_eq!(bed.machine.xen.granted(), 0);
}

#[test]
fn bad_values_in_the_store_leave_the_card_out_of_use_until_they_are_mended() {
    let cases = [
        ("mac", "00:16:3e:01:02"),
        ("mac", "00:16:3e:01:02:03:04"),
        ("mac", "00-16-3e-01-02-03"),
        ("mac", "00:16:3e:01:02:0g"),
        ("mac", "01:16:3e:01:02:03"),
        ("mac", "00:00:00:00:00:00 "),
        ("mac", ""),
        ("backend-id", "-1"),
        ("backend-id", "32752"),
        ("backend-id", "65536"),
        ("backend-id", "0x0"),
        ("backend", "relative/path"),
        ("backend", "/nowhere"),
        ("backend", "/bad//path"),
        ("mtu", "many"),
        ("mtu", "-5"),
    ];
    for (leaf, value) in cases {
        let mut bed = Bed::unattached(BUFFERS);
        let netback = Netback::new(&bed.machine.xen, Domid(0));
        netback.create_directories(&mut bed.machine.store);
        let path = format!("{}/{leaf}", Netback::frontend());
        let good = bed.machine.store.read(&path).unwrap_or_else(|| String::from("1500"));
        bed.machine.store.write(&path, value);
        bed.machine.netback = Some(netback);
        bed.machine.settle();
        assert!(!bed.is_up(), "{leaf} {value}");
        assert_eq!(bed.machine.xen.granted(), 0);
        bed.machine.store.write(&path, &good);
        bed.machine.settle();
        bed.assert_works();
    }
}

#[test]
fn bad_features_leave_the_card_out_of_use() {
    for (feature, value) in [
        ("feature-rx-copy", "0"),
        ("feature-rx-copy", "yes"),
        ("feature-split-event-channels", "2"),
        ("feature-no-csum-offload", ""),
    ] {
        let bed = Bed::with(BUFFERS, |netback| {
            netback.features.retain(|(name, _)| *name != feature);
            netback.features.push((feature, value));
        });
        assert!(!bed.is_up(), "{feature} {value}");
        assert_eq!(bed.machine.xen.granted(), 0);
    }
}

#[test]
fn the_mtu_is_clamped_to_what_the_card_can_do() {
    for (value, largest) in [("1500", 1514), ("9000", 1514), ("1400", 1414), ("10", 590), ("4294967295", 1514)] {
        let mut bed = Bed::unattached(BUFFERS);
        let netback = Netback::new(&bed.machine.xen, Domid(0));
        netback.create_directories(&mut bed.machine.store);
        bed.machine.store.write(&format!("{}/mtu", Netback::frontend()), value);
        bed.machine.netback = Some(netback);
        bed.machine.settle();
        assert_eq!(bed.device.capabilities().max_transmission_unit, largest);
        bed.assert_works();
    }
}

#[test]
fn without_ports_the_card_stays_out_of_use_and_keeps_nothing() {
    let mut bed = Bed::unattached(BUFFERS);
    bed.machine.xen.limit_ports(2);
    let netback = Netback::new(&bed.machine.xen, Domid(0));
    bed.machine.attach(netback);
    bed.machine.settle();
    assert!(!bed.is_up());
    assert_eq!(bed.machine.xen.granted(), 0);
    assert_eq!(bed.machine.xen.open_ports(), 1);
    // A change, whatever it is, makes it try again.
    bed.machine.xen.limit_ports(10);
    bed.machine.store.write(&format!("{}/anything", Netback::frontend()), "");
    bed.machine.settle();
    bed.assert_works();
}

#[test]
fn a_refused_write_leaves_the_card_out_of_use_without_an_endless_loop() {
    let mut bed = Bed::unattached(BUFFERS);
    let netback = Netback::new(&bed.machine.xen, Domid(0));
    netback.create_directories(&mut bed.machine.store);
    let path = format!("{}/feature-rx-notify", Netback::frontend());
    bed.machine.store.write(&path, "");
    bed.machine.store.allow(&path, &[(Domid(0), Rights::None)]);
    bed.machine.netback = Some(netback);
    bed.machine.settle();
    assert!(!bed.is_up());
    assert_eq!(Netback::frontend_shown(&bed.machine.store), "1", "Connected would announce what is not there");
    assert_eq!((bed.machine.xen.granted(), bed.machine.xen.open_ports()), (0, 1));
    bed.machine.store.remove(&path);
    bed.machine.settle();
    bed.assert_works();
}

#[test]
fn a_lost_store_does_not_end_a_connection_that_works() {
    let mut bed = Bed::connected();
    bed.machine.store.inject_bytes(&[0xff; 64]);
    bed.machine.settle();
    let client = bed.machine.client;
    let outcome = bed.machine.run(async move { client.read("data").await });
    assert_eq!(outcome.expect_err("lost").kind, ErrorKind::Disconnected);
    bed.assert_works();
}

#[test]
fn a_store_that_starts_anew_is_followed_again() {
    let mut bed = Bed::connected();
    bed.machine.store.offer_reconnection();
    bed.machine.store.inject_bytes(&[0xff; 64]);
    bed.machine.settle();
    bed.assert_works();
    bed.machine.detach();
    assert!(!bed.is_up());
    let netback = Netback::new(&bed.machine.xen, Domid(0));
    bed.machine.attach(netback);
    bed.machine.settle();
    bed.assert_works();
}

#[test]
fn a_backend_of_the_other_kind_finds_no_stale_channels() {
    let mut bed = Bed::connected();
    bed.netback().features.retain(|(name, _)| *name != "feature-split-event-channels");
    let directory = bed.netback().directory();
    bed.machine.store.remove(&format!("{directory}/feature-split-event-channels"));
    drop(bed.replace_backend());
    bed.machine.settle();
    bed.netback().frozen = false;
    bed.machine.settle();
    bed.assert_works();
    let frontend = Netback::frontend();
    assert!(!bed.machine.store.exists(&format!("{frontend}/event-channel-tx")));
    assert!(bed.machine.store.exists(&format!("{frontend}/event-channel")));
}

#[test]
fn the_backends_count_of_queues_is_neither_read_nor_answered() {
    for value in ["4294967296", "-1", "many", ""] {
        let mut bed = Bed::with(BUFFERS, |netback| netback.features.push(("multi-queue-max-queues", value)));
        assert!(!bed.machine.store.exists(&format!("{}/multi-queue-num-queues", Netback::frontend())));
        bed.assert_works();
    }
}

#[test]
fn nothing_is_asked_for_that_is_for_ipv6() {
    let bed = Bed::connected();
    for feature in ["feature-gso-tcpv6", "feature-ipv6-csum-offload"] {
        assert!(!bed.machine.store.exists(&format!("{}/{feature}", Netback::frontend())), "{feature}");
    }
}

#[test]
fn a_backend_that_reaches_for_ended_pages_finds_nothing() {
    let mut bed = Bed::connected();
    let rx = &mut bed.netback().rings().rx;
    rx.requests().expect("whole");
    let request = rx.take().expect("a buffer");
    bed.machine.detach();
    assert!(!bed.machine.xen.is_granted(request.gref));
    assert_ne!(request.gref, GrantRef(0));
}

#[test]
fn buffers_take_an_eighth_of_the_memory_at_most() {
    let offload = cfg!(feature = "segmentation-offload");
    let pacing = Pacing::shared_cpu();
    for mib in [3, 4, 5, 8, 16, 20, 32, 512] {
        let Buffers { receive, transmit, segments } = Buffers::for_memory(mib << 20, &pacing);
        let pages = usize::from(receive) + usize::from(transmit).div_ceil(2) + usize::from(segments) * 16;
        assert!(pages <= (mib << 20) / 4096 / 8, "{mib} MiB: {pages} pages");
        assert!(receive >= 48 && transmit >= 64, "{mib} MiB");
        assert_eq!(segments >= 1, offload, "{mib} MiB");
    }
    let segments = if offload { 12 } else { 0 };
    assert_eq!(Buffers::for_memory(32 << 20, &pacing), Buffers { receive: 256, transmit: 184, segments });
    let segments = if offload { 15 } else { 0 };
    let unpaced = Buffers::for_memory(32 << 20, &Pacing::own_cpu());
    assert_eq!(unpaced, Buffers { receive: 256, transmit: 256, segments });
}
