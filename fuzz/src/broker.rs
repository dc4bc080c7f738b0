//! What the sensors' MQTT broker says to `broker`, and the database of what was before; a task is fed with what comes of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use broker::Parameters;
use embedded_io_async::{ErrorType, Read, Write};
use feed::{Decoder, Item};
use kernel::{Feeding, Memory, Networked, Stop, System};
use testing::Guest;

use crate::input::Input;
use crate::mqtt::{SUBSCRIBED, WELCOME, publish};

/// The beginning of an answer of the database.
const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\n";
/// What it says of its series and fields, so that readings are asked for.
const SERIES: &str = r#"{"results":[{"series":[{"columns":["key"],"values":[["a"],["a,t=b"],["x"]]}]}]}"#;
const FIELDS: &str =
    r#"{"results":[{"series":[{"name":"a","columns":["fieldKey","fieldType"],"values":[["f","float"]]}]}]}"#;
/// Some readings: one of the window and one that is not.
const READINGS: &str = r#"{"results":[{"series":[{"name":"a","columns":["time","f"],"values":[[1699999990000000000,1.5],[1600000000000000000,2]]}]}]}"#;
/// So often does the database say something: then it says nothing more.
const ANSWERS: u32 = 12;
/// After so many polls the platform asks the broker to stop. It would wait for ever; and where many inputs have left timers
/// behind, those of its tasks wake each other by displacing each other in the queue of the tests' clock.
const POLLS: u32 = 300;
/// What the task may have, and the times that are in its window.
const CONTRACT: &str = "1?name=a/*&past_s=60&live=yes";
const WINDOW_NS: i64 = 1_699_999_940_000_000_000;

/// The platform of tests, with one task that takes all that it gets.
struct Platform {
    guest: Guest,
    fed: Rc<RefCell<Vec<u8>>>,
}

struct Channel(Rc<RefCell<Vec<u8>>>);

/// Has both say what the bytes say, the source behind a regular beginning; what the task gets must be a feed, of sensors that
/// it may have.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let length = input.word().into();
    let answer = [if flags & 1 != 0 { HEAD.as_bytes() } else { b"" }, input.bytes(length)].concat();
    let mut says = [WELCOME, SUBSCRIBED].concat();
    if flags & 2 != 0 {
        let pack = br#"[{"n":"a/f","t":1699999995,"v":1},{"n":"b","v":2}]"#;
        says.extend(publish("sensors/a", 1, pack));
    }
    says.extend(input.rest());

    let platform = Platform { guest: Guest::new(), fed: Rc::default() };
    let (source, database) = (platform.guest.server(1), platform.guest.server(2));
    let (mut says, mut answers, mut polls) = (Some(says), 0, 0);
    let _ = platform.guest.run(broker::run(parameters(), &platform), |_| {
        polls += 1;
        if polls == POLLS {
            platform.guest.stop();
        }
        says.take().into_iter().for_each(|says| source.say(&says));
        let question = database.heard();
        if question.ends_with(b"\r\n\r\n") && answers < ANSWERS {
            answers += 1;
            database.take_heard(Vec::clear);
            database.say(&said(flags, &question, &answer));
        }
    });
    judge(&platform.fed.borrow());
}

/// What the database says to a question: what it should, or what the input has.
fn said(flags: u8, question: &[u8], answer: &[u8]) -> Vec<u8> {
    let asks = |word: &str| question.windows(word.len()).any(|part| part == word.as_bytes());
    let regular = match () {
        () if asks("SHOW%20SERIES") && flags & 4 != 0 => SERIES,
        () if asks("SHOW%20FIELD") && flags & 8 != 0 => FIELDS,
        () if asks("SELECT") && flags & 16 != 0 => READINGS,
        () => return answer.to_vec(),
    };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{regular}\n", regular.len() + 1).into_bytes()
}

/// A task's feed keeps to its form, and to its contract.
fn judge(mut fed: &[u8]) {
    let mut decoder = Decoder::new();
    while !fed.is_empty() {
        if decoder.wanted(fed).expect("a feed") > fed.len() {
            assert_eq!(fed, feed::MAGIC, "there are whole frames behind the beginning");
            return;
        }
        let (count, item) = decoder.next(fed).expect("a feed");
        fed = &fed[count..];
        match item {
            Some(Item::Sensor(sensor)) => assert!(sensor.name.starts_with("a/"), "{sensor:?}"),
            Some(Item::Readings(_, readings)) => {
                assert!(readings.iter().all(|reading| reading.time_ns >= WINDOW_NS && reading.value.is_finite()));
            }
            Some(Item::Gap(_)) => {}
            None => assert!(fed.is_empty(), "nothing behind the end"),
        }
    }
}

fn parameters() -> Parameters {
    Parameters {
        source: "10.0.0.1:1".to_owned(),
        topics: vec!["sensors/#".to_owned()],
        tasks: Some(vec![CONTRACT.to_owned()]),
        past: Some("http://10.0.0.1:2/house".to_owned()),
        sensors: Some(8),
        store_mib: Some(1),
        ..Parameters::default()
    }
}

impl System for Platform {
    fn memory(&self) -> Memory {
        self.guest.memory()
    }

    fn random(&self, destination: &mut [u8]) {
        self.guest.random(destination);
    }

    fn unix_time(&self) -> Duration {
        self.guest.unix_time()
    }

    async fn stop_requested(&self) -> Stop {
        self.guest.stop_requested().await
    }
}

impl Networked for Platform {
    type Network = Guest;

    fn network(&self) -> &Guest {
        &self.guest
    }
}

impl Feeding for Platform {
    type Channel = Channel;

    async fn serve(&self, _task: u16) -> Result<Channel, kernel::feed::Error> {
        Ok(Channel(Rc::clone(&self.fed)))
    }

    async fn tasks(&self, _known: &BTreeMap<u16, String>) -> BTreeMap<u16, String> {
        pending().await
    }
}

impl ErrorType for Channel {
    type Error = Infallible;
}

impl Read for Channel {
    async fn read(&mut self, _buffer: &mut [u8]) -> Result<usize, Infallible> {
        pending().await
    }
}

impl Write for Channel {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
