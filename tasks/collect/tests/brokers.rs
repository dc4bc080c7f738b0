//! The whole task between two brokers that are in memory: what it says to them, and what it reports.

mod broker;

use broker::{Broker, Heard, run, said};
use collect::{Error, Parameters};
use testing::Guest;

/// Properties of greetings.
const NO_QOS: &[u8] = &[0x24, 0];
const NO_SUBSCRIPTION_IDS: &[u8] = &[0x29, 0];
const SMALL_PACKETS: &[u8] = &[0x27, 0, 0, 0, 50];

fn parameters() -> Parameters {
    Parameters {
        source: "10.0.0.1:1".to_owned(),
        cloud: "10.0.0.1:2".to_owned(),
        topics: vec!["number:n/{name}".to_owned()],
        end: Some("end".to_owned()),
        window_s: Some(10),
        ..Parameters::default()
    }
}

fn brokers(guest: &Guest) -> [Broker; 2] {
    [1, 2].map(|port| Broker::new(guest, port))
}

fn subscriptions(broker: &Broker) -> usize {
    broker.count(|heard| matches!(heard, Heard::Subscribe(_)))
}

fn connections(broker: &Broker) -> usize {
    broker.count(|heard| matches!(heard, Heard::Connect(..)))
}

/// Has `say` be done once, when the source's broker has taken so many subscriptions.
fn once_subscribed(count: usize, say: impl FnOnce(&mut [Broker; 2])) -> impl FnMut(&mut [Broker; 2]) {
    let mut say = Some(say);
    move |brokers| {
        if subscriptions(&brokers[0]) == count
            && let Some(say) = say.take()
        {
            say(brokers);
        }
    }
}

#[test]
fn a_reading_becomes_a_summary_of_the_window_in_which_it_came() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    let parameters = Parameters { status: Some("here".to_owned()), ..parameters() };
    let script = once_subscribed(2, |[source, _]| {
        source.publish(1, "n/a", "1.5");
        source.publish(2, "n/a", "2.5");
        source.publish(3, "end", "");
    });
    let report = run(&guest, parameters, &mut brokers, script).unwrap();
    assert_eq!((report.readings, report.windows, report.published, report.dropped), (2, 1, 1, 0));
    assert_eq!((report.source_reconnects, report.cloud_reconnects), (0, 0));
    assert!(!said("cannot be read"));
    let [source, cloud] = &brokers;
    let [one, other] = ["n/+", "end"].map(|filter| Heard::Subscribe(filter.to_owned()));
    assert_eq!(source.heard[..3], [Heard::Connect(5, false), one, other]);
    assert_eq!(source.heard.last(), Some(&Heard::Disconnect(true)), "nothing waits for another run");
    // The guest's clock dates what says no time: 1,700,000,000.
    let [(1, "summaries/a", payload)] = cloud.published()[..] else { panic!("{:?}", cloud.heard) };
    assert!(
        payload.starts_with("[{\"bn\":\"a/\",\"bt\":1700000000,\"n\":\"window\",\"u\":\"s\",\"v\":10}"),
        "{payload}"
    );
    assert!(payload.contains("{\"n\":\"count\",\"u\":\"count\",\"v\":2}"), "{payload}");
    let status = |text: &str| Heard::Retained("here".to_owned(), text.to_owned());
    assert_eq!(cloud.heard[1], status("online"));
    assert_eq!(cloud.heard[cloud.heard.len() - 2..], [status("offline"), Heard::Disconnect(true)]);
}

#[test]
fn so_many_readings_as_are_asked_for_are_the_end() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    let parameters = Parameters { end: None, readings: Some(2), ..parameters() };
    let script = once_subscribed(1, |[source, _]| (1..=3).for_each(|id| source.publish(id, "n/a", "1")));
    assert_eq!(run(&guest, parameters, &mut brokers, script).unwrap().readings, 2);
}

#[test]
fn a_session_that_the_source_has_kept_needs_no_subscription_and_one_that_it_has_not_does() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    brokers[0].greetings = [false, true, false].map(|resumed| (resumed, Vec::new())).to_vec();
    let mut spoken = 0;
    let report = run(&guest, parameters(), &mut brokers, |[source, _]| {
        // How many connections and subscriptions there are when the source speaks next.
        let when = [(1, 2), (2, 2), (3, 4)];
        if when.get(spoken) == Some(&(connections(source), subscriptions(source))) {
            spoken += 1;
            source.publish(spoken as u8, "n/a", "1");
            if spoken < 3 { source.disconnect() } else { source.publish(9, "end", "") }
        }
    });
    let report = report.unwrap();
    assert_eq!((report.readings, report.source_reconnects, report.cloud_reconnects), (3, 2, 0));
    assert!(said("the source broker has forgotten the session"));
}

#[test]
fn a_session_of_an_earlier_run_is_named_and_one_of_this_run_is_not() {
    for greetings in [[true, false], [false, true]] {
        let guest = Guest::new();
        let mut brokers = brokers(&guest);
        brokers[0].greetings = greetings.map(|resumed| (resumed, Vec::new())).to_vec();
        let mut left = false;
        let report = run(&guest, parameters(), &mut brokers, |[source, _]| {
            if subscriptions(source) >= 2 && !core::mem::replace(&mut left, true) {
                source.disconnect();
            } else if connections(source) == 2 && left {
                left = false;
                source.publish(1, "end", "");
            }
        });
        assert_eq!(report.unwrap().source_reconnects, 1);
        assert_eq!(said("has kept the session of an earlier run"), greetings[0], "{greetings:?}");
    }
}

