//! A run is ended from outside at any moment, and another goes on with what it had saved: together they say what one
//! that is left alone says. The brokers keep their part of the protocol, as far as it is about losing nothing.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use collect::{Parameters, Report};
use testing::{Guest, Peer};

/// Readings in each window; more than a broker has under way, so that windows are open at each moment.
const IN_WINDOW: u32 = 9;
const READINGS: u32 = 40;
/// Messages under way to a client.
const UNDER_WAY: usize = 8;

fn parameters() -> Parameters {
    Parameters {
        source: "10.0.0.1:1".to_owned(),
        cloud: "10.0.0.1:2".to_owned(),
        topics: vec!["number:sensors/{name}".to_owned(), "json:json/{name}?time=t".to_owned()],
        end: Some("end".to_owned()),
        window_s: Some(10),
        grace_s: Some(0),
        ..Parameters::default()
    }
}

/// A packet: its first byte, its length, its body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    assert!(length < 128);
    [&[first, length], body].concat()
}

/// The packets that a client has sent since this was asked last, whole ones only: first byte and body.
fn heard(peer: &Peer) -> Vec<(u8, Vec<u8>)> {
    let mut packets = Vec::new();
    peer.take_heard(|bytes| {
        while let [first, rest @ ..] = bytes.as_slice() {
            let Some(size) = rest.iter().position(|byte| *byte < 0x80).map(|place| place + 1) else { break };
            let length = rest[..size].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
            let Some(body) = rest.get(size..size + length) else { break };
            packets.push((*first, body.to_vec()));
            bytes.drain(..1 + size + length);
        }
    });
    packets
}

/// The sensors' broker: keeps its one session over the client's runs.
#[derive(Default)]
struct Source {
    /// Whether it knows the client.
    client: Option<Vec<u8>>,
    /// Messages that were sent and are not acknowledged, by their numbers.
    under_way: BTreeMap<u16, Vec<u8>>,
    /// How many were sent for the first time.
    sent: u32,
    is_connected: bool,
}

impl Source {
    /// What it publishes: readings of one sensor, one a second, and at last the end.
    fn message(number: u32) -> Option<Vec<u8>> {
        let (topic, payload) = match number {
            READINGS => ("end", String::new()),
            number if number > READINGS => return None,
            number => {
                let time = 1_600_000_000 + u64::from(number) * 10 / u64::from(IN_WINDOW);
                ("json/a", format!("{{\"v\":{number},\"t\":{time}}}"))
            }
        };
        let id = (number as u16 + 1).to_be_bytes();
        let length = (topic.len() as u16).to_be_bytes();
        Some([&length, topic.as_bytes(), &id, &[0], payload.as_bytes()].concat())
    }

    fn serve(&mut self, peer: &Peer) {
        for (first, body) in heard(peer) {
            match first >> 4 {
                1 => {
                    // Behind name, version, flags, keepalive and properties: the client's name.
                    let properties = usize::from(body[10]);
                    let client = body[11 + properties..].to_vec();
                    let resumed = self.client.as_ref() == Some(&client);
                    if !resumed {
                        assert!(self.client.is_none(), "the client has another name than before");
                        self.client = Some(client);
                    }
                    peer.say(&[0x20, 3, u8::from(resumed), 0, 0]);
                    self.is_connected = true;
                    for body in self.under_way.values() {
                        peer.say(&packet(0x3a, body));
                    }
                }
                4 => drop(self.under_way.remove(&u16::from_be_bytes([body[0], body[1]]))),
                8 => peer.say(&[0x90, 4, body[0], body[1], 0, 1]),
                _ => {}
            }
        }
        while self.is_connected
            && self.under_way.len() < UNDER_WAY
            && let Some(body) = Self::message(self.sent)
        {
            self.sent += 1;
            peer.say(&packet(0x32, &body));
            self.under_way.insert(self.sent as u16, body);
        }
    }
}

/// The cloud's broker: acknowledges all, and remembers it.
#[derive(Default)]
struct Cloud {
    summaries: Vec<String>,
}

impl Cloud {
    fn serve(&mut self, peer: &Peer) {
        for (first, body) in heard(peer) {
            match first >> 4 {
                1 => peer.say(&[0x20, 3, 0, 0, 0]),
                3 => {
                    let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let id = &body[2 + topic..4 + topic];
                    peer.say(&[0x40, 2, id[0], id[1]]);
                    self.summaries.push(String::from_utf8(body[5 + topic..].to_vec()).unwrap());
                }
                _ => {}
            }
        }
    }

