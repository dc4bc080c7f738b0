//! Several cards, and cards of other numbers than 0.

use std::cell::RefCell;

use kernel::console::Console;
use kernel::net::device::NetworkDevice;
use xen_fake::bed::{BUFFERS, Bed};
use xen_fake::frames::udp_frame;
use xen_fake::{Machine, Netback};
use xen_pv::netfront::{Choice, Pacing, Setup};
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

/// A backend in domain 0 for the card of this number, whose address ends with it.
fn card(machine: &Machine, number: u8) -> Netback {
    let mut netback = Netback::numbered(&machine.xen, Domid(0), number.into());
    netback.mac = format!("00:16:3e:00:00:{number:02x}");
    netback
}

/// A guest that has these cards before it starts to look for one; the first is the bed's.
fn with_cards(choice: Choice, numbers: &[u8]) -> Bed {
    kernel::console::attach(&Buffer);
    lines();
    let mut bed = Bed::with_setup(Setup { buffers: BUFFERS, pacing: Pacing::shared_cpu(), choice });
    let written = lines();
    assert!(written.len() == 1 && written[0].starts_with("network: no card"), "{written:?}");
    for (index, number) in numbers.iter().enumerate() {
        let netback = card(&bed.machine, *number);
        match index {
            0 => bed.machine.attach(netback),
            _ => bed.machine.attach_other(netback),
        }
    }
    bed.machine.settle();
    bed
}

/// The number of the card that is used.
fn used(bed: &Bed) -> u8 {
    assert!(bed.is_up());
    bed.device.hardware_address().0[5]
}

#[test]
fn a_card_of_any_number_is_found() {
    for number in [1, 7, 200] {
        let mut bed = with_cards(Choice::First, &[number]);
        assert_eq!(used(&bed), number);
        bed.assert_works();
        bed.machine.detach();
        assert!(!bed.is_up());
    }
}

#[test]
fn a_card_that_is_replaced_by_one_of_another_number_lives_on() {
    let mut bed = with_cards(Choice::First, &[0]);
    for number in 1..6 {
        // As by `xl network-attach` and `xl network-detach` of the one before.
        let new = card(&bed.machine, number);
        bed.machine.attach_other(new);
        bed.machine.settle();
        assert_eq!(used(&bed), number - 1, "the card that works stays in use");
        bed.assert_works();
        bed.machine.detach();
        bed.machine.netback = bed.machine.others.pop();
        assert_eq!(used(&bed), number);
        bed.assert_works();
        assert_eq!(bed.machine.grants.quarantined(), 0);
    }
    assert_eq!(bed.counters().connections, 6);
}

#[test]
fn of_several_cards_one_is_used_and_the_others_are_named_once() {
    let mut bed = with_cards(Choice::First, &[0, 1, 2]);
    assert_eq!(used(&bed), 0);
    bed.assert_works();
    let expected =
        [1, 2].map(|number| format!("network card {number} is not used, 0 is; vif={number} chooses the other"));
    assert_eq!(lines(), expected);
    // Nothing of the others is said again, whatever happens to them.
    for index in 0..2 {
        let path = format!("{}/anything", bed.machine.others[index].own_frontend());
        bed.machine.store.write(&path, "");
        bed.machine.settle();
    }
    assert_eq!(lines(), [""; 0]);
    for other in &bed.machine.others {
        assert_eq!((other.connections, other.own_frontend_shown(&bed.machine.store).as_str()), (0, "1"));
    }
}

#[test]
fn a_card_that_is_not_used_lets_go_when_it_is_detached() {
    let mut bed = with_cards(Choice::First, &[0, 1]);
    // Looks whether the backend closes, as xl does before it removes the card.
    bed.machine.detach_other(0);
    assert_eq!(used(&bed), 0);
    bed.assert_works();
    assert_eq!(bed.counters().connections, 1);
}

#[test]
fn a_card_is_chosen_by_its_number_or_address() {
    let address = smoltcp::wire::EthernetAddress([0, 0x16, 0x3e, 0, 0, 2]);
    for (choice, expected) in [(Choice::Number(1), 1), (Choice::Number(2), 2), (Choice::Address(address), 2)] {
        let bed = with_cards(choice, &[0, 1, 2]);
        assert_eq!(used(&bed), expected);
        assert!(bed.machine.netback.as_ref().expect("a card").rings.is_none());
    }
}

#[test]
fn the_chosen_card_is_waited_for() {
    let mut bed = with_cards(Choice::Number(3), &[0]);
    assert!(!bed.is_up(), "the other one is not what was asked for");
    let frame = udp_frame(b"for the third", true);
    let mut netback = card(&bed.machine, 3);
    netback.to_deliver.push_back((frame.clone(), 0));
    bed.machine.attach_other(netback);
    assert_eq!(bed.receive(), [frame]);
    assert_eq!(used(&bed), 3);
}

#[test]
fn a_card_that_cannot_be_used_makes_place_for_the_next() {
    kernel::console::attach(&Buffer);
    let mut bed = Bed::unattached(BUFFERS);
    let mut broken = card(&bed.machine, 0);
    broken.mac = "none".to_owned();
    bed.machine.attach(broken);
    let good = card(&bed.machine, 1);
    bed.machine.attach_other(good);
    bed.machine.settle();
    assert_eq!(used(&bed), 1);
    let written = lines();
    assert!(written.iter().any(|line| line == "network card: mac: bad value"), "{written:?}");
    // Repaired, it waits for its turn.
    let path = format!("{}/mac", Netback::frontend());
    bed.machine.store.write(&path, "00:16:3e:00:00:00");
    bed.machine.settle();
    assert_eq!(used(&bed), 1);
    bed.machine.detach_other(0);
    assert_eq!(used(&bed), 0);
    bed.assert_works();
}
