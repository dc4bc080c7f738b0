//! Tests of filters, templates, and which messages they take.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use readings::Item;

use super::{Route, Routes, Taken, fits, overlap, takes_in};

fn routes(filters: &[&str], end: Option<&str>) -> Routes {
    let routes = filters.iter().map(|filter| Route::parse(filter).unwrap()).collect();
    Routes::new(routes, end, vec!["summaries".to_string()])
}

/// The readings of a message as (name, unit, value); `None` where it cannot be read.
fn read(route: &str, topic: &str, payload: &str) -> Option<Vec<(String, String, f64)>> {
    let mut readings = Vec::new();
    let result = Route::parse(route).unwrap().read(topic, payload.as_bytes(), 5.0, &mut |item| {
        if let Item::Reading(reading) = item {
            readings.push((reading.name.to_string(), reading.unit.to_string(), reading.value));
        }
    });
    result.is_ok().then_some(readings)
}

fn one(name: &str, unit: &str, value: f64) -> Option<Vec<(String, String, f64)>> {
    Some(vec![(name.to_string(), unit.to_string(), value)])
}

#[test]
fn wildcards_stand_for_what_the_standard_says() {
    for (pattern, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/x", true),
        ("sport/tennis/player1/#", "sport/tennis/player10", false),
        ("#", "a/b", true),
        ("#", "$SYS/a", false),
        ("+/a", "$SYS/a", false),
        ("$SYS/#", "$SYS/a", true),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("+", "/finance", false),
        ("a/+/c", "a/b/c", true),
        ("a/+/c", "a/b/c/d", false),
    ] {
        assert_eq!(fits(pattern, topic), expected, "{pattern} {topic}");
    }
}

#[test]
fn wrong_filters_are_refused_by_name() {
    for filter in ["", "sensors/#/t", "sensors+", "a#", "a/+b/c", "$share/g", "$share/g/", "a\0b", &"x".repeat(257)] {
        assert!(Route::parse(filter).is_err(), "{filter}");
    }
    for filter in ["#", "+", "/", "a/+/#", "$share/g/a/#", "$SYS/#", "a:b/c", "sensors/{name}"] {
        assert!(Route::parse(filter).is_ok(), "{filter}");
    }
}

#[test]
fn wrong_templates_are_refused_by_name() {
    for template in [
        "json:a/x{name}",
        "json:a/{place}",
        "json:a?unit",
        "json:a?colour=red",
        "json:a?precision=s",
        "number:a?time=t",
        "influx:a?precision=min",
        "number:a?unit=12345678901234567",
        "senml:a/{name}",
        "senml:a?unit=Cel",
        "json:a#",
        "json:",
    ] {
        assert!(Route::parse(template).is_err(), "{template}");
    }
    assert_eq!(Route::parse("number:a?unit=12345678901234567").unwrap_err(), "a unit has 16 bytes at most");
}

#[test]
fn filters_that_another_takes_in_are_not_subscribed_to() {
    let filters = |filters: &[&str], end| routes(filters, end).filters().to_vec();
    assert_eq!(filters(&["sensors/#", "sensors/+"], Some("sensors/end")), ["sensors/#"]);
    assert_eq!(filters(&["sensors/+", "json:sensors/#"], Some("end")), ["sensors/#", "end"]);
    assert_eq!(filters(&["a", "number:a", "a"], None), ["a"]);
    assert_eq!(filters(&["a/+/c", "a/b/+"], None), ["a/+/c", "a/b/+"]);
    assert_eq!(filters(&["#", "$SYS/#", "$share/g/a"], None), ["#", "$SYS/#", "$share/g/a"]);
    for (wider, filter) in [("+/+", "a/+"), ("a/#", "a"), ("a/#", "a/#"), ("a/#", "a/+/#"), ("$SYS/#", "$SYS/a")] {
        assert!(takes_in(wider, filter), "{wider} {filter}");
    }
    for (wider, filter) in [("+", "#"), ("a/+", "a/#"), ("a/+", "a"), ("a", "+"), ("#", "$SYS/#"), ("a", "a/b")] {
        assert!(!takes_in(wider, filter), "{wider} {filter}");
    }
}

