//! What is written is read; what is wrong is found.

use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use crate::{BATCH_MAX, Decoder, Encoder, Fault, Gap, Item, MAGIC, Reading, Reason, SENSORS_MAX, Sensor, TEXT_BYTES};

/// An item with what it refers to.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Sensor([String; 4]),
    Readings(usize, Vec<Reading>),
    Gap(Gap),
}

impl Said {
    fn of(item: Item<'_>) -> Self {
        match item {
            Item::Sensor(Sensor { name, kind, unit, place }) => {
                Self::Sensor([name, kind, unit, place].map(str::to_string))
            }
            Item::Readings(sensor, readings) => Self::Readings(sensor, readings.iter().collect()),
            Item::Gap(gap) => Self::Gap(gap),
        }
    }
}

/// Reads bytes that come in pieces: more are there only when they are asked for. Whether the end came, and what before.
fn read(bytes: &[u8], mut more: impl FnMut(usize) -> usize) -> Result<(bool, Vec<Said>), Fault> {
    let (mut decoder, mut start, mut end) = (Decoder::new(), 0, 0);
    let mut said: Vec<Said> = Vec::new();
    loop {
        let wanted = decoder.wanted(&bytes[start..end])?;
        assert!(wanted <= 600, "{wanted} bytes in one piece");
        if end - start < wanted {
            if end == bytes.len() {
                return Ok((false, said));
            }
            end = bytes.len().min(end + more(wanted - (end - start)));
            continue;
        }
        let (count, item) = decoder.next(&bytes[start..end])?;
        assert!(count > 0, "nothing is taken");
        start += count;
        let Some(item) = item else {
            let rest = decoder.wanted(&bytes[start..]).map(|_| false);
            return if start == bytes.len() { Ok((true, said)) } else { rest.map(|_| (true, said)) };
        };
        match (said.last_mut(), Said::of(item)) {
            // How a sensor's readings are divided depends on how they came.
            (Some(Said::Readings(last, all)), Said::Readings(sensor, readings)) if *last == sensor => {
                all.extend(readings);
            }
            (_, item) => said.push(item),
        }
    }
}

fn readings(count: usize) -> Vec<Reading> {
    (0..count).map(|at| Reading { time_ns: at as i64 * 1_000_000_007 - 5, value: at as f64 * 0.37 }).collect()
}

const SENSOR: Sensor<'_> = Sensor { name: "yard/t", kind: "temperature", unit: "Cel", place: "Höfe 3" };

fn described() -> (Encoder, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    assert_eq!(encoder.sensor(&SENSOR, &mut bytes), Ok(0));
    (encoder, bytes)
}

/// A feed with everything that a feed can have.
fn whole() -> (Vec<u8>, Vec<Said>) {
    let (mut encoder, mut bytes) = described();
    let gap = Gap { sensor: Some(0), readings: 7, reason: Reason::NotTaken };
    encoder.readings_of(0, &readings(2 * BATCH_MAX + 1), &mut bytes);
    encoder.gap(&gap, &mut bytes);
    let longest = "x".repeat(TEXT_BYTES);
    let other = Sensor { name: &longest, kind: &longest, unit: &longest, place: &longest };
    assert_eq!(encoder.sensor(&other, &mut bytes), Ok(1));
    encoder.readings_of(1, &readings(3), &mut bytes);
    encoder.readings_of(0, &readings(1), &mut bytes);
    encoder.gap(&Gap { sensor: None, readings: 0, reason: Reason::Restarted }, &mut bytes);
    encoder.end(&mut bytes);
    let texts = [SENSOR.name, SENSOR.kind, SENSOR.unit, SENSOR.place].map(str::to_string);
    let said = [
        Said::Sensor(texts),
        Said::Readings(0, readings(2 * BATCH_MAX + 1)),
        Said::Gap(gap),
        Said::Sensor([(); 4].map(|()| longest.clone())),
        Said::Readings(1, readings(3)),
        Said::Readings(0, readings(1)),
        Said::Gap(Gap { sensor: None, readings: 0, reason: Reason::Restarted }),
    ];
    (bytes, said.into())
}

#[test]
fn what_is_written_is_read_however_it_comes() {
    let (bytes, said) = whole();
    assert_eq!(read(&bytes, |_| usize::MAX / 2), Ok((true, said.clone())));
    assert_eq!(read(&bytes, |wanted| wanted), Ok((true, said.clone())));
    assert_eq!(read(&bytes, |_| 1), Ok((true, said)));
}

#[test]
fn a_feed_that_is_cut_off_has_no_end_and_is_not_wrong() {
    let (bytes, said) = whole();
    for end in (0..bytes.len()).filter(|end| *end < 1000 || bytes.len() - end < 1000) {
        let (ended, before) = read(&bytes[..end], |_| usize::MAX / 2).expect("no fault");
        assert!(!ended && before.len() <= said.len(), "{end} bytes");
    }
}