#[test]
fn messages_that_cannot_be_read_are_counted_and_named_once() {
    const UNKNOWN: &[u8] = &[0x7f];
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    let topics = vec!["number:n/{name}".to_owned(), "s".to_owned()];
    let script = once_subscribed(3, |[source, _]| {
        source.publish_with(1, "n/a", UNKNOWN, "1");
        source.publish_with(2, "n/a", UNKNOWN, "1");
        // Before 1970.
        source.publish(3, "s", r#"[{"n":"a","v":1,"bt":-1e10}]"#);
        source.publish(4, "end", "");
    });
    let report = run(&guest, Parameters { topics, ..parameters() }, &mut brokers, script).unwrap();
    assert_eq!((report.readings, report.malformed), (0, 3));
    assert!(said("cannot be read, on \"n/a\": a message that is not as MQTT has it"));
}

#[test]
fn a_broker_that_closes_without_an_answer_is_asked_for_tls_and_then_for_the_older_version() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    brokers[0].close();
    let _ = run(&guest, parameters(), &mut brokers, |[source, _]| {
        if connections(source) == 2 {
            guest.stop();
        }
    });
    assert_eq!(brokers[0].heard[..3], [Heard::Connect(5, false), Heard::Hello, Heard::Connect(4, false)]);
}

#[test]
fn a_broker_that_has_answered_before_is_not_asked_for_tls() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    let mut closed = false;
    let _ = run(&guest, parameters(), &mut brokers, |[source, _]| {
        if subscriptions(source) == 2 && !core::mem::replace(&mut closed, true) {
            source.close();
        }
        if connections(source) == 3 {
            guest.stop();
        }
    });
    assert_eq!(brokers[0].count(|heard| *heard == Heard::Hello), 0);
    assert_eq!(brokers[0].heard.last(), Some(&Heard::Connect(5, false)));
    assert!(said("it closes the connection without an answer"));
}

#[test]
fn what_the_cloud_has_not_acknowledged_goes_out_again_under_the_same_number() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    brokers[1].acknowledges = false;
    let mut subscribed = once_subscribed(2, |[source, _]| {
        source.publish(1, "n/a", "1");
        source.publish(2, "end", "");
    });
    let report = run(&guest, parameters(), &mut brokers, |brokers| {
        subscribed(brokers);
        let cloud = &mut brokers[1];
        if cloud.published().len() == 1 && !cloud.acknowledges {
            cloud.acknowledges = true;
            cloud.disconnect();
        }
    });
    let report = report.unwrap();
    assert_eq!((report.published, report.dropped, report.cloud_reconnects), (1, 0, 1));
    let [one, again] = brokers[1].published()[..] else { panic!("{:?}", brokers[1].heard) };
    assert_eq!(one, again);
}

#[test]
fn a_cloud_that_acknowledges_nothing_is_not_published_to() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    brokers[1].greetings = vec![(false, NO_QOS.to_vec()), (false, Vec::new())];
    let script = once_subscribed(2, |[source, _]| {
        source.publish(1, "n/a", "1");
        source.publish(2, "end", "");
    });
    let report = run(&guest, parameters(), &mut brokers, script).unwrap();
    // It was left at once, and was another one when it was asked again.
    assert_eq!((report.published, report.cloud_reconnects), (1, 1));
    let connect = Heard::Connect(5, true);
    assert_eq!(brokers[1].heard[..3], [connect.clone(), Heard::Disconnect(true), connect]);
}

#[test]
fn a_summary_that_the_cloud_has_no_room_for_is_dropped_and_named_at_the_end() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    brokers[1].greetings = vec![(false, SMALL_PACKETS.to_vec())];
    let script = once_subscribed(2, |[source, _]| {
        source.publish(1, "n/a", "1");
        source.publish(2, "end", "");
    });
    let error = run(&guest, parameters(), &mut brokers, script).unwrap_err();
    let Error::Undelivered(1, Some(reason)) = &error else { panic!("{error}") };
    assert!(reason.contains("large"), "{reason}");
    assert_eq!(brokers[1].published(), []);
}

#[test]
fn a_run_with_a_name_that_is_asked_to_stop_leaves_its_session_and_delivers_what_it_has() {
    for (client, ends_session) in [(Some("me".to_owned()), false), (None, true)] {
        let guest = Guest::new();
        let mut brokers = brokers(&guest);
        let mut publish = once_subscribed(2, |[source, _]| source.publish(1, "n/a", "1"));
        let report = run(&guest, Parameters { client, ..parameters() }, &mut brokers, |brokers| {
            publish(brokers);
            if brokers[0].acknowledged == 1 {
                guest.stop();
            }
        });
        let report = report.unwrap();
        assert_eq!((report.readings, report.published), (1, 1));
        assert_eq!(brokers[0].heard.last(), Some(&Heard::Disconnect(ends_session)));
    }
}

#[test]
fn a_filter_that_the_source_refuses_ends_the_connection_until_it_is_granted() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    brokers[0].grants = 0x87;
    let report = run(&guest, parameters(), &mut brokers, |[source, _]| {
        if connections(source) == 2 && source.grants != 1 {
            source.grants = 1;
            source.publish(1, "end", "");
        }
    });
    assert_eq!(report.unwrap().source_reconnects, 1);
}

#[test]
fn filters_that_overlap_need_a_broker_that_tells_them_apart() {
    let guest = Guest::new();
    let mut brokers = brokers(&guest);
    brokers[0].greetings = vec![(false, NO_SUBSCRIPTION_IDS.to_vec())];
    let topics = ["number:n/{name}/x", "number:n/a/{name}"].map(str::to_owned).to_vec();
    let error = run(&guest, Parameters { topics, ..parameters() }, &mut brokers, |_| {}).unwrap_err();
    assert_eq!(error, Error::Overlap("n/+/x".to_owned(), "n/a/+".to_owned()));
    assert_eq!(subscriptions(&brokers[0]), 0);
}
