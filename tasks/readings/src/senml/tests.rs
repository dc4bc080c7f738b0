//! Tests of SenML packs: the rules of RFC 8428 one by one, and random packs against a reader on top of `serde_json`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::read;
use crate::{Item, Reading, Unreadable};

const NOW: f64 = 1_700_000_000.0;

/// An [`Item`] that outlives its pack.
#[derive(Debug, Clone, PartialEq)]
enum Owned {
    Reading { name: String, unit: String, time: f64, dated: bool, value: f64 },
    Other,
    Malformed,
}

fn items(pack: &[u8]) -> (Vec<Owned>, Result<(), Unreadable>) {
    let mut items = Vec::new();
    let result = read(pack, NOW, &mut |item| {
        items.push(match item {
            Item::Reading(Reading { name, unit, time, dated, value }) => {
                Owned::Reading { name: name.to_string(), unit: unit.to_string(), time, dated, value }
            }
            Item::Other => Owned::Other,
            Item::Malformed => Owned::Malformed,
        });
    });
    (items, result)
}

/// The items of a pack that is read to its end.
fn whole(pack: &str) -> Vec<Owned> {
    let (items, result) = items(pack.as_bytes());
    assert_eq!(result, Ok(()), "{pack}");
    items
}

/// A pack that is given up after some items.
fn given_up(pack: &str) -> Vec<Owned> {
    let (items, result) = items(pack.as_bytes());
    assert_eq!(result, Err(Unreadable), "{pack}");
    items
}

fn reading(name: &str, unit: &str, time: f64, value: f64) -> Owned {
    Owned::Reading { name: name.to_string(), unit: unit.to_string(), time, dated: true, value }
}

#[test]
fn base_fields_hold_from_their_record_on() {
    let pack = r#"[{"bn":"urn:dev:ow:10e2073a01080063:","bt":1.320067464e+09,"bu":"%RH","v":20},
        {"u":"lon","v":24.30621},{"t":60,"v":20.5},{"bn":"b/","bv":100,"n":"x","v":-1.5},{"n":"y","t":-4,"v":0}]"#;
    let device = "urn:dev:ow:10e2073a01080063:";
    assert_eq!(
        whole(pack),
        [
            reading(device, "%RH", 1_320_067_464.0, 20.0),
            reading(device, "lon", 1_320_067_464.0, 24.30621),
            reading(device, "%RH", 1_320_067_524.0, 20.5),
            reading("b/x", "%RH", 1_320_067_464.0, 98.5),
            reading("b/y", "%RH", 1_320_067_460.0, 100.0),
        ]
    );
}

