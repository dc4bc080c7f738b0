//! The task `collect` as a process, between two real brokers, while cables are cut and brokers restarted.
//!
//! The same task runs in a guest in the scenarios; here it runs without Xen, so that what it makes of faults can be
//! tested often and quickly. The numbers that come out are compared with `qemu_tests::replay`'s own.

mod brokers;
mod faults;
#[path = "../common/machine.rs"]
mod machine;
mod said;

use std::future::pending;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use collect::{Error, Parameters, Report};
use embassy_futures::select::{Either, select};
use host::Host;
use machine::Machine;
use qemu_tests::broker::Broker;
use qemu_tests::cable::Cable;
use qemu_tests::progress::Lines;
use qemu_tests::replay::{Data, Message, Summaries, publish};
use qemu_tests::setup::setup_host;
use qemu_tests::{host_tool, place};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Six hours: four windows a day.
const WINDOW_S: i64 = 21_600;

/// The configuration of a broker that lets everyone in.
const EVERYONE: &str = "allow_anonymous true\n";

/// The message that ends a run.
fn end() -> Message {
    Message { topic: "sensors/end".to_owned(), payload: String::new(), readings: 0, time_s: 0 }
}

/// Two brokers and the cables to them.
struct Bench {
    source: Broker,
    cloud: Broker,
    source_cable: Cable,
    cloud_cable: Cable,
}

/// A running task.
struct Task {
    /// Its outcome, `None` when it was killed.
    thread: JoinHandle<Option<Result<Report, Error>>>,
    stop: async_channel::Sender<()>,
    kill: async_channel::Sender<()>,
}

impl Bench {
    fn new(name: &str) -> Self {
        Self::with(name, EVERYONE, EVERYONE)
    }

    /// With these lines in the configurations of the source and of the cloud.
    fn with(name: &str, source: &str, cloud: &str) -> Self {
        setup_host(&mut Lines).unwrap();
        let source = Broker::start_with(&format!("{name}-source"), source).unwrap();
        let cloud = Broker::start_with(&format!("{name}-cloud"), cloud).unwrap();
        let source_cable = Cable::to(address(&source)).unwrap();
        let cloud_cable = Cable::to(address(&cloud)).unwrap();
        Self { source, cloud, source_cable, cloud_cable }
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            source: self.source_cable.end().to_string(),
            cloud: self.cloud_cable.end().to_string(),
            topics: vec!["sensors/#".to_owned()],
            window_s: Some(WINDOW_S as u32),
            end: Some(end().topic),
            client: Some("collect-test".to_owned()),
            ..Parameters::default()
        }
    }

    /// Starts the task and returns when it is subscribed.
    fn start(&self, parameters: Parameters) -> Task {
        let subscribed = "Sending SUBACK to collect-test";
        let before = self.source.count_log(subscribed);
        let task = Task::start(parameters);
        self.wait_logs(subscribed, before + 1);
        task
    }

    /// Waits until the source has logged so many lines with a text.
    fn wait_logs(&self, text: &str, count: usize) {
        assert!(self.source.wait_logs(text, count, PATIENCE), "the source has not logged {count} times: {text}");
    }

    fn publish(&self, messages: &[Message]) {
        publish(address(&self.source), messages, |_, _| {}).unwrap();
    }

    fn summaries(&self) -> Summaries {
        Summaries::subscribe(address(&self.cloud), "summaries/#").unwrap()
    }
}

impl Task {
    fn start(parameters: Parameters) -> Self {
        said::listen();
        let (stop, stopped) = async_channel::bounded(1);
        let (kill, killed) = async_channel::bounded::<()>(1);
        let thread = std::thread::spawn(move || {
            let machine = Machine::new(Host::new().unwrap(), stopped);
            let killed = async {
                if killed.recv().await.is_err() {
                    pending::<()>().await;
                }
            };
            match async_io::block_on(select(collect::run(parameters, &machine), killed)) {
                Either::First(outcome) => Some(outcome),
                Either::Second(()) => None,
            }
        });
        Self { thread, stop, kill }
    }

    fn outcome(self) -> Result<Report, Error> {
        self.thread.join().unwrap().expect("it was not killed")
    }

