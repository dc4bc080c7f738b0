//! What was lost, or counted wrong, in silence.

use qemu_tests::packages::NEWER_BROKER;
use qemu_tests::replay::Flood;
use qemu_tests::setup::setup_newer_broker;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;

use super::*;

/// 2023-11-14, the begin of a window of a minute.
const TIME_S: i64 = 1_700_000_040;

/// A message as it is, on a topic.
fn raw(topic: &str, payload: &str) -> Message {
    Message { topic: topic.to_owned(), payload: payload.to_owned(), readings: 0, time_s: 0 }
}

/// Readings of sensor "a" in windows of a minute, one each.
pub fn minutes(count: i64) -> Vec<Message> {
    (0..count).map(|minute| reading("a", TIME_S + 60 * minute, 1.0)).collect()
}

/// A task whose windows have a minute and no grace.
fn minute(bench: &Bench) -> Parameters {
    Parameters { window_s: Some(60), grace_s: Some(0), ..bench.parameters() }
}

#[test]
fn after_an_acknowledgement_the_broker_is_asked_in_time() {
    let bench = Bench::new("keepalive");
    let task = bench.start(Parameters { keepalive_s: Some(2), ..bench.parameters() });
    bench.publish(&minutes(1));
    bench.wait_logs("Received PUBACK from collect-test", 1);
    // Twice as long as the broker would wait.
    bench.wait_logs("Sending PINGRESP to collect-test", 3);
    bench.publish(&[end()]);
    assert_eq!(task.report().source_reconnects, 0);
}

#[test]
fn a_broker_that_was_about_to_start_is_spoken_to_in_mqtt_5() {
    let bench = Bench::new("hiccup");
    // The first greeting gets no answer, as where something in front of a broker finds nobody behind it.
    bench.source_cable.hiccup_after(1);
    let task = bench.start(bench.parameters());
    let end_of_cable = bench.source_cable.end();
    let connected = format!("collect: connected to the source broker {end_of_cable}");
    assert_eq!(said::lines(&connected), [connected]);
    // The session of the attempt in 3.1.1 is none of an earlier run.
    let kept = format!("the source broker {end_of_cable} has kept the session of an earlier run");
    assert!(said::lines(&kept).is_empty());
    task.stop.try_send(()).unwrap();
    task.report();
}

