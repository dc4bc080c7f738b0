//! Tests of what happens to messages between the two connections.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use embassy_futures::poll_once;
use embassy_time::Instant;

use super::{Collector, End};
use crate::backlog::{Next, Summary};
use crate::error::Error;
use crate::parameters::Settings;
use crate::parameters::tests::settings;
use crate::report::Report;
use mqtt::Publish;
use mqtt::Reason;

const NOW: f64 = 1_700_000_000.0;
const START: Instant = Instant::from_secs(100);

const MESSAGE: Publish<'_> =
    Publish { topic: "a/x", qos: 1, id: 1, again: false, retained: false, subscriptions: 0, payload: b"" };

/// A collector with windows of a minute and no grace, for packs on `a/+`.
struct Bench {
    settings: Settings,
    collector: Collector,
}

impl Bench {
    fn new(line: &str) -> Self {
        let line = format!("window_s=60 grace_s=0 readings=5 sensors=2 queue=3 {line}");
        let settings = settings(&line).unwrap_or_else(|error| panic!("{error}"));
        let collector = Collector::new(&settings);
        Self { settings, collector }
    }

    fn receive(&self, pack: &str) -> bool {
        self.message(Publish { payload: pack.as_bytes(), ..MESSAGE })
    }

    fn message(&self, message: Publish<'_>) -> bool {
        self.collector.receive(&self.settings.routes, &message, NOW)
    }

