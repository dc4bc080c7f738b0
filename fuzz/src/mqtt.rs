//! What two brokers say to `collect`.

use collect::Parameters;

use testing::{Guest, Peer};

use crate::input::Input;

/// A broker that lets the client in, in MQTT 5.
pub(crate) const WELCOME: &[u8] = &[0x20, 3, 0, 0, 0];
/// A broker that takes the one subscription, in MQTT 5.
pub(crate) const SUBSCRIBED: &[u8] = &[0x90, 4, 0, 1, 0, 1];

/// A broker that does not know MQTT 5.
const OLDER: &[u8] = &[0x20, 2, 0, 1];
/// As [`WELCOME`], in MQTT 3.1.1.
const OLDER_WELCOME: &[u8] = &[0x20, 2, 0, 0];
/// As [`SUBSCRIBED`], in MQTT 3.1.1.
const OLDER_SUBSCRIBED: &[u8] = &[0x90, 3, 0, 1, 1];

/// Where the data comes from, and the cloud: the peers that [`parameters`] names.
pub(crate) fn brokers(guest: &Guest) -> [Peer; 2] {
    [guest.server(1), guest.server(2)]
}

/// What the task is started with.
pub(crate) fn parameters() -> Parameters {
    Parameters {
        source: "10.0.0.1:1".to_owned(),
        cloud: "10.0.0.1:2".to_owned(),
        topics: ["sensors/+", "json:json/{name}?time=t", "influx:influx/#", "number:number/{name}/{unit}"]
            .map(str::to_owned)
            .to_vec(),
        end: Some("end".to_owned()),
        window_s: Some(10),
        sensors: Some(4),
        queue: Some(4),
        ..Parameters::default()
    }
}

/// A message with QoS 1, in MQTT 5.
pub(crate) fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    message(topic, id, false, payload)
}

/// A message with QoS 1, in MQTT 5 or 3.1.1.
fn message(topic: &str, id: u16, older: bool, payload: &[u8]) -> Vec<u8> {
    let topic_bytes = (topic.len() as u16).to_be_bytes();
    let properties: &[u8] = if older { &[] } else { &[0] };
    packet(0x32, &[&topic_bytes, topic.as_bytes(), &id.to_be_bytes(), properties, payload].concat())
}

/// A packet: its first byte, its length, its body.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first], &length(body.len())[..], body].concat()
}

/// A length as MQTT writes it.
pub fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let more = length > 0x7f;
        bytes.push((length & 0x7f) as u8 | u8::from(more) << 7);
        length >>= 7;
        if !more {
            return bytes;
        }
    }
}

/// Has both brokers say what the bytes say, after a regular beginning or none, in MQTT 5 or 3.1.1.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let cloud_length = input.word().into();
    let older = flags & 8 != 0;
    let (welcome, subscribed) = if older { (OLDER_WELCOME, OLDER_SUBSCRIBED) } else { (WELCOME, SUBSCRIBED) };
    let mut says = [Vec::new(), Vec::new()];
    for (index, says) in says.iter_mut().enumerate() {
        if flags & 1 << index != 0 {
            says.extend(welcome);
        }
    }
    if flags & 4 != 0 {
        says[0].extend(subscribed);
        // Closed windows, so that there is something to say to the cloud.
        for second in 0..6 {
            let pack = format!(r#"[{{"n":"a","t":{},"v":1}}]"#, 1_700_000_000 + 20 * second);
            says[0].extend(message("sensors/a", 1, older, pack.as_bytes()));
        }
    }
    says[1].extend(input.bytes(cloud_length));
    says[0].extend(input.rest());
    hold_forth(says, older, [flags & 0x10 != 0, flags & 0x20 != 0]);
}

/// Has the brokers say this, and then close their connections or not; in MQTT 3.1.1, if they do not know 5.
fn hold_forth(says: [Vec<u8>; 2], older: bool, closes: [bool; 2]) {
    let guest = Guest::new();
    let brokers = brokers(&guest);
    let mut says = says.map(Some);
    if older {
        brokers.iter().for_each(|broker| broker.say(OLDER));
    }
    // Whatever they say: what has come to an end is the input, or one of them has sent the end-of-stream message.
    let _ = guest.run(collect::run(parameters(), &guest), |_| {
        for ((broker, says), closes) in brokers.iter().zip(&mut says).zip(closes) {
            // What is said before the greeting in 3.1.1 would be of the connection before.
            if !older || is_greeted(broker, OLDER_GREETING) {
                says.take().into_iter().for_each(|says| {
                    broker.say(&says);
                    if closes {
                        broker.close();
                    }
                });
            }
        }
    });
    if older {
        assert!(says.iter().all(Option::is_none), "a broker was not spoken to in MQTT 3.1.1");
    }
}

/// The name and the number of the protocol in a greeting in MQTT 3.1.1.
const OLDER_GREETING: &[u8] = b"\0\x04MQTT\x04";

/// Whether a broker has heard this.
fn is_greeted(broker: &Peer, greeting: &[u8]) -> bool {
    broker.take_heard(|heard| heard.windows(greeting.len()).any(|bytes| bytes == greeting))
}

/// Has both brokers let the client in, then say these bytes. `ready` is called when all is prepared, so that a test can tell what the task
/// allocates from what is its input. Returns how many bytes the task has left unread of each broker.
pub fn hear(source: &[u8], cloud: &[u8], ready: impl FnOnce()) -> [usize; 2] {
    let guest = Guest::new();
    let brokers = brokers(&guest);
    for (broker, says) in brokers.iter().zip([[WELCOME, SUBSCRIBED, source].concat(), [WELCOME, cloud].concat()]) {
        broker.say(&says);
        // Where what the task says goes, so that it is not counted as the task's.
        broker.take_heard(|heard| heard.reserve(64 * 1024));
    }
    let parameters = parameters();
    ready();
    let _ = guest.run(collect::run(parameters, &guest), |_| {
        brokers.iter().for_each(|broker| broker.take_heard(Vec::clear));
    });
    brokers.each_ref().map(Peer::unread)
}
