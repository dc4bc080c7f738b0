//! Tests of what happens to messages between the two connections.

use alloc::string::{String, ToString};
use alloc::vec;

use embassy_time::Duration;

use super::{Collector, End};
use crate::link::Address;
use crate::parameters::Settings;

const NOW: f64 = 1_700_000_000.0;

fn settings() -> Settings {
    let broker = Address::parse("127.0.0.1").unwrap();
    Settings {
        source: broker.clone(),
        cloud: broker,
        topics: vec!["sensors/#".to_string()],
        end: None,
        summaries: "summaries".to_string(),
        client: "collect".to_string(),
        cloud_client: "collect-cloud".to_string(),
        readings: Some(5),
        window_s: 60,
        sensors: 2,
        queue: 3,
        keepalive_s: 30,
        drain: Duration::from_secs(1),
        run: 7,
    }
}

fn receive(collector: &Collector, payload: &str) -> bool {
    collector.receive("sensors/a", payload.as_bytes(), NOW)
}

#[test]
fn a_closed_window_becomes_a_message() {
    let collector = Collector::new(&settings());
    receive(&collector, r#"[{"n":"dev:a","bt":1200000000,"v":1},{"n":"dev:a","t":1,"v":3}]"#);
    assert!(collector.next_message().is_none());
    receive(&collector, r#"[{"n":"dev:a","t":1200000060,"v":9}]"#);
    let message = collector.next_message().unwrap();
    assert_eq!((message.summary.sequence, &*message.topic), (0, "summaries/dev:a"));
    assert!(message.payload.starts_with(r#"[{"bn":"dev:a/","bt":1200000000,"n":"window","u":"s","v":60}"#));
}

#[test]
fn the_end_closes_all_windows_and_is_reached_when_all_have_left() {
    let collector = Collector::new(&settings());
    assert!(!collector.is_delivered());
    receive(&collector, r#"[{"n":"a","t":1200000000,"v":1},{"n":"b","t":1200000000,"v":1}]"#);
    collector.finish(End::Complete);
    assert!(!collector.is_delivered());
    for _ in 0..2 {
        collector.give_up(&collector.next_message().unwrap().summary);
    }
    assert!(collector.is_delivered());
    let report = collector.into_report();
    assert_eq!((report.windows, report.published, report.dropped), (2, 0, 2));
}

#[test]
fn taken_and_refused_summaries_are_told_apart() {
    let collector = Collector::new(&settings());
    for minute in 0..4 {
        receive(&collector, &alloc::format!(r#"[{{"n":"a","t":{},"v":1}}]"#, 1_200_000_000 + 60 * minute));
    }
    let sent: vec::Vec<_> = (0..3)
        .map(|_| {
            let summary = collector.next_message().unwrap().summary;
            collector.mark_sent(&summary);
            summary
        })
        .collect();
    collector.answered(sent[1].id(), true);
    collector.answered(sent[0].id(), false);
    // An answer that comes twice counts once.
    collector.answered(sent[0].id(), false);
    assert!(collector.next_message().is_none());
    // The answer to the third is lost with the connection.
    collector.cloud_connected(true);
    assert_eq!(collector.next_message().unwrap().summary, sent[2]);
    let report = collector.into_report();
    assert_eq!((report.windows, report.published, report.dropped, report.cloud_reconnects), (3, 1, 2, 1));
}

#[test]
fn every_kind_of_record_is_counted() {
    let collector = Collector::new(&settings());
    receive(
        &collector,
        r#"[{"bt":1200000000,"n":"a","v":1},{"n":"a","v":1},{"n":"a","vs":"on"},{"n":"a","v":"on"},{"n":"a","u":"K","v":1},
            {"n":"a","t":-60,"v":1},{"n":"b","v":1},{"n":"c","v":1}]"#,
    );
    receive(&collector, "nonsense");
    let report = collector.into_report();
    assert_eq!((report.readings, report.late, report.over_limit), (4, 1, 1));
    assert_eq!((report.not_numeric, report.malformed, report.duplicates), (1, 3, 1));
    let names: vec::Vec<&str> = report.sensors.iter().map(|sensor| &*sensor.name).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn enough_is_said_when_the_readings_have_come() {
    let collector = Collector::new(&settings());
    let pack = |from: u32| -> String {
        let record = |n: u32| alloc::format!(r#"{{"n":"a","t":{},"v":1}}"#, 1_200_000_000 + n);
        alloc::format!("[{},{}]", record(from), record(from + 1))
    };
    assert!(!receive(&collector, &pack(0)));
    assert!(!receive(&collector, &pack(2)));
    assert!(receive(&collector, &pack(4)));
}

#[test]
fn a_message_that_comes_again_after_a_reconnect_changes_nothing() {
    let collector = Collector::new(&settings());
    let pack = r#"[{"n":"a","v":1},{"n":"a","v":2}]"#;
    collector.source_connected(false, false);
    receive(&collector, pack);
    collector.source_connected(true, true);
    receive(&collector, pack);
    let report = collector.into_report();
    assert_eq!((report.readings, report.duplicates, report.source_reconnects), (2, 1, 1));
    assert_eq!(report.sensors[0].count, 2);
}

#[test]
fn any_number_of_dated_readings_may_come_again_after_a_reconnect() {
    let collector = Collector::new(&settings());
    let pack = |time: u32| alloc::format!(r#"[{{"n":"a","t":{time},"v":1}}]"#);
    collector.source_connected(false, false);
    let send = |time| {
        receive(&collector, &pack(time));
    };
    (1_200_000_000..1_200_000_100).for_each(send);
    collector.source_connected(true, true);
    (1_200_000_040..1_200_000_200).for_each(send);
    let report = collector.into_report();
    assert_eq!((report.readings, report.duplicates), (200, 60));
}

#[test]
fn what_does_not_fit_the_queue_is_dropped_and_counted() {
    let collector = Collector::new(&settings());
    for minute in 0..10 {
        receive(&collector, &alloc::format!(r#"[{{"n":"a","t":{},"v":1}}]"#, 1_200_000_000 + 60 * minute));
    }
    assert_eq!(collector.next_message().unwrap().summary.sequence, 6);
    let report = collector.into_report();
    assert_eq!((report.windows, report.dropped), (9, 9));
}
