//! The task `broker` as a process, between a real MQTT broker and tasks that it feeds.
//!
//! The same runs in guests in the scenarios; here it runs without Xen, so that it can be tested often and quickly.

#[path = "../common/machine.rs"]
mod machine;
mod past;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use broker::{Error, Parameters, Report, TaskReport};
use host::Host;
use kernel::Fed;
use kernel::feed::{Gap, Item};
use machine::Machine;
use qemu_tests::broker::{Broker, Publisher};
use qemu_tests::progress::Lines;
use qemu_tests::setup::setup_host;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source, a broker that listens to it, and a folder with the sockets of its tasks.
struct Bench {
    source: Broker,
    folder: PathBuf,
    thread: JoinHandle<Result<Report, Error>>,
    stop: async_channel::Sender<()>,
    lists: async_channel::Sender<BTreeMap<u16, String>>,
}

/// What a task was told.
#[derive(Debug, Default)]
struct Told {
    names: Vec<String>,
    /// The sensors' numbers and values.
    readings: Vec<(usize, f64)>,
    /// When each of them was taken.
    times_ns: Vec<i64>,
    gaps: Vec<Gap>,
}

impl Bench {
    /// A broker that feeds these tasks, and is subscribed.
    fn new(name: &str, parameters: Parameters) -> Self {
        setup_host(&mut Lines).unwrap();
        let source = Broker::start(&format!("broker-{name}")).unwrap();
        let folder = std::env::temp_dir().join(format!("spore-broker-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (stop, stopped) = async_channel::bounded(1);
        let parameters = Parameters {
            source: format!("127.0.0.1:{}", source.port()),
            client: Some("broker-test".to_owned()),
            ..parameters
        };
        let feeds = folder.clone();
        let (lists, listed) = async_channel::unbounded();
        let thread = std::thread::spawn(move || {
            let host = Host::new().unwrap().with_feeds(Some(feeds));
            let machine = Machine { host, stop: stopped, lists: listed };
            async_io::block_on(broker::run(parameters, &machine))
        });
        assert!(source.wait_log("Sending SUBACK to broker-test", PATIENCE));
        Self { source, folder, thread, stop, lists }
    }

    /// Publishes messages to a topic, and returns when the broker has taken them.
    fn publish(&self, topic: &str, values: &[impl ToString]) {
        let taken = "Received PUBACK from broker-test";
        let before = self.source.count_log(taken);
        let mut publisher: Publisher = self.source.publisher(topic).unwrap();
        values.iter().for_each(|value| publisher.send(&value.to_string()).unwrap());
        publisher.finish().unwrap();
        assert!(self.source.wait_logs(taken, before + values.len(), PATIENCE));
    }

    /// The socket of a task, as soon as the broker serves it.
    fn socket(&self, task: u16) -> PathBuf {
        let (path, deadline) = (self.folder.join(task.to_string()), Instant::now() + PATIENCE);
        while !path.exists() {
            assert!(Instant::now() < deadline, "{} is not served", path.display());
            std::thread::yield_now();
        }
        path
    }

    /// What a task is told, up to the feed's end or so many readings.
    fn told(&self, task: u16, readings: usize) -> Told {
        let host = Host::new().unwrap().with_feed(Some(self.socket(task)));
        async_io::block_on(async {
            let (mut feed, mut told) = (host.feed().await.unwrap(), Told::default());
            while told.readings.len() < readings {
                match feed.next().await.unwrap() {
                    Some(Item::Sensor(sensor)) => told.names.push(sensor.name.to_owned()),
                    Some(Item::Readings(sensor, batch)) => {
                        told.times_ns.extend(batch.iter().map(|reading| reading.time_ns));
                        told.readings.extend(batch.iter().map(|reading| (sensor, reading.value)));
                    }
                    Some(Item::Gap(gap)) => told.gaps.push(gap),
                    None => break,
                }
            }
            told
        })
    }

    /// Changes the list of tasks.
    fn list(&self, tasks: &[(u16, &str)]) {
        self.lists.try_send(tasks.iter().map(|(task, text)| (*task, text.to_string())).collect()).unwrap();
    }

    fn report(self) -> Report {
        self.stop.try_send(()).unwrap();
        let report = self.thread.join().unwrap().unwrap();
        fs::remove_dir_all(self.folder).unwrap();
        report
    }
}

fn parameters(tasks: &[&str]) -> Parameters {
    Parameters {
        topics: vec!["number:home/{name}/{kind}?unit=Cel".to_owned(), "sensors/#".to_owned()],
        tasks: Some(tasks.iter().map(ToString::to_string).collect()),
        ..Parameters::default()
    }
}

/// How many packs there are, and how many readings in each.
const PACKS: u64 = 40;
const PACK: u64 = 600;

/// A SenML pack with a reading a second from this time on.
fn pack(from_s: u64) -> String {
    let records = (0..PACK).map(|second| format!(r#"{{"t":{second},"v":{second}}}"#)).collect::<Vec<_>>().join(",");
    format!(r#"[{{"bn":"roof/a","bt":{from_s}}},{records}]"#)
}

fn of(report: &Report, task: u16) -> &TaskReport {
    report.tasks.iter().find(|found| found.task == task).unwrap()
}

#[test]
fn each_task_gets_the_window_of_its_contract_and_no_other_sensor() {
    let tasks = ["1?name=yard/*&past_s=3600", "2?name=*&kind=humidity&past_s=3600", "3?name=sen/*&past_s=60"];
    let bench = Bench::new("windows", parameters(&tasks));
    let values: Vec<_> = (0..200).map(|number| 20.0 + f64::from(number) / 8.0).collect();
    bench.publish("home/yard/temperature", &values);
    bench.publish("home/cellar/humidity", &[50.5, 51.0]);
    // A minute and a half ago, and now.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut publisher = bench.source.publisher("sensors/sen").unwrap();
    publisher
        .send(&format!(r#"[{{"bn":"sen/","n":"a","t":{},"v":1}},{{"n":"a","t":{now},"v":2}}]"#, now - 90))
        .unwrap();
    publisher.send("nonsense").unwrap();
    publisher.finish().unwrap();
    assert!(bench.source.wait_logs("Received PUBACK from broker-test", 204, PATIENCE));

    let yard = bench.told(1, usize::MAX);
    assert_eq!(yard.names, ["yard/temperature"]);
    assert_eq!(yard.readings, values.iter().map(|value| (0, *value)).collect::<Vec<_>>());
    let humid = bench.told(2, usize::MAX);
    assert_eq!((humid.names, humid.readings), (vec!["cellar/humidity".to_owned()], vec![(0, 50.5), (0, 51.0)]));
    let sen = bench.told(3, usize::MAX);
    assert_eq!((sen.names, sen.readings), (vec!["sen/a".to_owned()], vec![(0, 2.0)]));
    assert!(yard.gaps.is_empty() && humid.gaps.is_empty() && sen.gaps.is_empty());

    let report = bench.report();
    assert_eq!((report.messages, report.malformed, report.readings, report.sensors), (204, 1, 204, 3));
    for (task, readings) in [(1, 200), (2, 2), (3, 1)] {
        assert_eq!((of(&report, task).readings, of(&report, task).sensors), (readings, 1), "{report:?}");
    }
}

#[test]
fn a_live_feed_goes_on_while_other_tasks_take_nothing_talk_without_end_or_never_come() {
    let tasks = ["1?name=*&live=yes&past_s=86400", "2?name=*&live=yes&past_s=86400", "3?name=*", "4?name=-&past_s=1"];
    let bench = Bench::new("live", parameters(&tasks));
    // It comes and takes nothing.
    let silent = UnixStream::connect(bench.socket(2)).unwrap();
    let mut talking = UnixStream::connect(bench.socket(4)).unwrap();
    let talker = std::thread::spawn(move || while talking.write_all(&[0; 4096]).is_ok() {});
    let path = bench.socket(1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let all = PACKS * PACK + 1;
    let reader = std::thread::scope(|scope| {
        let reader = scope.spawn(|| bench.told(1, all as usize));
        // Served only once somebody is there.
        while path.exists() {
            std::thread::yield_now();
        }
        // More than a socket holds for a task that takes nothing.
        let packs: Vec<_> = (0..PACKS).map(|number| pack(now - PACKS * PACK + number * PACK)).collect();
        let mut publisher = bench.source.publisher("sensors/roof").unwrap();
        packs.iter().for_each(|pack| publisher.send(pack).unwrap());
        publisher.finish().unwrap();
        bench.publish("home/yard/temperature", &[1.0]);
        reader.join().unwrap()
    });
    assert_eq!(reader.readings.len() as u64, all);
    assert_eq!((reader.names.len(), reader.gaps.len()), (2, 0));
    drop(silent);
    let report = bench.report();
    assert_eq!((report.readings, of(&report, 1).readings), (all, all), "{report:?}");
    assert_eq!((of(&report, 3).sensors, &*of(&report, 3).ended), (0, ""));
    talker.join().unwrap();
}

#[test]
fn tasks_come_and_go_while_the_broker_runs_and_others_are_not_disturbed() {
    let bench = Bench::new("list", parameters(&[]));
    bench.publish("home/yard/temperature", &[1.0, 2.0]);
    bench.publish("home/roof/humidity", &[50.0]);
    bench.list(&[(1, "name=yard/*&live=yes&past_s=3600"), (2, "name=roof/*&past_s=3600"), (3, "past_s=1")]);
    let live = bench.socket(1);
    let host = Host::new().unwrap().with_feed(Some(live));
    let (tell, told) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        async_io::block_on(async {
            let mut feed = host.feed().await.unwrap();
            loop {
                match feed.next().await {
                    Ok(Some(Item::Readings(_, batch))) => batch.iter().for_each(|one| tell.send(one.value).unwrap()),
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        })
    });
    let heard = |count: usize| (0..count).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect::<Vec<_>>();
    assert_eq!(heard(2), [1.0, 2.0]);
    assert_eq!(bench.told(2, usize::MAX).names, ["roof/humidity"]);
    // One goes and another comes: the first is fed as if nothing were.
    bench.list(&[(1, "name=yard/*&live=yes&past_s=3600"), (4, "name=*&past_s=3600")]);
    assert_eq!(bench.told(4, usize::MAX).readings.len(), 3);
    bench.publish("home/yard/temperature", &[3.0]);
    assert_eq!(heard(1), [3.0]);
    // A feed that ends before its end is an error for its task.
    bench.list(&[]);
    let ended = reader.join().unwrap();
    assert_eq!(ended, Err(kernel::feed::Error::Interrupted { readings: 3 }));
    let report = bench.report();
    let ended = |task| &*of(&report, task).ended;
    assert_eq!([ended(1), ended(2), ended(4)], ["it is not to be fed any more", "complete", "complete"]);
    assert_eq!(ended(3), "its contract: it has 1 to 64 names");
}

#[test]
fn what_a_task_may_not_have_is_named_before_anything_starts() {
    let refused = |parameters: Parameters| {
        let (_stop, stopped) = async_channel::bounded(1);
        let machine = Machine::new(Host::new().unwrap(), stopped);
        async_io::block_on(broker::run(parameters, &machine)).unwrap_err().to_string()
    };
    let good = Parameters { source: "127.0.0.1:1".to_owned(), ..parameters(&[]) };
    let with = |tasks: &[&str]| Parameters { source: good.source.clone(), ..parameters(tasks) };
    assert!(refused(with(&["1?kind=a"])).contains("kind, unit and place stand behind a name"));
    assert!(refused(Parameters { sensors: Some(5000), ..good.clone() }).contains("5000 sensors need a store of"));
    let rule = Parameters { rules: Some(vec!["name=a&min=x".to_owned()]), ..good.clone() };
    assert_eq!(refused(rule), "parameter \"rules\": \"name=a&min=x\": min is a number");
    assert!(refused(Parameters { topics: Vec::new(), ..good }).contains("there are 1 to 63"));
}