    /// A reading of "a" in each of so many minutes.
    fn minutes(&self, count: u32) {
        for minute in 0..count {
            self.receive(&format!(r#"[{{"n":"a","t":{},"v":1}}]"#, 1_200_000_000 + 60 * minute));
        }
    }

    fn next(&self) -> Option<Summary> {
        match self.collector.next_summary(START) {
            Next::Summary(summary) => Some(summary),
            Next::Later(_) | Next::Nothing => None,
        }
    }

    /// Sends what can be sent.
    fn send(&self) -> Vec<Summary> {
        let next = || self.next().inspect(|summary| self.collector.mark_sent(summary));
        core::iter::from_fn(next).collect()
    }

    /// The counts, whatever was delivered.
    fn report(&self) -> Report {
        let state = self.collector.state.0.borrow();
        state.counts()
    }
}

#[test]
fn a_closed_window_becomes_a_message() {
    let bench = Bench::new("");
    bench.receive(r#"[{"n":"dev:a","bt":1200000000,"v":1},{"n":"dev:a","t":1,"v":3}]"#);
    assert!(bench.next().is_none());
    bench.receive(r#"[{"n":"dev:a","t":1200000060,"v":9}]"#);
    let summary = bench.next().unwrap();
    let message = bench.collector.message(&summary);
    assert_eq!((summary.sequence, &*message.topic), (0, "summaries/dev:a"));
    assert!(message.payload.starts_with(r#"[{"bn":"dev:a/","bt":1200000000,"n":"window","u":"s","v":60}"#));
}

#[test]
fn the_end_closes_all_windows_and_is_reached_when_all_have_left() {
    let bench = Bench::new("");
    assert!(!bench.collector.is_delivered());
    bench.receive(r#"[{"n":"a","t":1200000000,"v":1},{"n":"b","t":1200000000,"v":1}]"#);
    bench.collector.finish(End::Complete);
    assert!(!bench.collector.is_delivered());
    for summary in bench.send() {
        bench.collector.answered(summary.id(), None, START);
    }
    assert!(bench.collector.is_delivered());
    let report = bench.collector.outcome().unwrap();
    assert_eq!((report.windows, report.published, report.dropped), (2, 2, 0));
}

#[test]
fn a_run_that_delivers_nothing_fails_and_says_why() {
    let bench = Bench::new("");
    assert!(bench.collector.outcome().is_ok(), "there was nothing to deliver");
    bench.minutes(3);
    assert_eq!(bench.collector.outcome(), Err(Error::Undelivered(2, None)));
    for summary in bench.send() {
        bench.collector.answered(summary.id(), Some(Reason(0x87)), START);
    }
    let error = bench.collector.outcome().unwrap_err().to_string();
    assert_eq!(error, "none of 2 summaries was delivered; the cloud refuses them: not authorized (0x87)");
    bench.minutes(4);
    bench.collector.answered(bench.send()[0].id(), None, START);
    assert!(bench.collector.outcome().is_ok());
}

#[test]
fn refused_summaries_are_dropped_or_wait_for_another_time() {
    let bench = Bench::new("");
    bench.minutes(4);
    let sent = bench.send();
    bench.collector.answered(sent[1].id(), Some(Reason(0x97)), START);
    bench.collector.answered(sent[2].id(), Some(Reason(0x87)), START);
    bench.collector.answered(sent[0].id(), None, START);
    // An answer that comes twice counts once.
    bench.collector.answered(sent[0].id(), None, START);
    bench.collector.answered(sent[2].id(), Some(Reason(0x87)), START);
    assert_eq!(bench.next(), None);
    let later = Instant::from_secs(101);
    assert_eq!(bench.collector.next_summary(START), Next::Later(later));
    assert_eq!(bench.collector.next_summary(later), Next::Summary(sent[1]));
    let report = bench.report();
    assert_eq!((report.windows, report.published, report.refused, report.dropped), (3, 1, 2, 1));
}

#[test]
fn what_was_under_way_is_sent_again_over_the_next_connection() {
    let bench = Bench::new("");
    bench.minutes(2);
    let sent = bench.send();
    bench.collector.cloud_connected(true);
    assert_eq!(bench.send(), sent);
    assert_eq!(bench.report().cloud_reconnects, 1);
}

#[test]
fn every_kind_of_record_is_counted() {
    let bench = Bench::new("");
    bench.receive(
        r#"[{"bt":1200000000,"n":"a","v":1},{"n":"a","v":1},{"n":"a","vs":"on"},{"n":"a","v":"on"},
            {"n":"a","t":-60,"v":1},{"n":"b","v":1},{"n":"c","v":1},{"n":"a","u":"K","v":1},{"n":"b","t":2e9,"v":1}]"#,
    );
    bench.receive("nonsense");
    bench.collector.passed("a/large", 100_000);
    bench.collector.repeated();
    let report = bench.report();
    assert_eq!((report.readings, report.late, report.over_limit, report.ahead), (7, 1, 1, 1));
    assert_eq!((report.not_numeric, report.malformed, report.duplicates, report.too_large), (1, 2, 1, 1));
    let series: Vec<(String, String, u64)> = bench
        .collector
        .state
        .0
        .borrow()
        .sensors
        .all()
        .iter()
        .map(|sensor| (sensor.name.to_string(), sensor.unit.to_string(), sensor.total.count()))
        .collect();
    assert_eq!(series, [("a".into(), "K".into(), 3), ("b".into(), "".into(), 1)]);
}

#[test]
fn messages_that_are_not_taken_are_counted_by_their_kind() {
    let bench = Bench::new("");
    let message = |topic, subscriptions, retained| {
        bench.message(Publish { topic, subscriptions, retained, payload: br#"[{"n":"a","v":1}]"#, ..MESSAGE });
    };
    message("a/x", 0b01, false);
    message("a/x", 0b01, true);
    message("a/x", 0b10, false);
    message("c", 0b01, false);
    message("summaries/a", 0b01, false);
    let report = bench.report();
    assert_eq!((report.readings, report.retained, report.copies, report.unasked, report.own), (1, 1, 1, 1, 1));
}

#[test]
fn enough_is_said_when_the_readings_have_come() {
    let bench = Bench::new("");
    let pack = |from: u32| -> String {
        let record = |n: u32| format!(r#"{{"n":"a","t":{},"v":1}}"#, 1_200_000_000 + n);
        format!("[{},{}]", record(from), record(from + 1))
    };
    assert!(!bench.receive(&pack(0)));
    assert!(!bench.receive(&pack(2)));
    assert!(bench.receive(&pack(4)));
}

#[test]
fn windows_are_closed_by_the_clock_when_the_source_is_heard() {
    let bench = Bench::new("");
    bench.collector.source_connected(false, NOW);
    bench.receive(r#"[{"n":"a","v":1}]"#);
    bench.collector.heard(NOW + 1.0);
    assert_eq!(bench.next(), None);
    let has_news = || poll_once(bench.collector.news()).is_ready();
    assert!(!has_news());
    bench.collector.heard(NOW + 60.0);
    assert!(has_news());
    assert_eq!(bench.next().unwrap().window.start_s, 1_699_999_980);
}

#[test]
fn what_does_not_fit_the_queue_is_dropped_and_counted() {
    let bench = Bench::new("");
    bench.minutes(10);
    assert_eq!(bench.next().unwrap().sequence, 6);
    let report = bench.report();
    assert_eq!((report.windows, report.dropped), (9, 6));
}

#[test]
fn what_was_never_delivered_is_dropped_as_well() {
    let bench = Bench::new("");
    bench.minutes(10);
    bench.collector.finish(End::Complete);
    let sent = bench.send();
    bench.collector.answered(sent[0].id(), None, START);
    let report = bench.collector.outcome().unwrap();
    // Of ten windows seven were pushed out of the queue, and two of the other three have no answer.
    assert_eq!((report.windows, report.published, report.dropped), (10, 1, 9));
}

#[test]
fn the_counts_are_said_with_what_was_left_out() {
    let bench = Bench::new("");
    bench.minutes(3);
    let mut line = String::new();
    bench.collector.counts().write(&mut line);
    assert_eq!(line, "readings=3 series=1 windows=2 published=0 waiting=2");
    bench.receive("nonsense");
    line.clear();
    bench.collector.counts().write(&mut line);
    assert_eq!(line, "readings=3 series=1 windows=2 published=0 waiting=2 malformed=1");
}
