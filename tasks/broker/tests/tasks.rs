//! The broker as a function: a source whose bytes the test says, and tasks that come and go.

use broker::{Parameters, Report};
use feed::{Decoder, Item};
use testing::{Guest, Peer};

/// CONNACK of MQTT 5 with nothing to say, and SUBACK of the first subscription, granted with QoS 1.
const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];
const SUBACK: &[u8] = &[0x90, 4, 0, 1, 0, 1];

/// PUBLISH of a reading with QoS 0, without properties: at so many seconds after the guest's clock, which stands still.
fn publish(name: &str, value: u32, after_s: i32) -> Vec<u8> {
    let topic = "sensors";
    let payload = format!(r#"[{{"n":"{name}","t":{},"v":{value}}}]"#, 1_700_000_000 + i64::from(after_s));
    let length = 2 + topic.len() + 1 + payload.len();
    let head = [0x30, length as u8, 0, topic.len() as u8];
    [&head, topic.as_bytes(), &[0], payload.as_bytes()].concat()
}

/// What a task was told, in words.
fn told(task: &Peer) -> Vec<String> {
    let (bytes, mut decoder, mut words) = (task.heard(), Decoder::new(), Vec::new());
    let mut held = &bytes[..];
    while held.len() >= decoder.wanted(held).expect("a feed") {
        let (count, item) = decoder.next(held).expect("a feed");
        match item {
            Some(Item::Sensor(sensor)) => words.push(sensor.name.to_owned()),
            Some(Item::Readings(_, readings)) => words.extend(readings.iter().map(|one| one.value.to_string())),
            Some(Item::Gap(gap)) => words.push(format!("{gap:?}")),
            None => {
                words.push("end".to_owned());
                break;
            }
        }
        held = &held[count..];
    }
    words
}

#[test]
fn tasks_of_the_list_are_fed_from_the_moment_on_in_which_they_stand_there() {
    let guest = Guest::new();
    let source = guest.server(1883);
    source.say(&[CONNACK, SUBACK, &publish("roof", 1, 0), &publish("yard", 2, -10)].concat());
    let (live, past) = (guest.fed_task(1), guest.fed_task(2));
    let parameters =
        Parameters { source: "10.0.0.1".to_owned(), topics: vec!["sensors".to_owned()], ..Parameters::default() };
    let mut step = 0;
    let report: Report = guest
        .run(broker::run(parameters, &guest), |guest| {
            step += 1;
            match step {
                20 => guest.list_tasks(&[(1, "name=roof"), (2, "name=yard&past_s=60")]),
                // The second has all and goes; the first is fed on.
                30 => past.close(),
                40 => {
                    guest.list_tasks(&[(1, "name=roof")]);
                    source.say(&publish("roof", 3, 1));
                }
                60 => guest.list_tasks(&[]),
                80 => guest.stop(),
                _ => source.say(&[0xd0, 0]),
            }
        })
        .expect("it ends")
        .expect("a report");
    assert_eq!(told(&live), ["roof", "3"]);
    assert_eq!(told(&past), ["yard", "2", "end"]);
    assert!(live.is_left() && past.is_left());
    let ended: Vec<_> = report.tasks.iter().map(|task| (task.task, &*task.ended)).collect();
    assert_eq!(ended, [(2, "complete"), (1, "it is not to be fed any more")]);
}