    fn report(self) -> Report {
        self.outcome().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Ends it as a crash would: connections break, and nobody says farewell.
    fn kill(self) {
        self.kill.try_send(()).unwrap();
        assert!(self.thread.join().unwrap().is_none(), "it had ended before");
    }
}

fn address(broker: &Broker) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, broker.port()).into()
}

/// A message with one made-up reading.
fn reading(sensor: &str, time_s: i64, value: f64) -> Message {
    let payload = format!(r#"[{{"n":"{sensor}","t":{time_s},"v":{value}}}]"#);
    Message { topic: "sensors/made-up".to_owned(), payload, readings: 1, time_s }
}

/// Everything that was published is in the summaries and in the report, exactly once.
fn assert_complete(data: &Data, summaries: &Summaries, report: &Report) {
    let expected = data.expected(WINDOW_S);
    let received = summaries.collect(expected.windows.len(), PATIENCE).unwrap();
    assert_eq!(expected.compare(&received), []);
    assert_eq!((report.readings, report.windows), (expected.readings, expected.windows.len() as u64));
    assert_eq!((report.late, report.malformed, report.over_limit, report.not_numeric), (0, 0, 0, 0));
    assert_eq!((report.published, report.dropped), (report.windows, 0));
    assert_eq!((report.ahead, report.too_large, report.unasked, report.copies), (0, 0, 0, 0));
    assert_eq!(report.sensors.len(), expected.sensors.len());
    for sensor in &report.sensors {
        assert_eq!(expected.compare_sensor(&sensor.name, &sensor.into()), None);
    }
}

#[test]
fn five_days_of_weather_give_the_expected_numbers() {
    let bench = Bench::new("weather");
    let summaries = bench.summaries();
    let task = bench.start(bench.parameters());
    let data = Data::committed();
    bench.publish(&data.messages());
    bench.publish(&[end()]);
    let report = task.report();
    assert_complete(&data, &summaries, &report);
    assert_eq!((report.duplicates, report.source_reconnects, report.cloud_reconnects), (0, 0, 0));
}

#[test]
fn cut_cables_lose_nothing_and_count_nothing_twice() {
    let bench = Bench::new("cables");
    let summaries = bench.summaries();
    let task = bench.start(Parameters { keepalive_s: Some(5), ..bench.parameters() });
    let data = Data::committed();
    for (step, messages) in data.messages().chunks(30).enumerate() {
        // Somewhere within the next 30 packs of some 600 bytes each, and their acknowledgements.
        bench.source_cable.hiccup_after(997 * (step as u64 + 1));
        bench.cloud_cable.hiccup_after(1499 * (step as u64 + 1));
        bench.publish(messages);
    }
    bench.publish(&[end()]);
    let report = task.report();
    assert_complete(&data, &summaries, &report);
    assert!(report.source_reconnects > 0 && report.cloud_reconnects > 0, "{report:?}");
}

#[test]
fn readings_wait_at_the_source_while_it_is_out_of_reach() {
    let bench = Bench::new("waiting");
    let summaries = bench.summaries();
    let task = bench.start(bench.parameters());
    let data = Data::committed();
    let messages = data.messages();
    let (first, second) = messages.split_at(100);
    bench.publish(first);
    bench.source_cable.cut();
    bench.publish(second);
    bench.publish(&[end()]);
    bench.source_cable.mend();
    let report = task.report();
    assert_complete(&data, &summaries, &report);
    assert_eq!(report.source_reconnects, 1);
}

#[test]
fn summaries_wait_for_a_cloud_that_has_lost_its_memory() {
    let mut bench = Bench::new("amnesia");
    let task = bench.start(bench.parameters());
    assert!(bench.cloud.wait_log("as collect-test-cloud", PATIENCE));
    bench.cloud_cable.cut();
    let data = Data::committed();
    bench.publish(&data.messages());
    bench.cloud.stop();
    bench.cloud.resume().unwrap();
    let summaries = bench.summaries();
    bench.cloud_cable.mend();
    bench.publish(&[end()]);
    let report = task.report();
    assert_complete(&data, &summaries, &report);
}

#[test]
fn a_source_that_has_lost_its_memory_is_subscribed_to_again() {
    let mut bench = Bench::new("resubscribe");
    let task = bench.start(bench.parameters());
    bench.source.stop();
    bench.source.resume().unwrap();
    // The broker drops what nobody is subscribed to, so the readings go on until the task has one.
    let mut time_s = 1_360_195_200;
    let report = loop {
        bench.publish(&[reading("a", time_s, 1.0), end()]);
        time_s += 1;
        if task.thread.is_finished() {
            break task.report();
        }
    };
    assert_eq!((report.source_reconnects, report.dropped), (1, 0));
}

#[test]
fn a_cloud_that_is_never_there_ends_in_counted_drops() {
    let bench = Bench::new("nowhere");
    bench.cloud_cable.cut();
    let task = bench.start(Parameters { queue: Some(2), drain_s: Some(1), ..bench.parameters() });
    bench.publish(&[
        reading("a", 1_360_195_200, 1.0),
        reading("a", 1_360_195_200 + WINDOW_S, 2.0),
        reading("a", 1_360_195_200 + 2 * WINDOW_S, 3.0),
        end(),
    ]);
    assert_eq!(task.outcome(), Err(Error::Undelivered(3, None)));
}

#[test]
fn the_task_ends_when_asked_and_delivers_what_it_has() {
    let bench = Bench::new("stop");
    let summaries = bench.summaries();
    let task = bench.start(bench.parameters());
    bench.publish(&[reading("a", 1_360_195_200, 1.5)]);
    assert!(bench.source.wait_log("Received PUBACK from collect-test", PATIENCE));
    task.stop.try_send(()).unwrap();
    let report = task.report();
    assert_eq!((report.readings, report.windows, report.published), (1, 1, 1));
    assert_eq!(summaries.collect(1, PATIENCE).unwrap()[0].figures.mean, 1.5);
}

#[test]
fn a_broker_that_falls_silent_is_given_up() {
    // Greets and then says no more, not even that it is still there.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let bench = Bench::new("silent");
    let cloud = silent.local_addr().unwrap().to_string();
    let task = bench.start(Parameters { keepalive_s: Some(1), cloud, ..bench.parameters() });
    let mut connections = vec![];
    for _ in 0..2 {
        let (mut connection, _) = silent.accept().unwrap();
        connection.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
        connections.push(connection);
    }
    // Meanwhile the source has been asked for signs of life, and has given them.
    assert!(bench.source.wait_log("Sending PINGRESP to collect-test", PATIENCE));
    bench.publish(&[end()]);
    let report = task.report();
    // The second connection to the cloud may not have got as far as a greeting.
    assert_eq!(report.source_reconnects, 0);
}

#[test]
fn enough_readings_end_the_task_and_bad_ones_do_not() {
    let bench = Bench::new("bad");
    let summaries = bench.summaries();
    let enough = Parameters { readings: Some(4), sensors: Some(1), grace_s: Some(0), ..bench.parameters() };
    let task = bench.start(enough);
    let raw = |payload: &str| Message { payload: payload.to_owned(), ..reading("a", 0, 0.0) };
    bench.publish(&[
        raw("nonsense"),
        raw(""),
        raw(r#"[{"n":"a","v":"warm"},{"n":"a","vs":"warm"}]"#),
        reading("a", 1_360_195_200, 1.0),
        reading("a", 1_360_195_200, 1.0),
        reading("a", 1_360_195_199, 5.0),
        reading("b", 1_360_195_200, 1.0),
    ]);
    let report = task.report();
    assert_eq!((report.readings, report.late, report.over_limit), (4, 1, 1));
    assert_eq!((report.malformed, report.not_numeric, report.duplicates), (3, 1, 0));
    assert_eq!(summaries.collect(1, PATIENCE).unwrap().len(), 1);
}

#[test]
fn one_broker_may_be_source_and_cloud() {
    let bench = Bench::new("one");
    let summaries = Summaries::subscribe(address(&bench.source), "summaries/#").unwrap();
    let task = bench.start(Parameters { cloud: bench.source_cable.end().to_string(), ..bench.parameters() });
    bench.publish(&[reading("a", 1_360_195_200, 1.0), end()]);
    assert_eq!(task.report().published, 1);
    assert_eq!(summaries.collect(1, PATIENCE).unwrap().len(), 1);
}
