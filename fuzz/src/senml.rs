//! What sensors say to `collect`, in each way that it reads, through brokers that behave.

use collect::{Parameters, Report};

use testing::{Guest, Peer};

use crate::mqtt::{SUBSCRIBED, WELCOME, brokers, parameters, publish};

/// The time of the good readings, which is now: of a sensor of their own, they are neither late nor ahead.
const TIME: u64 = 1_700_000_000;

/// Sends the bytes as a pack, as an object, as lines and as a number, then a good pack, then the end; the good one must
/// arrive in a summary.
pub fn run(bytes: &[u8]) {
    let guest = Guest::new();
    let [source, cloud] = brokers(&guest);
    source.say(WELCOME);
    source.say(SUBSCRIBED);
    // Less than the largest packet that is looked at.
    let bytes = &bytes[..bytes.len().min(30_000)];
    for (id, topic) in (1..).zip(["sensors/bad", "json/bad", "influx/bad/x", "number/bad/Cel"]) {
        source.say(&publish(topic, id, bytes));
    }
    source.say(&publish("sensors/good", 5, format!(r#"[{{"n":"good","t":{TIME},"v":1.5}}]"#).as_bytes()));
    source.say(&publish("end", 6, b""));
    cloud.say(WELCOME);
    let report = guest.run(collect::run(parameters(), &guest), |_| acknowledge(&cloud));
    let Some(Ok(report)) = report else { panic!("the task did not come to its end: {report:?}") };
    assert_eq!(report.published + report.dropped, report.windows, "{report:?}");
    assert!(report.readings > 0, "{report:?}");
    assert!(report.sensors.len() <= 4, "{report:?}");
    // The bad pack may have taken all places for sensors, or be the same as the good one.
    let taken = report.sensors.iter().any(|sensor| sensor.name == "good");
    assert!(taken || report.over_limit > 0 || report.malformed > 0, "{report:?}");
}

/// Has `collect` take these packs, one message each, and a cloud acknowledge what comes of them. `ready` is called when
/// all is prepared, so that a test can tell what the task allocates from what is its input.
///
/// # Panics
/// When the task does not come to its end.
pub fn take(packs: &[Vec<u8>], sensors: u32, queue: u32, ready: impl FnOnce()) -> Report {
    let guest = Guest::new();
    let [source, cloud] = brokers(&guest);
    source.say(WELCOME);
    source.say(SUBSCRIBED);
    for (number, pack) in (1..=u16::MAX).cycle().zip(packs) {
        source.say(&publish("sensors/any", number, pack));
    }
    source.say(&publish("end", 1, b""));
    cloud.say(WELCOME);
    let parameters = Parameters { sensors: Some(sensors), queue: Some(queue), ..parameters() };
    ready();
    let report = guest.run(collect::run(parameters, &guest), |_| {
        acknowledge(&cloud);
        source.take_heard(Vec::clear);
    });
    let Some(Ok(report)) = report else { panic!("the task did not come to its end: {report:?}") };
    report
}

/// Acknowledges what was published to the cloud.
fn acknowledge(cloud: &Peer) {
    cloud.take_heard(|heard| {
        let mut seen = 0;
        while let Some((packet, length)) = next_packet(&heard[seen..]) {
            let id = (packet.first() == Some(&0x32)).then(|| publish_id(packet)).flatten();
            seen += length;
            if let Some([high, low]) = id {
                cloud.say(&[0x40, 2, high, low]);
            }
        }
        heard.drain(..seen);
    });
}

/// The packet at the start of the bytes, if it is whole, and its length.
fn next_packet(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (mut length, mut position) = (0usize, 1);
    loop {
        let byte = *bytes.get(position)?;
        length |= usize::from(byte & 0x7f) << (7 * (position - 1));
        position += 1;
        if byte < 0x80 {
            break;
        }
    }
    Some((bytes.get(..position + length)?, position + length))
}

/// The number of a message, behind its topic.
fn publish_id(packet: &[u8]) -> Option<[u8; 2]> {
    let body = packet.iter().skip(1).position(|byte| *byte < 0x80)? + 2;
    let topic = u16::from_be_bytes(*packet.get(body..)?.first_chunk()?);
    packet.get(body + 2 + usize::from(topic)..)?.first_chunk().copied()
}