#[test]
fn bytes_are_where_the_description_says() {
    let (mut encoder, mut bytes) = described();
    encoder.readings_of(0, &[Reading { time_ns: -2, value: 1.5 }], &mut bytes);
    encoder.gap(&Gap { sensor: None, readings: 258, reason: Reason::Rate }, &mut bytes);
    encoder.end(&mut bytes);
    let expected = [
        &MAGIC[..],
        &[1, 0, 0, 0, 31, 0, 0, 0, 6, 11, 3, 7],
        "yard/ttemperatureCelHöfe 3".as_bytes(),
        &[2, 0, 0, 0, 16, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
        &[3, 0, 255, 255, 16, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
        &[4, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(bytes, expected);
}

/// What is wrong with a feed that describes a sensor and goes on with these bytes.
fn fault(rest: &[u8]) -> Option<Fault> {
    let (_, mut bytes) = described();
    bytes.extend(rest);
    read(&bytes, |_| usize::MAX / 2).err()
}

#[test]
fn what_is_wrong_is_named() {
    let reading = [0; 16];
    let header = |kind, sensor, bytes| [kind, 0, sensor, 0, bytes, 0, 0, 0];
    let frame = |kind, sensor, body: &[u8]| [&header(kind, sensor, body.len() as u8)[..], body].concat();
    assert_eq!(fault(&frame(2, 0, &reading)), None);
    assert_eq!(fault(&frame(0, 0, &reading)), Some(Fault::Kind(0)));
    assert_eq!(fault(&frame(5, 0, &[])), Some(Fault::Kind(5)));
    assert_eq!(fault(&frame(2, 1, &reading)), Some(Fault::Sensor(1)));
    assert_eq!(fault(&frame(2, 0, &[])), Some(Fault::Length { kind: 2, bytes: 0 }));
    assert_eq!(fault(&frame(2, 0, &[0; 17])), Some(Fault::Length { kind: 2, bytes: 17 }));
    let too_many = ((BATCH_MAX + 1) * 16) as u32;
    let long = [&[2, 0, 0, 0][..], &too_many.to_le_bytes()].concat();
    assert_eq!(fault(&long), Some(Fault::Length { kind: 2, bytes: too_many as usize }));
    assert_eq!(fault(&[2, 1, 0, 0, 16, 0, 0, 0]), Some(Fault::NotZero));
    assert_eq!(fault(&frame(3, 0, &[0; 16])), Some(Fault::Reason(0)));
    assert_eq!(fault(&frame(3, 0, &[0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0])), Some(Fault::Reason(7)));
    assert_eq!(fault(&frame(3, 0, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1])), Some(Fault::NotZero));
    assert_eq!(fault(&frame(3, 1, &[0; 16])), Some(Fault::Sensor(1)));
    assert_eq!(fault(&frame(3, 0, &[0; 15])), Some(Fault::Length { kind: 3, bytes: 15 }));
    assert_eq!(fault(&frame(4, 0, &[1, 0, 0, 0, 0, 0, 0, 0])), Some(Fault::Count { said: 1, came: 0 }));
    assert_eq!(fault(&frame(4, 1, &[0; 8])), Some(Fault::Sensor(1)));
    assert_eq!(fault(&[frame(4, 0, &[0; 8]), [0].into()].concat()), Some(Fault::AfterEnd));
    assert_eq!(fault(&frame(1, 0, &[1, 0, 0, 0, b'a'])), Some(Fault::Sensor(0)));
    for text in
        [&[0, 1, 0, 0, b'a'][..], &[1, 0, 0, 0, b'\n'], &[1, 0, 0, 0, 0xff], &[2, 0, 0, 0, b'a'], &[1, 0, 0, 0, 65, 65]]
    {
        assert_eq!(fault(&frame(1, 1, text)), Some(Fault::Text), "{text:?}");
    }
    let longer = [&[TEXT_BYTES as u8 + 1, 0, 0, 0][..], &[b'a'; TEXT_BYTES + 1]].concat();
    assert_eq!(fault(&frame(1, 1, &longer)), Some(Fault::Text));
    assert_eq!(read(b"feed\0\0\0\x02", |_| 8), Err(Fault::Magic(*b"feed\0\0\0\x02")));
}

#[test]
fn there_is_a_limit_to_sensors_and_texts() {
    let (mut encoder, mut bytes) = described();
    for number in 1..SENSORS_MAX {
        let name = number.to_string();
        assert_eq!(encoder.sensor(&Sensor { name: &name, ..SENSOR }, &mut bytes), Ok(number));
    }
    let length = bytes.len();
    assert_eq!(encoder.sensor(&SENSOR, &mut bytes), Err(Fault::Sensors));
    assert_eq!(bytes.len(), length);
    let (_, said) = read(&bytes, |_| usize::MAX / 2).expect("no fault");
    assert_eq!(said.len(), SENSORS_MAX);
    let last = (SENSORS_MAX as u16).to_le_bytes();
    bytes.extend([1, 0, last[0], last[1], 5, 0, 0, 0, 1, 0, 0, 0, b'a']);
    assert_eq!(read(&bytes, |_| usize::MAX / 2), Err(Fault::Sensors));
    let (mut encoder, mut bytes) = described();
    for sensor in [Sensor { name: "", ..SENSOR }, Sensor { unit: "\u{1b}", ..SENSOR }] {
        assert_eq!(encoder.sensor(&sensor, &mut bytes), Err(Fault::Text));
    }
}

proptest! {
    /// Damage anywhere is found, or says something else; nothing panics, and all that is said can be said.
    #[test]
    fn any_damage_is_survived(at in 0usize..3000, byte in any::<u8>(), step in 1usize..100) {
        let (mut encoder, mut bytes) = described();
        encoder.readings_of(0, &readings(100), &mut bytes);
        encoder.gap(&Gap { sensor: Some(0), readings: 7, reason: Reason::NotKept }, &mut bytes);
        encoder.readings_of(0, &readings(20), &mut bytes);
        encoder.end(&mut bytes);
        let at = at % bytes.len();
        bytes[at] = byte;
        let (whole, parts) = (read(&bytes, |_| usize::MAX / 2), read(&bytes, |_| step));
        // Bytes of a number that is none differ from themselves.
        prop_assert_eq!(std::format!("{whole:?}"), std::format!("{parts:?}"));
    }

    /// Bytes that nobody meant to be a feed.
    #[test]
    fn any_bytes_are_survived(rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&rest, |_| usize::MAX / 2);
        let _ = fault(&rest);
    }
}
