//! What the card's driver says on the console.

use std::cell::RefCell;
use std::time::Duration;

use kernel::console::Console;
use xen_fake::bed::{BUFFERS, Bed};
use xen_fake::{Machine, Netback};
use xen_sys::types::Domid;

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

/// The lines that were written since the last call.
fn lines() -> Vec<String> {
    WRITTEN.take().lines().map(String::from).collect()
}

/// A card whose backend cannot be used.
fn unusable() -> Bed {
    kernel::console::attach(&Buffer);
    let bed = Bed::with(BUFFERS, |netback| netback.features.retain(|(name, _)| *name != "feature-rx-copy"));
    // The driver looked for a card before this one was attached.
    let written = WRITTEN.take();
    let Some((first, rest)) = written.split_once('\n') else { panic!("{written}") };
    assert!(first.starts_with("network: no card; "), "{first}");
    WRITTEN.set(rest.into());
    bed
}

fn show(bed: &mut Bed, state: &str) {
    let path = format!("{}/state", bed.netback().directory());
    bed.machine.store.write(&path, state);
    bed.machine.settle();
}

/// Has the backend go back and forth until the driver says no more; returns how many lines that gave.
fn toggle(bed: &mut Bed) -> usize {
    for _ in 0..100 {
        show(bed, "3");
        show(bed, "2");
    }
    let lines = lines();
    assert!(lines.iter().all(|line| line == "network card: feature-rx-copy: the backend lacks it"), "{lines:?}");
    lines.len()
}

#[test]
fn a_backend_that_toggles_its_state_does_not_fill_the_console() {
    let mut bed = unusable();
    assert_eq!((toggle(&mut bed), toggle(&mut bed)), (16, 0));
}

#[test]
fn a_card_that_cannot_be_used_is_there() {
    kernel::console::attach(&Buffer);
    let mut machine = Machine::new();
    let mut netback = Netback::new(&machine.xen, Domid(0));
    netback.mac = "none".to_owned();
    machine.attach(netback);
    let _device = machine.start_netfront(BUFFERS);
    machine.settle();
    let lines = lines();
    assert!(matches!(&lines[..], [line] if line.starts_with("network card: mac: ")), "{lines:?}");
}

#[test]
fn a_backend_that_behaves_and_misbehaves_in_turn_has_no_more_said() {
    let mut bed = unusable();
    let feature = format!("{}/feature-rx-copy", bed.netback().directory());
    for round in 0..3 {
        assert_eq!(toggle(&mut bed), if round == 0 { 16 } else { 0 });
        bed.machine.store.write(&feature, "1");
        show(&mut bed, "2");
        bed.netback().frozen = false;
        bed.machine.settle();
        bed.assert_works();
        bed.machine.store.write(&feature, "0");
        drop(bed.replace_backend());
        bed.machine.settle();
    }
}

#[test]
fn what_is_wrong_is_said_again_after_a_while_with_the_number_of_lines_that_were_not() {
    let mut bed = unusable();
    assert_eq!(toggle(&mut bed), 16);
    for _ in 0..3 {
        bed.machine.xen.advance(Duration::from_secs(60));
        show(&mut bed, "3");
        show(&mut bed, "2");
        let lines = lines();
        assert!(lines[0].ends_with(" lines like the next were not written"), "{lines:?}");
        assert_eq!(lines[1..], ["network card: feature-rx-copy: the backend lacks it"]);
        show(&mut bed, "3");
        show(&mut bed, "2");
    }
}

#[test]
fn a_card_of_another_number_than_the_first_is_named_by_it() {
    kernel::console::attach(&Buffer);
    let mut bed = Bed::unattached(BUFFERS);
    let mut netback = Netback::numbered(&bed.machine.xen, Domid(0), 3);
    netback.features.retain(|(name, _)| *name != "feature-rx-copy");
    WRITTEN.take();
    bed.machine.attach(netback);
    bed.machine.settle();
    assert!(lines().contains(&"network card 3: feature-rx-copy: the backend lacks it".to_owned()));
}
