//! A broker that knows as much of MQTT 5 as a test asks of it.

use std::cell::RefCell;
use std::pin::pin;
use std::thread;
use std::time::{Duration, Instant};

use collect::{Error, Parameters, Report};
use kernel::console::Console;
use testing::{Guest, Peer};

/// How long a run may take; it waits for nothing but its pauses between two connections.
const PATIENCE: Duration = Duration::from_secs(120);

thread_local! {
    /// What the task of this thread's test has said.
    static SAID: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The console of all tests.
struct Said;

impl Console for Said {
    fn write(&self, bytes: &[u8]) {
        SAID.with_borrow_mut(|said| said.extend(bytes));
    }
}

/// Whether the task has said this, since the last time that it was asked about.
pub fn said(text: &str) -> bool {
    let said = SAID.take();
    String::from_utf8_lossy(&said).contains(text)
}

/// First bytes of packets.
const CONNECT: u8 = 0x10;
/// The first byte of what a TLS client says.
const HELLO: u8 = 0x16;
const PUBLISH: u8 = 0x32;
const PUBLISH_RETAINED: u8 = 0x31;
const SUBSCRIBE: u8 = 0x82;
const PUBACK: u8 = 0x40;
const PINGREQ: u8 = 0xc0;
const DISCONNECT: u8 = 0xe0;

/// What a broker has heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The version of MQTT, and whether the session begins anew.
    Connect(u8, bool),
    /// What is asked of TLS.
    Hello,
    Subscribe(String),
    /// Number, topic, payload.
    Publish(u16, String, String),
    /// Topic and payload of a message with QoS 0 that is kept.
    Retained(String, String),
    /// Whether it ends the session.
    Disconnect(bool),
}

/// One of the two.
pub struct Broker {
    peer: Peer,
    /// All that it has heard, but for acknowledgements and questions.
    pub heard: Vec<Heard>,
    /// What it says in its greetings: whether it has kept the session, and its properties. The last one stands for all
    /// further ones.
    pub greetings: Vec<(bool, Vec<u8>)>,
    /// What it says to a subscription: the QoS that it grants, or a reason.
    pub grants: u8,
    /// Whether it answers at all.
    pub answers: bool,
    /// Whether it acknowledges what is published.
    pub acknowledges: bool,
    /// How many of its own messages were acknowledged.
    pub acknowledged: usize,
}

impl Broker {
    pub fn new(guest: &Guest, port: u16) -> Self {
        let peer = guest.server(port);
        let greetings = vec![(false, Vec::new())];
        Self { peer, heard: Vec::new(), greetings, grants: 1, answers: true, acknowledges: true, acknowledged: 0 }
    }

    /// Sends a message with QoS 1.
    pub fn publish(&self, id: u8, topic: &str, payload: &str) {
        self.publish_with(id, topic, &[], payload);
    }

    /// Sends one with properties.
    pub fn publish_with(&self, id: u8, topic: &str, properties: &[u8], payload: &str) {
        let head = [&[0, topic.len() as u8], topic.as_bytes(), &[0, id, properties.len() as u8]].concat();
        let body = [&head, properties, payload.as_bytes()].concat();
        self.peer.say(&[&[PUBLISH, body.len() as u8], &body[..]].concat());
    }

    /// Says nothing from now on, and closes this connection and all others.
    pub fn close(&mut self) {
        self.answers = false;
        self.peer.close();
    }

    /// Ends the connection.
    pub fn disconnect(&self) {
        self.peer.say(&[DISCONNECT, 0]);
    }

    /// How many of these it has heard.
    pub fn count(&self, what: impl Fn(&Heard) -> bool) -> usize {
        self.heard.iter().filter(|heard| what(heard)).count()
    }

    /// What was published with QoS 1.
    pub fn published(&self) -> Vec<(u16, &str, &str)> {
        let published = |heard| match heard {
            &Heard::Publish(id, ref topic, ref payload) => Some((id, topic.as_str(), payload.as_str())),
            _ => None,
        };
        self.heard.iter().filter_map(published).collect()
    }

    /// Answers what was heard since the last call.
    pub fn answer(&mut self) {
        let heard = self.peer.take_heard(std::mem::take);
        let mut rest = &heard[..];
        while let [first, after @ ..] = rest {
            if *first == HELLO {
                self.heard.push(Heard::Hello);
                break;
            }
            let (body, after) = body(after);
            rest = after;
            match *first {
                CONNECT if !self.answers => self.heard.push(connect(body)),
                CONNECT => {
                    let (resumed, properties) = match &self.greetings[..] {
                        [last] => last.clone(),
                        _ => self.greetings.remove(0),
                    };
                    let head = [0x20, 3 + properties.len() as u8, resumed.into(), 0, properties.len() as u8];
                    self.peer.say(&[&head[..], &properties].concat());
                    self.heard.push(connect(body));
                }
                SUBSCRIBE => {
                    self.peer.say(&[0x90, 4, body[0], body[1], 0, self.grants]);
                    // Behind the number and the properties, of which there are none or one of two bytes.
                    let (filter, _) = text(&body[3 + usize::from(body[2])..]);
                    self.heard.push(Heard::Subscribe(filter));
                }
                PUBLISH => {
                    let (topic, after) = text(body);
                    let (id, payload) = (u16::from_be_bytes([after[0], after[1]]), &after[3..]);
                    if self.acknowledges {
                        self.peer.say(&[0x40, 2, after[0], after[1]]);
                    }
                    self.heard.push(Heard::Publish(id, topic, String::from_utf8_lossy(payload).into_owned()));
                }
                PUBLISH_RETAINED => {
                    let (topic, after) = text(body);
                    self.heard.push(Heard::Retained(topic, String::from_utf8_lossy(&after[1..]).into_owned()));
                }
                DISCONNECT => self.heard.push(Heard::Disconnect(!body.is_empty())),
                PUBACK => self.acknowledged += 1,
                PINGREQ => self.peer.say(&[0xd0, 0]),
                _ => {}
            }
        }
    }
}

/// A greeting: behind the protocol's name its version, and flags.
fn connect(body: &[u8]) -> Heard {
    Heard::Connect(body[6], body[7] & 2 != 0)
}

/// What a packet's length stands before, and what comes behind that.
fn body(bytes: &[u8]) -> (&[u8], &[u8]) {
    let last = bytes.iter().position(|byte| byte & 0x80 == 0).expect("a length");
    let length = bytes[..=last].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
    bytes[last + 1..].split_at(length)
}

/// A string, and what comes behind it.
fn text(bytes: &[u8]) -> (String, &[u8]) {
    let (text, rest) = bytes[2..].split_at(u16::from_be_bytes([bytes[0], bytes[1]]).into());
    (String::from_utf8_lossy(text).into_owned(), rest)
}

/// Runs the task to its end. After each of its steps both brokers answer, and then `script` may have them say more.
pub fn run(
    guest: &Guest,
    parameters: Parameters,
    brokers: &mut [Broker; 2],
    mut script: impl FnMut(&mut [Broker; 2]),
) -> Result<Report, Error> {
    kernel::console::attach(&Said);
    let mut task = pin!(collect::run(parameters, guest));
    let since = Instant::now();
    loop {
        let outcome = guest.run(task.as_mut(), |_| {
            brokers.iter_mut().for_each(Broker::answer);
            script(brokers);
        });
        if let Some(outcome) = outcome {
            // Its last words.
            brokers.iter_mut().for_each(Broker::answer);
            return outcome;
        }
        assert!(since.elapsed() < PATIENCE, "the task does not end");
        thread::sleep(Duration::from_millis(5));
    }
}