#[test]
fn overlapping_subscriptions_are_found() {
    assert_eq!(routes(&["a/+/c", "x", "a/b/+"], None).overlap(), Some(("a/+/c", "a/b/+")));
    assert_eq!(routes(&["a/+/c", "x", "a/b/d"], None).overlap(), None);
    for (one, other, expected) in [("a/#", "+/b", true), ("a", "a/#", true), ("a/+", "+", false), ("+/+", "a/b", true)]
    {
        assert_eq!((overlap(one, other), overlap(other, one)), (expected, expected), "{one} {other}");
    }
}

#[test]
fn a_message_that_fits_two_subscriptions_counts_with_the_first() {
    let routes = routes(&["a/+/c", "a/b/+"], None);
    let is_taken = |topic, subscriptions| matches!(routes.find(topic, subscriptions), Taken::By(_));
    // Delivered twice, or once for both, or by a broker that does not say.
    assert!(is_taken("a/b/c", 0b01) && !is_taken("a/b/c", 0b10));
    assert!(is_taken("a/b/c", 0b11) && is_taken("a/b/c", 0));
    assert!(is_taken("a/b/d", 0b10));
    assert!(matches!(routes.find("b", 0b1), Taken::Unasked));
}

#[test]
fn wildcards_do_not_reach_summaries_and_names_do() {
    let all = routes(&["#"], None);
    assert!(matches!(all.find("summaries/a", 1), Taken::Own));
    assert!(matches!(all.find("summaries", 1), Taken::Own));
    assert!(matches!(all.find("summaries2/a", 1), Taken::By(_)));
    assert_eq!(all.naming_own(), None);
    let named = routes(&["#", "summaries/north/#"], None);
    assert!(matches!(named.find("summaries/north/a", 1), Taken::By(_)));
    assert_eq!(named.naming_own(), Some("summaries/north/#"));
    assert_eq!(routes(&["+/a"], None).naming_own(), None);
}

#[test]
fn the_topic_gives_what_the_payload_does_not_say() {
    let number = |route, topic| read(route, topic, "21.5");
    assert_eq!(
        number("number:home/{name}/{kind}?unit=Cel", "home/hall/temperature"),
        one("hall/temperature", "Cel", 21.5)
    );
    assert_eq!(number("number:{unit}/x/{kind}/{name}", "Cel/x/t/hall"), one("hall/t", "Cel", 21.5));
    assert_eq!(number("number:+/x/#", "a/x/b/c"), one("a/b/c", "", 21.5));
    assert_eq!(number("number:a/b?kind=t", "a/b"), one("a/b/t", "", 21.5));
    assert_eq!(number("number:a/+?name=boiler&unit=K", "a/b"), one("boiler", "K", 21.5));
    assert_eq!(number("number:+", "Living room"), one("Living_20room", "", 21.5));
    assert_eq!(number("number:{name}/{unit}", "a/a-unit-that-is-too-long"), None);
    assert_eq!(number("number:+", "/"), None);
    assert_eq!(read("number:+", "a", "on"), None);
    // A unit has 16 bytes at most.
    assert_eq!(read("number:{name}/{unit}", "a/0123456789abcdef", "1"), one("a", "0123456789abcdef", 1.0));
    assert_eq!(read("number:{name}/{unit}", "a/0123456789abcdefg", "1"), None);
    // Its kind is not also a part of its name.
    assert_eq!(read("number:+/{kind}", "a/x", "1"), one("a/x", "", 1.0));
}

#[test]
fn zigbee2mqtt_tasmota_and_telegraf_are_read() {
    let payload = r#"{"temperature":21.5,"state":"ON"}"#;
    assert_eq!(read("json:zigbee2mqtt/{name}", "zigbee2mqtt/kitchen", payload), one("kitchen/temperature", "", 21.5));
    assert_eq!(
        read("json:zigbee2mqtt/#", "zigbee2mqtt/kitchen/lamp", payload),
        one("kitchen/lamp/temperature", "", 21.5)
    );
    assert_eq!(read("json:tele/+/SENSOR", "tele/plug/SENSOR", payload), one("plug/temperature", "", 21.5));
    let line = "cpu,host=box usage=1.5 1700000000000";
    assert_eq!(read("influx:telegraf/#?precision=ms", "telegraf/box/cpu", line), one("cpu/host:box/usage", "", 1.5));
    let pack = r#"[{"n":"a","u":"Cel","v":1}]"#;
    assert_eq!(read("senml:sensors/#", "sensors/x", pack), one("a", "Cel", 1.0));
    assert_eq!(read("sensors/#", "sensors/x", pack), one("a", "Cel", 1.0));
}
