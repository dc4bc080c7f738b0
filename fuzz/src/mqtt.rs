//! What two brokers say to `collect`.

use collect::Parameters;

use testing::{Guest, Peer};

use crate::input::Input;

/// A broker that lets the client in.
pub(crate) const WELCOME: &[u8] = &[0x20, 3, 0, 0, 0];
/// A broker that takes the one subscription.
pub(crate) const SUBSCRIBED: &[u8] = &[0x90, 4, 0, 1, 0, 1];

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

/// A message with QoS 1.
pub(crate) fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let topic_bytes = (topic.len() as u16).to_be_bytes();
    packet(0x32, &[&topic_bytes, topic.as_bytes(), &id.to_be_bytes(), &[0], payload].concat())
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

/// Has both brokers say what the bytes say, after a regular beginning or none.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let cloud_length = input.word().into();
    let guest = Guest::new();
    let [source, cloud] = brokers(&guest);
    for (index, broker) in [&source, &cloud].into_iter().enumerate() {
        if flags & 1 << index != 0 {
            broker.say(WELCOME);
        }
        if flags & 0x10 << index != 0 {
            broker.close();
        }
    }
    if flags & 4 != 0 {
        source.say(SUBSCRIBED);
        // Closed windows, so that there is something to say to the cloud.
        for second in 0..6 {
            let pack = format!(r#"[{{"n":"a","t":{},"v":1}}]"#, 1_700_000_000 + 20 * second);
            source.say(&publish("sensors/a", 1, pack.as_bytes()));
        }
    }
    cloud.say(input.bytes(cloud_length));
    source.say(input.rest());
    // Whatever they say: what has come to an end is the input, or one of them has sent the end-of-stream message.
    let _ = guest.run(collect::run(parameters(), &guest), |_| {});
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
