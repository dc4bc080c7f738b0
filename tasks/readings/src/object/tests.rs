//! Tests of JSON objects, with what real devices send.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;
use serde_json::Value;

use super::{Device, read};
use crate::{Item, Unreadable};

const NOW: f64 = 1_700_000_000.0;

/// Readings as (name, value, time when it is given), how many others there were, and how many malformed.
type Found = (Vec<(String, f64, Option<f64>)>, usize, usize);

fn found(text: &[u8], device: Device<'_>) -> (Found, Result<(), Unreadable>) {
    let (mut readings, mut others, mut malformed) = (Vec::new(), 0, 0);
    let result = read(text, device, NOW, &mut |item| match item {
        Item::Reading(reading) => {
            assert_eq!(reading.unit, device.unit);
            assert!(reading.dated || reading.time == NOW);
            readings.push((reading.name.to_string(), reading.value, reading.dated.then_some(reading.time)));
        }
        Item::Other => others += 1,
        Item::Malformed => malformed += 1,
    });
    ((readings, others, malformed), result)
}

fn device<'a>(name: &'a str, time_key: Option<&'a str>) -> Device<'a> {
    Device { name, unit: "", time_key }
}

#[test]
fn zigbee2mqtt_gives_a_reading_for_each_number() {
    let text = r#"{"battery":100,"humidity":45.07,"last_seen":"2024-01-15T10:30:00+01:00","linkquality":87,
        "pressure":1012.3,"temperature":21.53,"state":"ON","occupancy":false,
        "update":{"installed_version":-1,"state":"idle"},
        "voltage":null,"color":[1,2]}"#;
    let ((readings, others, malformed), result) = found(text.as_bytes(), device("kitchen", Some("last_seen")));
    let time = Some(1_705_311_000.0);
    let expected = [
        ("battery", 100.0),
        ("humidity", 45.07),
        ("linkquality", 87.0),
        ("pressure", 1012.3),
        ("temperature", 21.53),
        ("update/installed_version", -1.0),
    ];
    let expected: Vec<_> = expected.iter().map(|(key, value)| (format!("kitchen/{key}"), *value, time)).collect();
    assert_eq!((readings, others, malformed, result), (expected, 5, 0, Ok(())));
}

#[test]
fn tasmota_nests_one_object_in_another() {
    let text = br#"{"Time":"2024-01-15T10:30:00","DS18B20":{"Id":"01","Temperature":20.6},"TempUnit":"C"}"#;
    let ((readings, others, malformed), result) = found(text, device("", None));
    assert_eq!(readings, [("DS18B20/Temperature".to_string(), 20.6, None)]);
    assert_eq!((others, malformed, result), (3, 0, Ok(())));
}

#[test]
fn a_time_may_be_a_number_a_text_or_missing() {
    let time = |value: &str| {
        let text = format!(r#"{{"v":1,"at":{value}}}"#);
        let ((readings, ..), result) = found(text.as_bytes(), device("a", Some("at")));
        result.map(|()| readings[0].2)
    };
    for (value, seconds) in [
        ("1705311000", Some(1_705_311_000.0)),
        ("1705311000500", Some(1_705_311_000.5)),
        (r#""1705311000500000""#, Some(1_705_311_000.5)),
        (r#""2024-01-15T09:30:00Z""#, Some(1_705_311_000.0)),
        ("null", None),
    ] {
        assert_eq!(time(value), Ok(seconds), "{value}");
    }
    assert_eq!(found(br#"{"v":1}"#, device("a", Some("at"))).0.0, [("a/v".to_string(), 1.0, None)]);
    // Local time could be any of a day's: nobody can say when the readings were taken.
    for wrong in [r#""2024-01-15T09:30:00""#, r#""now""#, "true", "{}", "1e999"] {
        assert_eq!(time(wrong), Err(Unreadable), "{wrong}");
    }
}

#[test]
fn keys_become_names_or_cost_their_value() {
    let long = "k".repeat(200);
    let text = format!(r#"{{"a b":1,"{long}":2,"caf\u00e9":3,"":4}}"#);
    let ((readings, _, malformed), result) = found(text.as_bytes(), device("d", None));
    let expected = [("d/a_20b", 1.0), ("d/caf_c3_a9", 3.0), ("d/", 4.0)];
    assert_eq!(readings, expected.map(|(name, value)| (name.to_string(), value, None)));
    assert_eq!((malformed, result), (1, Ok(())));
    // Without a device's name, a key that is none.
    assert_eq!(found(br#"{":a":1,"b":1}"#, device("", None)).0, (Vec::from([("b".to_string(), 1.0, None)]), 0, 1));
}

#[test]
fn what_is_no_object_is_unreadable() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(9), "}".repeat(9));
    for text in ["", "5", "[]", "[{\"a\":1}]", "{\"a\":1", "{\"a\":1}x", "{\"a\":nan}", "{a:1}", &deep] {
        assert_eq!(found(text.as_bytes(), device("d", None)).1, Err(Unreadable), "{text}");
    }
    assert_eq!(found(b"{\"a\":\"\xff\"}", device("d", None)).1, Err(Unreadable));
}

/// Numbers, others and malformed of a tree.
fn model(value: &Value, name: &str, found: &mut Found) {
    for (key, value) in value.as_object().unwrap() {
        let name = format!("{name}/{key}");
        match value {
            Value::Object(_) => model(value, &name, found),
            Value::Number(number) => found.0.push((name, number.as_f64().unwrap(), None)),
            _ => found.1 += 1,
        }
    }
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::collection::vec(any::<i32>(), 0..3).prop_map(Value::from),
    ];
    let object = |value| prop::collection::btree_map("[a-z]{1,8}", value, 0..5);
    let inner = leaf.prop_recursive(5, 40, 5, move |inner| object(inner).prop_map(|map| map.into_iter().collect()));
    prop::collection::btree_map("[a-z]{1,8}", inner, 0..5).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn agrees_with_a_walk_through_a_tree(tree in tree()) {
        let mut expected = (Vec::new(), 0, 0);
        model(&tree, "d", &mut expected);
        prop_assert_eq!(found(tree.to_string().as_bytes(), device("d", None)), (expected, Ok(())));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = found(&bytes, device("d", Some("a")));
    }
}
