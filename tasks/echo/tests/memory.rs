//! The task against peers in memory: what its peers do is said here, byte for byte.

use echo::{Parameters, Report, run};
use testing::Guest;

/// The report of a task that is asked to end once `done` says so.
fn report(guest: &Guest, done: impl Fn() -> bool) -> Report {
    let report = guest.run(run(Parameters::default(), guest), |guest| {
        if done() {
            guest.stop();
        }
    });
    report.expect("the task waits for something else").expect("a report")
}

#[test]
fn what_a_client_says_comes_back_and_its_end_is_answered() {
    let guest = Guest::new();
    let client = guest.client(7);
    client.say(b"hello");
    client.close();
    let report = report(&guest, || client.is_left());
    assert_eq!(client.heard(), b"hello");
    assert_eq!(report, Report { connections: 1, bytes: 5, datagrams: 0 });
}

#[test]
fn clients_are_served_side_by_side() {
    let guest = Guest::new();
    let [silent, busy] = [guest.client(7), guest.client(7)];
    busy.say(&[9; 10_000]);
    let report = report(&guest, || busy.heard().len() == 10_000);
    assert_eq!((busy.heard(), silent.heard()), (vec![9; 10_000], Vec::new()));
    assert_eq!((report.connections, report.bytes), (2, 10_000));
}

#[test]
fn a_datagram_goes_back_to_where_it_came_from() {
    let guest = Guest::new();
    let from = "192.0.2.9:1234".parse().unwrap();
    guest.send_datagram(7, from, b"ping");
    let seen = std::cell::RefCell::new(Vec::new());
    let report = report(&guest, || {
        seen.borrow_mut().extend(guest.sent_datagrams());
        !seen.borrow().is_empty()
    });
    assert_eq!(seen.into_inner(), [(from, b"ping".to_vec())]);
    assert_eq!(report.datagrams, 1);
}