    /// What was said of each window: by its beginning, all that is different.
    fn windows(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut windows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for summary in &self.summaries {
            let begin = summary.split("\"bt\":").nth(1).unwrap().split(',').next().unwrap();
            // Run and sequence number tell repeats from others: of a window there are none.
            windows.entry(begin.to_owned()).or_default().insert(summary.clone());
        }
        windows
    }
}

/// Ends a task from outside before the poll of this number.
async fn until<T>(task: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut task = pin!(task);
    let polled = Cell::new(0);
    poll_fn(|context| {
        polled.set(polled.get() + 1);
        if polled.get() > polls { Poll::Ready(None) } else { task.as_mut().poll(context).map(Some) }
    })
    .await
}

/// Runs until the end, or so many polls; what the run said, and what it saved.
fn run(source: &mut Source, cloud: &mut Cloud, saved: &[u8], polls: u32) -> (Option<Report>, Vec<u8>) {
    let guest = Guest::new();
    guest.keep_checkpoints(saved);
    let peers = [guest.server(1), guest.server(2)];
    source.is_connected = false;
    let brokers = RefCell::new((source, cloud));
    let ended = guest.run(until(collect::run(parameters(), &guest), polls), |_| {
        let (source, cloud) = &mut *brokers.borrow_mut();
        source.serve(&peers[0]);
        cloud.serve(&peers[1]);
        // A state waits a moment for more to come.
        std::thread::sleep(std::time::Duration::from_millis(1));
    });
    let ended = ended.expect("the run waits for what does not come");
    (ended.map(|ended| ended.expect("the run fails")), guest.saved())
}

#[test]
fn a_run_that_is_ended_at_any_moment_is_gone_on_with_as_if_nothing_had_happened() {
    let (mut source, mut cloud) = (Source::default(), Cloud::default());
    let (undisturbed, _) = run(&mut source, &mut cloud, &[], u32::MAX);
    let undisturbed = undisturbed.unwrap();
    assert_eq!((undisturbed.readings, undisturbed.duplicates), (u64::from(READINGS), 0));
    let count = |windows: &BTreeMap<String, BTreeSet<String>>| windows.len() as u64;
    assert_eq!((count(&cloud.windows()), undisturbed.dropped), (undisturbed.windows, 0));
    let mut polls = 1;
    loop {
        let (mut source, mut cloud) = (Source::default(), Cloud::default());
        let (first, saved) = run(&mut source, &mut cloud, &[], polls);
        if first.is_some() {
            break;
        }
        let (report, _) = run(&mut source, &mut cloud, &saved, u32::MAX);
        let report = report.unwrap();
        assert_eq!(report.sensors, undisturbed.sensors, "ended after {polls} polls: {report:?}");
        assert_eq!((report.readings, report.windows, report.dropped), (undisturbed.readings, undisturbed.windows, 0));
        let windows = cloud.windows();
        assert_eq!(count(&windows), undisturbed.windows, "ended after {polls} polls");
        for (begin, said) in windows {
            assert_eq!(
                said.len(),
                1,
                "ended after {polls} polls, window {begin} is said in more than one way: {said:?}"
            );
        }
        polls += 1;
    }
    assert!(polls > 20, "the run is over after {polls} polls");
}

#[test]
fn where_states_are_refused_the_run_goes_on_without() {
    let guest = Guest::new();
    guest.keep_checkpoints(&[]);
    guest.refuse_checkpoints();
    let peers = [guest.server(1), guest.server(2)];
    let (mut source, mut cloud) = (Source::default(), Cloud::default());
    let report = guest.run(collect::run(parameters(), &guest), |_| {
        source.serve(&peers[0]);
        cloud.serve(&peers[1]);
        std::thread::sleep(std::time::Duration::from_millis(1));
    });
    let report = report.expect("the run waits for what does not come").expect("the run fails");
    assert_eq!((report.readings, report.published), (u64::from(READINGS), report.windows));
}

#[test]
fn a_state_that_cannot_be_read_is_said_and_the_run_begins_afresh() {
    let (mut source, mut cloud) = (Source::default(), Cloud::default());
    let (report, _) = run(&mut source, &mut cloud, b"\x01 no state of this task", u32::MAX);
    assert_eq!(report.unwrap().readings, u64::from(READINGS));
}
