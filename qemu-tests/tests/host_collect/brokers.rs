//! The same run over several brokers: a login, readings with QoS 1, a session that is resumed, summaries that arrive.
//!
//! | broker | speaks | from |
//! |---|---|---|
//! | mosquitto 2.0 | MQTT 5 and 3.1.1 | Debian 12 |
//! | mosquitto 2.1 | MQTT 5 and 3.1.1 | Debian's next release but one |
//! | ejabberd 23.01 | MQTT 5 and 3.1.1 | Debian 12 |
//! | aedes | MQTT 3.1.1 alone | npm |

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use qemu_tests::apt;
use qemu_tests::ejabberd::Ejabberd;
use qemu_tests::packages::NEWER_BROKER;
use qemu_tests::setup::{setup_erlang_broker, setup_newer_broker};

use super::faults::minutes;
use super::*;

const USER: &str = "sensor";
const PASSWORD: &str = "secret";

/// The configuration of a mosquitto that lets in who knows the password.
pub fn with_password(name: &str) -> String {
    setup_host(&mut Lines).unwrap();
    let file = place::logs().join(format!("{name}.passwords"));
    std::fs::create_dir_all(place::logs()).unwrap();
    // The program encrypts the file in place.
    std::fs::write(&file, format!("{USER}:{PASSWORD}\n")).unwrap();
    let status = host_tool::command("/usr/bin/mosquitto_passwd").unwrap().arg("-U").arg(&file).status().unwrap();
    assert!(status.success());
    format!("allow_anonymous false\npassword_file {}\n", file.display())
}

/// Publishes with QoS 1 as somebody who knows the password, and returns when all is acknowledged.
fn publish_as(user: &str, port: u16, messages: &[Message]) {
    let port = port.to_string();
    for message in messages {
        let mut command = host_tool::command("/usr/bin/mosquitto_pub").unwrap();
        command.args(["-h", "127.0.0.1", "-p", &port, "-V", "mqttv311", "-u", user, "-P", PASSWORD, "-q", "1"]);
        let status = command.args(["-t", &message.topic, "-m", &message.payload]).status().unwrap();
        assert!(status.success(), "{status}");
    }
}

/// A broker on this port, as source and cloud.
struct Subject<'a> {
    port: u16,
    /// Whom it knows.
    user: &'a str,
    /// What the task adds to the line about a connection, which tells the version.
    note: &'a str,
    /// What it sends again after a reconnect has DUP set, as MQTT wants it.
    marks_repeats: bool,
}

/// The run.
fn run_over(Subject { port, user, note, marks_repeats }: Subject<'_>) {
    let cable = Cable::to((Ipv4Addr::LOCALHOST, port).into()).unwrap();
    let end_of_cable = cable.end().to_string();
    let (login, password) = (Some(user.to_owned()), Some(PASSWORD.to_owned()));
    let task = Task::start(Parameters {
        source: end_of_cable.clone(),
        cloud: end_of_cable.clone(),
        topics: vec!["sensors/#".to_owned()],
        source_user: login.clone(),
        source_password: password.clone(),
        cloud_user: login,
        cloud_password: password,
        end: Some(end().topic),
        window_s: Some(60),
        grace_s: Some(0),
        ..Parameters::default()
    });
    said::wait(&[&format!("subscribed at the source broker {end_of_cable}")], PATIENCE);
    let connected = format!("collect: connected to the source broker {end_of_cable}");
    assert_eq!(said::lines(&connected), [format!("{connected}{note}")]);
    let messages = minutes(6);
    let (before, after) = messages.split_at(3);
    publish_as(user, port, before);
    cable.cut();
    publish_as(user, port, after);
    cable.mend();
    publish_as(user, port, &[Message { payload: "over".to_owned(), ..end() }]);
    let report = task.report();
    assert_eq!((report.windows, report.published, report.dropped), (6, 6, 0), "{report:?}");
    // What was under way when the cable was cut cannot be told from new messages where it has no mark.
    let most = if marks_repeats { 6 } else { 6 + before.len() as u64 };
    assert!((6..=most).contains(&report.readings), "{report:?}");
    assert!(report.source_reconnects > 0, "{report:?}");
}

/// A broker that keeps to MQTT, in version 5.
fn newest(port: u16, user: &str) -> Subject<'_> {
    Subject { port, user, note: "", marks_repeats: true }
}

#[test]
fn mosquitto_of_debian_12() {
    let settings = with_password("matrix");
    let broker = Broker::start_with("matrix", &settings).unwrap();
    run_over(newest(broker.port(), USER));
}

#[test]
fn mosquitto_of_debian_sid() {
    let settings = with_password("matrix-newer");
    setup_newer_broker(&mut Lines).unwrap();
    let broker = Broker::start_of(&NEWER_BROKER, "matrix-newer", &settings).unwrap();
    run_over(newest(broker.port(), USER));
}

#[test]
fn ejabberd_of_debian_12() {
    setup_host(&mut Lines).unwrap();
    setup_erlang_broker(&mut Lines).unwrap();
    let broker = Ejabberd::start("matrix", USER, PASSWORD).unwrap();
    run_over(newest(broker.port(), broker.user()));
}

/// Lets in who knows the password, and says its port.
const AEDES: &str = "
const { Aedes } = require('aedes');
const authenticate = (client, user, password, done) => done(null, user === 'sensor' && String(password) === 'secret');
Aedes.createBroker({ authenticate }).then((broker) => {
  const server = require('net').createServer(broker.handle);
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
});
";

/// A process that ends on drop.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn aedes_which_knows_mqtt_3_1_1_alone() {
    setup_host(&mut Lines).unwrap();
    let has = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !(has("node") && has("npm")) {
        apt::install("npm", "npm is missing, from which the broker aedes comes").unwrap();
    }
    let folder = place::bed().join("npm");
    if !folder.join("node_modules/aedes").exists() {
        std::fs::create_dir_all(&folder).unwrap();
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg("aedes@1.2.0");
        assert!(npm.status().unwrap().success(), "npm did not install aedes");
    }
    let mut node = Command::new("node");
    let node = node.args(["-e", AEDES]).current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Process(node.spawn().unwrap());
    let mut port = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let port = port.trim().parse().unwrap_or_else(|_| panic!("aedes did not start: {port}"));
    run_over(Subject { port, user: USER, note: " (MQTT 3.1.1)", marks_repeats: false });
}