#[test]
fn base_fields_hold_for_their_own_record_wherever_they_stand() {
    assert_eq!(whole(r#"[{"v":1,"n":"x","bt":1e9,"bn":"a:","bu":"Cel"}]"#), [reading("a:x", "Cel", 1e9, 1.0)]);
}

#[test]
fn small_times_are_relative_to_now() {
    let times = |pack: &str| -> Vec<(f64, bool)> {
        let times = whole(pack).into_iter().map(|item| match item {
            Owned::Reading { time, dated, .. } => (time, dated),
            other => panic!("{other:?}"),
        });
        times.collect()
    };
    assert_eq!(
        times(
            r#"[{"n":"a","v":1},{"n":"a","t":-5,"v":1},{"n":"a","t":268435455,"v":1},{"n":"a","t":268435456,"v":1}]"#
        ),
        [(NOW, false), (NOW - 5.0, false), (NOW + 268_435_455.0, false), (268_435_456.0, true)]
    );
    assert_eq!(times(r#"[{"bt":-60,"n":"a","t":10,"v":1}]"#), [(NOW - 50.0, false)]);
}

#[test]
fn what_is_no_number_is_other() {
    let pack = r#"[{"n":"a","vs":"text"},{"n":"a","vb":true},{"n":"a","vd":"aGk"},{"bn":"base"}]"#;
    assert_eq!(whole(pack), [Owned::Other, Owned::Other, Owned::Other]);
}

#[test]
fn a_sum_is_a_series_of_its_own() {
    let sum = |value| reading("a/sum", "W.s", 1e9, value);
    assert_eq!(
        whole(r#"[{"n":"a","u":"W","bs":7,"s":5,"ut":60,"bt":1e9,"v":2},{"n":"a","u":"W","s":6},{"n":"b","s":1}]"#),
        [reading("a", "W", 1e9, 2.0), sum(12.0), sum(13.0), reading("b/sum", "", 1e9, 8.0)]
    );
    // Neither of its names may be too long.
    let name = "a".repeat(125);
    assert_eq!(
        whole(&format!(r#"[{{"n":"{name}","t":1e9,"v":1,"s":2}}]"#)),
        [reading(&name, "", 1e9, 1.0), Owned::Malformed]
    );
}

#[test]
fn a_bad_record_costs_itself_alone() {
    for bad in [
        r#"{"n":"a","v":"12"}"#,
        r#"{"n":"a","v":null}"#,
        r#"{"n":"a","v":[1]}"#,
        r#"{"n":"a","v":1e999}"#,
        r#"{"n":"a","v":1,"vs":"1"}"#,
        r#"{"n":"a","v":1,"v":2}"#,
        r#"{"n":"a","v":1,"t":"now"}"#,
        r#"{"n":"a","v":1,"s":"much"}"#,
        r#"{"n":5,"v":1}"#,
        r#"{"n":"a","u":5,"v":1}"#,
        r#"{"n":"a b","v":1}"#,
        r#"{"n":":a","v":1}"#,
        r#"{"n":"a/+/#","v":1}"#,
        r#"{"v":1}"#,
        r#"{"n":"caf\u00e9","v":1}"#,
        &format!(r#"{{"n":"{}","v":1}}"#, "a".repeat(129)),
        &format!(r#"{{"n":"a","u":"{}","v":1}}"#, "u".repeat(17)),
    ] {
        let pack = format!(r#"[{bad},{{"n":"b","t":1e9,"v":1}}]"#);
        assert_eq!(whole(&pack), [Owned::Malformed, reading("b", "", 1e9, 1.0)], "{bad}");
    }
}

#[test]
fn escapes_are_understood() {
    let pack = r#"[{"\u0062n":"a\/","n":"\u0078","t":1e9,"u":"\"\\\ud83d\ude00","v":1,"x\n":"\t"}]"#;
    assert_eq!(whole(pack), [reading("a/x", "\"\\\u{1f600}", 1e9, 1.0)]);
}

#[test]
fn unknown_fields_are_skipped_whatever_they_hold() {
    let long = "x".repeat(2000);
    let pack = format!(
        r#"[{{"extra":{{"deep":[1,{{"n":"no","v":9}},"]}}",null,true,-0.5e-3]}},"n":"a","l":"{long}","vs\n":"{long}\n","t":1e9,"v":1}}]"#
    );
    assert_eq!(whole(&pack), [reading("a", "", 1e9, 1.0)]);
}

#[test]
fn values_that_are_not_numbers_may_be_long() {
    assert_eq!(whole(&format!(r#"[{{"n":"a","vs":"{}"}}]"#, "\\n".repeat(5000))), [Owned::Other]);
}

#[test]
fn a_pack_is_given_up_when_the_rest_cannot_be_trusted() {
    let first = reading("a", "", 1e9, 1.0);
    for rest in [
        r#",{"bn":7,"n":"b","v":1}]"#,
        r#",{"bt":"x","n":"b","v":1}]"#,
        r#",{"bs":null,"n":"b","v":1}]"#,
        r#",{"bver":11,"n":"b","v":1}]"#,
        r#",{"n":"b","must_":1,"v":1}]"#,
        r#",{"n":"b","v":01}]"#,
        r#",{"n":"b","v":+1}]"#,
        r#",{"n":"b","v":nan}]"#,
        r#",{"n":"b","v":1,}]"#,
        r#",{"n":"b" "v":1}]"#,
        r#",{"n":"b","x":[[[[[[[[[1]]]]]]]]],"v":1}]"#,
        r#",]"#,
        r#",5]"#,
        r#"] x"#,
        "",
    ] {
        assert_eq!(given_up(&format!(r#"[{{"n":"a","t":1e9,"v":1}}{rest}"#)), core::slice::from_ref(&first), "{rest}");
    }
}

#[test]
fn versions_with_known_features_are_read() {
    for version in [5, 10, 26] {
        assert_eq!(whole(&format!(r#"[{{"bver":{version},"n":"a","t":1e9,"v":1}}]"#)), [reading("a", "", 1e9, 1.0)]);
    }
}

#[test]
fn what_is_no_pack_is_given_up() {
    for pack in ["", "{}", "5", "nonsense", r#"{"n":"a","v":1}"#, "[", "[[", "\u{feff}[]"] {
        assert_eq!(given_up(pack), []);
    }
    assert_eq!(items(b"[{\"n\":\"a\",\"v\":1,\"x\":\"\xff\"}]"), (Vec::new(), Err(Unreadable)));
    assert_eq!(whole("[]"), []);
    assert_eq!(whole(" [ { } ] "), []);
}

/// The same rules on a parsed tree, for packs that are JSON arrays of objects with at most one field of a name.
fn model(pack: &[Map<String, Value>]) -> (Vec<Owned>, Result<(), Unreadable>) {
    let (mut bn, mut bu, mut bt, mut bv, mut bs) = (String::new(), String::new(), 0.0, 0.0, 0.0);
    let mut items = Vec::new();
    for record in pack {
        for (key, base) in [("bn", &mut bn), ("bu", &mut bu)] {
            match record.get(key).map(Value::as_str) {
                None => {}
                Some(Some(text)) if text.len() <= if key == "bn" { 128 } else { 16 } => *base = text.to_string(),
                Some(_) => return (items, Err(Unreadable)),
            }
        }
        for (key, base) in [("bt", &mut bt), ("bv", &mut bv), ("bs", &mut bs)] {
            match record.get(key).map(Value::as_f64) {
                None => {}
                Some(Some(number)) => *base = number,
                Some(None) => return (items, Err(Unreadable)),
            }
        }
        if record.keys().any(|key| key.ends_with('_')) {
            return (items, Err(Unreadable));
        }
        let values = ["v", "vs", "vb", "vd"].iter().filter(|key| record.contains_key(**key)).count();
        let wrong = ["n", "u"].iter().any(|key| record.get(*key).is_some_and(|value| !value.is_string()))
            || ["v", "t", "s"].iter().any(|key| record.get(*key).is_some_and(|value| !value.is_number()));
        let long = record.get("u").and_then(Value::as_str).is_some_and(|unit| unit.len() > 16);
        let wrong = wrong || long;
        if values == 0 && !record.contains_key("s") && !wrong {
            continue;
        }
        let name = bn.clone() + record.get("n").and_then(Value::as_str).unwrap_or("");
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-:./_".contains(c);
        let named = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric()) && name.chars().all(allowed);
        if wrong || values > 1 || !named || name.len() > 128 {
            items.push(Owned::Malformed);
            continue;
        }
        let time = bt + record.get("t").and_then(Value::as_f64).unwrap_or(0.0);
        let dated = time >= 268_435_456.0;
        let time = if dated { time } else { NOW + time };
        let unit = record.get("u").and_then(Value::as_str).unwrap_or(&bu).to_string();
        let number = |key: &str| record.get(key).and_then(Value::as_f64);
        match number("v") {
            Some(value) => {
                let (name, unit) = (name.clone(), unit.clone());
                items.push(Owned::Reading { name, unit, time, dated, value: bv + value });
            }
            None if values > 0 => items.push(Owned::Other),
            None => {}
        }
        if let Some(sum) = number("s") {
            let (name, unit) = (name + "/sum", if unit.is_empty() { unit } else { unit + ".s" });
            let fits = name.len() <= 128 && unit.len() <= 16;
            let reading = Owned::Reading { name, unit, time, dated, value: bs + sum };
            items.push(if fits { reading } else { Owned::Malformed });
        }
    }
    (items, Ok(()))
}

/// Mostly what belongs in a field, sometimes anything.
fn or_anything(usual: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    let anything = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[ -~]{0,20}".prop_map(Value::from),
        Just(json!([1, {"a": [null]}, "x"])),
    ];
    prop_oneof![20 => usual, 1 => anything]
}

fn record() -> impl Strategy<Value = Map<String, Value>> {
    let name = || or_anything("[a-c]{0,2}[:/]?".prop_map(Value::from));
    let number = || or_anything((-1e6..1e6f64).prop_map(Value::from));
    let time = || or_anything(prop_oneof![-100f64..100.0, 1e9..2e9].prop_map(Value::from));
    let unit = || or_anything("(Cel|%RH|\\PC{0,3})".prop_map(Value::from));
    let fields = prop::collection::vec(
        prop_oneof![
            1 => name().prop_map(|value| ("bn", value)),
            6 => name().prop_map(|value| ("n", value)),
            1 => time().prop_map(|value| ("bt", value)),
            2 => time().prop_map(|value| ("t", value)),
            1 => unit().prop_map(|value| ("bu", value)),
            2 => unit().prop_map(|value| ("u", value)),
            1 => number().prop_map(|value| ("bv", value)),
            1 => number().prop_map(|value| ("bs", value)),
            8 => number().prop_map(|value| ("v", value)),
            1 => number().prop_map(|value| ("s", value)),
            1 => or_anything("\\PC{0,300}".prop_map(Value::from)).prop_map(|value| ("vs", value)),
            1 => or_anything(Just(Value::from(true))).prop_map(|value| ("unknown", value)),
        ],
        0..8,
    );
    fields.prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

proptest! {
    #[test]
    fn agrees_with_a_reader_of_trees(pack in prop::collection::vec(record(), 0..12), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&pack) } else { serde_json::to_string(&pack) }.unwrap();
        prop_assert_eq!(items(text.as_bytes()), model(&pack));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = items(&bytes);
    }

    #[test]
    fn a_damaged_pack_is_survived(
        pack in prop::collection::vec(record(), 1..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = serde_json::to_vec(&pack).unwrap();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = items(&bytes);
        let _ = items(&bytes[..cut.index(bytes.len())]);
        // What is no JSON is never taken as a whole pack. A number out of range is JSON.
        if let Err(error) = serde_json::from_slice::<Value>(&bytes)
            && !error.to_string().starts_with("number out of range")
        {
            prop_assert!(items(&bytes).1.is_err());
        }
    }
}