#[test]
fn equal_readings_over_many_connections_all_count() {
    let bench = Bench::new("constant");
    let task = bench.start(bench.parameters());
    for round in 1..=4 {
        bench.publish(&[raw("sensors/a", r#"[{"n":"a","v":1}]"#)]);
        bench.wait_logs("Received PUBACK from collect-test", round);
        bench.source_cable.cut();
        bench.source_cable.mend();
    }
    // Dated ones, the newest first: what a pack holds is judged reading by reading.
    let pack = |time: i64| format!(r#"[{{"bn":"b","bt":{time},"v":1}},{{"t":-1,"v":2}},{{"t":-1,"v":2}}]"#);
    bench.publish(&[raw("sensors/b", &pack(TIME_S + 8)), raw("sensors/b", &pack(TIME_S + 4))]);
    bench.publish(&[end()]);
    let report = task.report();
    assert_eq!((report.readings, report.duplicates, report.late), (10, 0, 0));
    assert!(report.source_reconnects >= 4, "{report:?}");
}

#[test]
fn a_message_that_is_too_large_costs_itself() {
    let bench = Bench::new("large");
    let task = bench.start(bench.parameters());
    let large = format!(r#"[{{"n":"a","vs":"{}"}}]"#, "x".repeat(40_000));
    bench.publish(&[raw("sensors/large", &large)]);
    bench.publish(&minutes(3));
    bench.publish(&[end()]);
    let report = task.report();
    assert_eq!((report.too_large, report.readings, report.source_reconnects), (1, 3, 0));
    said::wait(&["too large: a message of 40", "on \"sensors/large\""], PATIENCE);
}

#[test]
fn a_cloud_that_refuses_summaries_is_said_and_fails_the_run() {
    let acl = place::logs().join("refuses.acl");
    std::fs::create_dir_all(place::logs()).unwrap();
    std::fs::write(&acl, "topic read #\n").unwrap();
    let bench = Bench::with("refuses", EVERYONE, &format!("{EVERYONE}acl_file {}\n", acl.display()));
    let task = bench.start(minute(&bench));
    bench.publish(&minutes(3));
    said::wait(&["the cloud broker refuses a summary: not authorized (0x87); it is dropped"], PATIENCE);
    bench.publish(&[end()]);
    assert_eq!(task.outcome(), Err(Error::Undelivered(3, Some("not authorized (0x87)".to_owned()))));
}

#[test]
fn a_summary_that_is_too_large_for_the_cloud_is_said() {
    for (name, setting) in [("limit", "message_size_limit 100"), ("packet", "max_packet_size 200")] {
        let bench = Bench::with(name, EVERYONE, &format!("{EVERYONE}{setting}\n"));
        let task = bench.start(minute(&bench));
        bench.publish(&minutes(2));
        bench.publish(&[end()]);
        let refused = Error::Undelivered(2, Some("packet too large (0x95)".to_owned()));
        assert_eq!(task.outcome(), Err(refused), "{setting}");
    }
}

#[test]
fn a_message_that_fits_two_filters_counts_once() {
    let bench = Bench::new("overlap");
    let filters = ["sensors/+/x", "sensors/a/+", "sensors/a/#"];
    let topics = filters.map(str::to_owned).to_vec();
    let task = bench.start(Parameters { topics, ..bench.parameters() });
    bench.wait_logs("Sending SUBACK to collect-test", 3);
    let pack = r#"[{"n":"a","v":1},{"n":"a","v":1},{"n":"a","v":1}]"#;
    bench.publish(&[raw("sensors/a/x", pack), raw("sensors/a/x", pack), raw("sensors/b/x", pack), end()]);
    let report = task.report();
    assert_eq!((report.readings, report.copies, report.duplicates), (9, 2, 0));
}

#[test]
fn all_topics_of_one_broker_do_not_feed_on_the_summaries() {
    let bench = Bench::new("loop");
    let summaries = Summaries::subscribe(address(&bench.source), "summaries/#").unwrap();
    let cloud = bench.source_cable.end().to_string();
    let task = bench.start(Parameters { cloud, topics: vec!["#".to_owned()], ..minute(&bench) });
    bench.publish(&minutes(4));
    assert_eq!(summaries.collect(3, PATIENCE).unwrap().len(), 3);
    bench.publish(&[end()]);
    let report = task.report();
    assert_eq!((report.readings, report.windows, report.own), (4, 4, 3));
    assert_eq!(report.sensors.len(), 1);
}

#[test]
fn the_last_window_of_a_sensor_that_died_leaves_by_the_clock() {
    let bench = Bench::new("died");
    let summaries = bench.summaries();
    let task = bench.start(Parameters { window_s: Some(1), keepalive_s: Some(2), ..bench.parameters() });
    bench.publish(&[raw("sensors/a", r#"[{"n":"died","v":1}]"#)]);
    let summary = summaries.next(PATIENCE).unwrap().expect("a summary while the task runs");
    assert_eq!((&*summary.sensor, summary.figures.count), ("died", 1));
    bench.publish(&[end()]);
    assert_eq!(task.report().windows, 1);
}

#[test]
fn a_flood_starves_neither_the_cloud_nor_pings_nor_the_stop() {
    let queue = format!("{EVERYONE}max_queued_messages 0\n");
    let bench = Bench::with("flood", &queue, EVERYONE);
    let summaries = bench.summaries();
    let task = bench.start(Parameters { keepalive_s: Some(2), window_s: Some(10), ..bench.parameters() });
    let flood = Flood::start(address(&bench.source), 1);
    // While it goes on: summaries arrive, both brokers hear from the task, and it ends when it is asked.
    assert!(summaries.next(PATIENCE).unwrap().is_some());
    bench.wait_logs("Received PINGREQ from collect-test", 3);
    task.stop.try_send(()).unwrap();
    let report = task.report();
    assert!(flood.goes_on() && report.published > 0, "{report:?}");
    assert_eq!(report.source_reconnects, 0);
}

#[test]
fn a_run_with_a_name_goes_on_with_the_session_of_the_one_before() {
    let bench = Bench::new("restart");
    let task = bench.start(bench.parameters());
    bench.publish(&minutes(2));
    bench.wait_logs("Received PUBACK from collect-test", 2);
    task.kill();
    // While nobody is there.
    bench.publish(&minutes(10));
    let task = bench.start(bench.parameters());
    bench.publish(&[end()]);
    let report = task.report();
    assert_eq!((report.readings, report.source_reconnects), (10, 0));
    let source = bench.source_cable.end();
    said::wait(&[&format!("the source broker {source} has kept the session of an earlier run")], PATIENCE);
}

#[test]
fn a_session_that_is_taken_over_is_said() {
    let bench = Bench::new("taken-over");
    let client = Some("collect-taken-over".to_owned());
    let task = Task::start(Parameters { client, ..bench.parameters() });
    said::wait(&[&format!("subscribed at the source broker {}", bench.source_cable.end())], PATIENCE);
    let mut other = bench.source.client("mosquitto_sub").unwrap();
    let mut other = other.args(["-V", "mqttv5", "-i", "collect-taken-over", "-t", "none"]).spawn().unwrap();
    // Mosquitto 2.0.11 closes the connection without its reason; the name tells this test's line from others'.
    said::wait(&["another client with the name collect-taken-over has taken it"], PATIENCE);
    other.kill().unwrap();
    other.wait().unwrap();
    task.stop.try_send(()).unwrap();
    task.report();
}

#[test]
fn a_newer_broker_says_itself_that_a_session_was_taken_over() {
    setup_newer_broker(&mut Lines).unwrap();
    let bench = Bench::new("taken-over-newer");
    let broker = Broker::start_of(&NEWER_BROKER, "taken-over-newer", EVERYONE).unwrap();
    let source = address(&broker).to_string();
    let client = Some("collect-rival".to_owned());
    let task = Task::start(Parameters { source: source.clone(), client, ..bench.parameters() });
    said::wait(&[&format!("subscribed at the source broker {source}")], PATIENCE);
    let mut other = broker.client("mosquitto_sub").unwrap();
    let mut other = other.args(["-V", "mqttv5", "-i", "collect-rival", "-t", "none"]).spawn().unwrap();
    let words = "another client with the same name has taken the session over (0x8e)";
    said::wait(&[&format!("source broker {source}: it ends the connection: {words}")], PATIENCE);
    other.kill().unwrap();
    other.wait().unwrap();
    task.stop.try_send(()).unwrap();
    task.report();
}

#[test]
fn a_port_that_speaks_tls_is_said() {
    std::fs::create_dir_all(place::logs()).unwrap();
    let keys = place::logs().join("tls.keys");
    std::fs::write(&keys, "somebody:0123456789abcdef\n").unwrap();
    // TLS needs no certificate with keys that both know. OpenSSL closes what begins otherwise without a word.
    let tls = format!("{EVERYONE}psk_hint any\npsk_file {}\n", keys.display());
    let bench = Bench::with("tls", &tls, &tls);
    let task = Task::start(bench.parameters());
    for (role, cable) in [("source", &bench.source_cable), ("cloud", &bench.cloud_cable)] {
        said::wait(&[&format!("{role} broker {}: it speaks TLS, which this task does not", cable.end())], PATIENCE);
    }
    task.stop.try_send(()).unwrap();
    task.report();
}

/// Answers greetings with this and questions, and nothing else; ends with its connections.
fn cloud_that_says(greeting: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            std::thread::spawn(move || {
                connection.write_all(greeting).unwrap();
                let mut bytes = [0; 4096];
                loop {
                    match connection.read(&mut bytes) {
                        // A question may stand anywhere; one answer too many does no harm.
                        Ok(count @ 1..) if bytes[..count].ends_with(&[0xc0, 0]) => {
                            let _ = connection.write_all(&[0xd0, 0]);
                        }
                        Ok(1..) => {}
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Ok(0) | Err(_) => return,
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_cloud_that_never_acknowledges_is_said() {
    let bench = Bench::new("unacknowledged");
    let cloud = cloud_that_says(&[0x20, 3, 0, 0, 0]);
    let parameters = Parameters { cloud: cloud.clone(), keepalive_s: Some(2), drain_s: Some(1), ..minute(&bench) };
    let task = bench.start(parameters);
    bench.publish(&minutes(2));
    said::wait(&[&format!("cloud broker {cloud}: it does not acknowledge")], PATIENCE);
    bench.publish(&[end()]);
    assert_eq!(task.outcome(), Err(Error::Undelivered(2, None)));
}

#[test]
fn a_cloud_that_acknowledges_nothing_is_refused_and_a_source_is_not() {
    let bench = Bench::new("no-qos");
    let without: &[u8] = &[0x20, 5, 0, 0, 2, 0x24, 0];
    let (source, cloud) = (cloud_that_says(without), cloud_that_says(without));
    let task = Task::start(Parameters { source: source.clone(), cloud: cloud.clone(), ..bench.parameters() });
    said::wait(&[&format!("cloud broker {cloud}: it refuses: QoS not supported (0x9b)")], PATIENCE);
    said::wait(&[&format!("connected to the source broker {source}")], PATIENCE);
    task.stop.try_send(()).unwrap();
    task.report();
}

#[test]
fn a_broker_with_a_password_is_spoken_to_as_somebody() {
    let settings = brokers::with_password("password");
    let bench = Bench::with("password", &settings, &settings);
    let login = |password: &str| {
        let (user, password) = (Some("sensor".to_owned()), Some(password.to_owned()));
        Parameters {
            source_user: user.clone(),
            source_password: password.clone(),
            cloud_user: user,
            cloud_password: password,
            drain_s: Some(1),
            ..bench.parameters()
        }
    };
    let task = bench.start(login("secret"));
    assert!(bench.cloud.wait_log("as collect-test-cloud", PATIENCE));
    task.stop.try_send(()).unwrap();
    assert_eq!(task.report().source_reconnects, 0);

    for (parameters, words) in
        [(login("wrong"), "not authorized (0x87)"), (bench.parameters(), "not authorized (0x87)")]
    {
        let task = Task::start(parameters);
        for (role, cable) in [("source", &bench.source_cable), ("cloud", &bench.cloud_cable)] {
            said::wait(&[&format!("{role} broker {}: it refuses: {words}", cable.end())], PATIENCE);
        }
        task.stop.try_send(()).unwrap();
        task.report();
    }
}

#[test]
fn a_status_topic_says_whether_the_task_is_there() {
    let bench = Bench::new("status");
    let status = bench.cloud.subscribe("state/collect").unwrap();
    let next = || status.next(PATIENCE).map(|(_, text)| text);
    let parameters = || Parameters { status: Some("state/collect".to_owned()), ..bench.parameters() };
    let task = bench.start(parameters());
    assert_eq!(next().as_deref(), Some("online"));
    task.kill();
    assert_eq!(next().as_deref(), Some("offline"));
    let task = bench.start(parameters());
    assert_eq!(next().as_deref(), Some("online"));
    task.stop.try_send(()).unwrap();
    task.report();
    assert_eq!(next().as_deref(), Some("offline"));
}

#[test]
fn what_zigbee2mqtt_telegraf_and_small_devices_publish_is_read() {
    let bench = Bench::new("formats");
    let topics =
        ["json:zigbee2mqtt/{name}", "influx:telegraf/#?precision=s", "number:home/{name}/{kind}?unit=Cel", "sensors/#"];
    let topics = topics.map(str::to_owned).to_vec();
    let task = bench.start(Parameters { topics, ..bench.parameters() });
    bench.wait_logs("Sending SUBACK to collect-test", 4);
    bench.publish(&[
        raw("zigbee2mqtt/kitchen", r#"{"temperature":21.5,"humidity":45,"state":"ON"}"#),
        raw("telegraf/box", &format!("cpu,host=box usage=1.5 {TIME_S}\nmem,host=box free=7i {TIME_S}\n")),
        raw("home/hall/temperature", "19.5"),
        raw("home/hall/temperature", "warm"),
        end(),
    ]);
    let report = task.report();
    let found: Vec<_> = report.sensors.iter().map(|sensor| (&*sensor.name, &*sensor.unit, sensor.mean)).collect();
    let expected = [
        ("kitchen/temperature", "", 21.5),
        ("kitchen/humidity", "", 45.0),
        ("cpu/host:box/usage", "", 1.5),
        ("mem/host:box/free", "", 7.0),
        ("hall/temperature", "Cel", 19.5),
    ];
    assert_eq!(found, expected);
    assert_eq!((report.not_numeric, report.malformed), (1, 1));
    said::wait(&["cannot be read, on \"home/hall/temperature\": \"warm\""], PATIENCE);
}
