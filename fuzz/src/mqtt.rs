//! What two brokers say to `collect`.

use collect::Parameters;

use crate::guest::Guest;
use crate::input::Input;

/// A broker that lets the client in.
pub(crate) const WELCOME: &[u8] = &[0x20, 3, 0, 0, 0];
/// A broker that takes the one subscription.
pub(crate) const SUBSCRIBED: &[u8] = &[0x90, 4, 0, 1, 0, 1];

/// What the task is started with; the brokers are those of [`Guest`].
pub(crate) fn parameters() -> Parameters {
    Parameters {
        source: "10.0.0.1:1".to_owned(),
        cloud: "10.0.0.1:2".to_owned(),
        topics: vec!["sensors/+".to_owned()],
        end: Some("end".to_owned()),
        window_s: Some(10),
        sensors: Some(4),
        queue: Some(4),
        ..Parameters::default()
    }
}

/// A message with QoS 1.
pub(crate) fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend(topic.bytes());
    body.extend(id.to_be_bytes());
    body.push(0);
    body.extend(payload);
    let mut packet = vec![0x32];
    let mut length = body.len();
    loop {
        let more = length > 0x7f;
        packet.push((length & 0x7f) as u8 | u8::from(more) << 7);
        length >>= 7;
        if !more {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// Has both brokers say what the bytes say, after a regular beginning or none.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let cloud_length = input.word().into();
    let guest = Guest::default();
    for (index, wire) in guest.brokers.iter().enumerate() {
        let wire = &mut *wire.borrow_mut();
        if flags & 1 << index != 0 {
            wire.to_guest.extend(WELCOME);
        }
        wire.closes = flags & 0x10 << index != 0;
    }
    if flags & 4 != 0 {
        let source = &mut guest.brokers[0].borrow_mut().to_guest;
        source.extend(SUBSCRIBED);
        // Closed windows, so that there is something to say to the cloud.
        for second in 0..6 {
            let pack = format!(r#"[{{"n":"a","t":{},"v":1}}]"#, 1_700_000_000 + 20 * second);
            source.extend(publish("sensors/a", 1, pack.as_bytes()));
        }
    }
    guest.brokers[1].borrow_mut().to_guest.extend(input.bytes(cloud_length));
    guest.brokers[0].borrow_mut().to_guest.extend(input.rest());
    // Whatever they say: what has come to an end is the input, or one of them has sent the end-of-stream message.
    let _ = guest.run(collect::run(parameters(), &guest), |_| {});
}
