//! What whoever feeds a task sends: a feed with anything in it, anywhere.

use feed::{Decoder, Encoder, Fault, Gap, Item, MAGIC, Reading, Reason, Sensor};
use kernel::nodes::MAX_BYTES;
use privacy::By;
use serde::Serialize;
use testing::Guest;

use crate::input::Input;

/// Bytes that are a feed for the most part.
fn feed(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    let mut sensors = 0;
    if input.byte() == 0 {
        // As if it were in the middle of one.
        bytes.clear();
    }
    while !input.is_empty() {
        match input.below(8) {
            0 => {
                let name = String::from_utf8_lossy(input.piece()).into_owned();
                let unit = String::from_utf8_lossy(input.piece()).into_owned();
                let sensor = Sensor { name: &name, unit: &unit, ..Sensor::default() };
                sensors += usize::from(encoder.sensor(&sensor, &mut bytes).is_ok());
            }
            1 | 2 if sensors > 0 => {
                let time_ns = i64::from(input.long() as i32) << input.below(33);
                let value = f64::from_bits(u64::from(input.long()) << 32);
                let reading = Reading { time_ns, value };
                encoder.readings_of(input.below(sensors.min(256)), &vec![reading; input.word().into()], &mut bytes);
            }
            3 if sensors > 0 => {
                let sensor = Some(input.below(sensors.min(256))).filter(|sensor| *sensor > 0);
                let reason = input.choose(&[Reason::NotTaken, Reason::Rate, Reason::NotKept, Reason::Restarted]);
                let readings = u64::from(input.long()) << input.below(33);
                encoder.gap(&Gap { sensor, readings, reason }, &mut bytes);
            }
            4 => bytes.extend(input.piece()),
            5 if !bytes.is_empty() => {
                let at = input.long() as usize % bytes.len();
                bytes[at] = input.byte();
            }
            6 => bytes.truncate(bytes.len() - usize::from(input.byte()).min(bytes.len())),
            // A frame of which only the header is right.
            _ => bytes.extend([input.byte() % 6, 0, input.byte() % 4, 0, input.byte(), input.byte() % 8, 0, 0]),
        }
        if bytes.len() > 1 << 20 {
            break;
        }
    }
    if input.byte() & 1 == 0 {
        encoder.end(&mut bytes);
    }
    bytes
}

/// How many readings there are, and how it ends, when so much more comes at once.
fn read(bytes: &[u8], portion: usize) -> (u64, Result<bool, Fault>) {
    let (mut decoder, mut start, mut end) = (Decoder::new(), 0, 0);
    let mut described = 0;
    loop {
        let wanted = match decoder.wanted(&bytes[start..end]) {
            Ok(wanted) => wanted,
            Err(fault) => return (decoder.readings(), Err(fault)),
        };
        assert!(wanted <= 600, "{wanted} bytes must lie in one piece");
        if end - start < wanted {
            if end == bytes.len() {
                return (decoder.readings(), Ok(false));
            }
            end = bytes.len().min(end + portion);
            continue;
        }
        match decoder.next(&bytes[start..end]) {
            Ok((0, _)) => panic!("an item without bytes"),
            Ok((count, Some(item))) => {
                start += count;
                match item {
                    Item::Sensor(sensor) => {
                        assert!(!sensor.name.is_empty());
                        described += 1;
                    }
                    Item::Readings(sensor, readings) => assert!(sensor < described && readings.len() > 0),
                    Item::Gap(gap) => assert!(gap.sensor.is_none_or(|sensor| sensor < described)),
                }
            }
            Ok((_, None)) => return (decoder.readings(), Ok(true)),
            Err(fault) => return (decoder.readings(), Err(fault)),
        }
    }
}

/// A task that is fed with these bytes ends: with a report that programs get, if the feed is whole, and else with an error.
fn feeds<R: Serialize, E: std::fmt::Display>(
    bytes: &[u8],
    is_whole: bool,
    task: impl AsyncFnOnce(&Guest) -> Result<R, E>,
) {
    let guest = Guest::new();
    guest.feed_bytes(bytes.to_vec());
    match guest.run(task(&guest), |_| {}).expect("a feed that is there ends") {
        Ok(report) => {
            let report = postcard::to_allocvec(&report).expect("a report");
            assert!(is_whole && report.len() <= MAX_BYTES, "{} bytes", report.len());
        }
        Err(error) => assert!(!is_whole, "{error}"),
    }
}

/// Reads what the bytes make of a feed, whole and in portions: it must be the same. Each task that is fed with it must end.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let portion = 1 + usize::from(input.byte());
    for bytes in [feed(&mut input), [&MAGIC, bytes].concat()] {
        let whole = read(&bytes, bytes.len().max(1));
        assert_eq!(whole, read(&bytes, portion), "in portions of {portion}");
        let is_whole = whole.1 == Ok(true);
        let parameters = summary::Parameters { quantiles: Some(vec![0.5]) };
        feeds(&bytes, is_whole, async |guest| summary::run(parameters, guest).await);
        let parameters = threshold::Parameters { high: 1.0, low: Some(-1.0), lasting_s: Some(1) };
        feeds(&bytes, is_whole, async |guest| threshold::run(parameters, guest).await);
        let parameters = downsample::Parameters { interval_s: 1 };
        feeds(&bytes, is_whole, async |guest| downsample::run(parameters, guest).await);
        let parameters = privacy::Parameters { by: By::Place, least_sensors: 3 };
        feeds(&bytes, is_whole, async |guest| privacy::run(parameters, guest).await);
    }
}
