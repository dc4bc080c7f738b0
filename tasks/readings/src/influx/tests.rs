//! Tests of the line protocol, most with the examples of its documentation.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{measurement_and_tags, read, sensor_name};
use crate::Item;
use crate::time::Precision;

const NOW: f64 = 1_700_000_000.0;

#[derive(Debug, PartialEq)]
enum Owned {
    Reading(String, f64, Option<f64>),
    Other,
    Malformed,
}

fn items(text: &[u8]) -> Vec<Owned> {
    let mut items = Vec::new();
    read(text, "Cel", Precision::Nanoseconds, NOW, &mut |item| {
        items.push(match item {
            Item::Reading(reading) => {
                assert_eq!(reading.unit, "Cel");
                assert!(reading.dated || reading.time == NOW);
                // Nanoseconds since 1970 have more digits than `f64`.
                let time = (reading.time * 1e6).round() / 1e6;
                Owned::Reading(reading.name.to_string(), reading.value, reading.dated.then_some(time))
            }
            Item::Other => Owned::Other,
            Item::Malformed => Owned::Malformed,
        });
    });
    items
}

fn reading(name: &str, value: f64) -> Owned {
    Owned::Reading(name.to_string(), value, Some(1_556_813_561.098))
}

#[test]
fn a_measurement_may_have_an_equals_sign_and_is_no_tag() {
    assert_eq!(items(b"m=1,t=x f=1 1556813561098000000\n"), [reading("m_3d1/t:x/f", 1.0)]);
}

#[test]
fn a_line_gives_a_reading_for_each_number() {
    let text = concat!(
        "myMeasurement,tag1=value1,tag2=value2 ",
        "fieldKey=\"fieldValue\",n=-1.5e1,w=12485903i,u=7u,t=t 1556813561098000000"
    );
    let name = |field: &str| format!("myMeasurement/tag1:value1/tag2:value2/{field}");
    assert_eq!(
        items(text.as_bytes()),
        [
            Owned::Other,
            reading(&name("n"), -15.0),
            reading(&name("w"), 12_485_903.0),
            reading(&name("u"), 7.0),
            Owned::Other
        ]
    );
}

#[test]
fn lines_may_be_many_have_no_time_and_be_comments() {
    let text = b"# what a collector sends\na v=1\r\n\n  b  v=2  1556813561098000000  \n# end\nc v=3 -1000000000\n";
    let undated = |name: &str, value| Owned::Reading(name.to_string(), value, None);
    assert_eq!(
        items(text),
        [undated("a/v", 1.0), reading("b/v", 2.0), Owned::Reading("c/v".to_string(), 3.0, Some(-1.0))]
    );
}

#[test]
fn escapes_and_quotes_hold_what_would_have_a_meaning() {
    let text = concat!(
        "my\\ Measurement\\,x,tag\\ Key=a\\=b ",
        "my\\,Field=1,text=\"a b,c=d \\\" \n # no line end\" 1556813561098000000\nb v=2"
    );
    assert_eq!(
        items(text.as_bytes()),
        [
            reading("my_20Measurement_2cx/tag_20Key:a_3db/my_2cField", 1.0),
            Owned::Other,
            Owned::Reading("b/v".to_string(), 2.0, None)
        ]
    );
    // A backslash before anything else is a letter.
    assert_eq!(items(b"a\\b v=1"), [Owned::Reading("a_5cb/v".to_string(), 1.0, None)]);
    // Quotes have a meaning in fields only.
    assert_eq!(items(b"a\",b=\"c v=1"), [Owned::Reading("a_22/b:_22c/v".to_string(), 1.0, None)]);
}

#[test]
fn a_bad_line_costs_itself() {
    for bad in [
        "a",
        "a ",
        ",b=c v=1",
        "a v",
        "a =1",
        "a v=",
        "a v=1,",
        "a v=x",
        "a v=1i5",
        "a v=1.5i",
        "a v=1 now",
        "a v=1 1.5",
        "a v=1 1 1",
        "a v=1e999",
        "- v=1",
        &format!("{} v=1", "a".repeat(129)),
    ] {
        let text = format!("{bad}\nb v=2");
        assert_eq!(items(text.as_bytes()), [Owned::Malformed, Owned::Reading("b/v".to_string(), 2.0, None)], "{bad}");
    }
}

#[test]
fn times_are_in_the_precision_that_was_agreed() {
    for (precision, time) in [("s", "1556813561"), ("ms", "1556813561000"), ("us", "1556813561000000")] {
        let mut times = Vec::new();
        read(format!("a v=1 {time}").as_bytes(), "", Precision::of(precision).unwrap(), NOW, &mut |item| {
            if let Item::Reading(reading) = item {
                times.push(reading.time);
            }
        });
        assert_eq!(times, [1_556_813_561.0]);
    }
}

/// A text as the protocol escapes it in a tag.
fn escape(text: &str) -> String {
    text.chars().flat_map(|c| if ", =".contains(c) { Vec::from(['\\', c]) } else { Vec::from([c]) }).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        tags in prop::collection::vec(("[a-z ,=]{1,5}", "[a-z ,=]{1,5}"), 0..4),
        values in prop::collection::vec(-1e9..1e9f64, 1..5),
        time in 0..2_000_000_000u32,
    ) {
        let tag = |(key, value): &(String, String)| format!(",{}={}", escape(key), escape(value));
        let series: String = tags.iter().map(tag).collect();
        let fields: Vec<_> = values.iter().enumerate().map(|(number, value)| format!("f{number}={value}")).collect();
        let found = items(format!("m{series} {} {time}000000000\n", fields.join(",")).as_bytes());
        let mut name = String::from("m");
        for (key, value) in &tags {
            let part = |text: &str| text.replace(' ', "_20").replace(',', "_2c").replace('=', "_3d");
            name += &format!("/{}:{}", part(key), part(value));
        }
        let expected = values.iter().enumerate().map(|(number, value)| {
            let name = format!("{name}/f{number}");
            let fits = name.len() <= 128;
            if fits { Owned::Reading(name, *value, Some(time.into())) } else { Owned::Malformed }
        });
        prop_assert_eq!(found, expected.collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = items(&bytes);
    }

    #[test]
    fn any_letters_with_a_meaning_are_survived(text in "[a,= \\\\\"\n#1i]{0,60}") {
        let _ = items(text.as_bytes());
    }
}

#[test]
fn a_series_in_an_answer_has_the_name_that_its_line_gave_it() {
    let series = r"we\ ird\,x,place=north\ side,tag=a\=b\,c";
    let line = format!("{series} f\\ 1=1");
    let name = sensor_name(series.as_bytes(), "f 1").expect("a name");
    assert_eq!(name, "we_20ird_2cx/place:north_20side/tag:a_3db_2cc/f_201");
    assert_eq!(items(line.as_bytes()), [Owned::Reading(name, 1.0, None)]);
    let (measurement, tags) = measurement_and_tags(series.as_bytes());
    let tags: Vec<_> = tags.iter().map(|(tag, value)| (tag.as_str(), value.as_str())).collect();
    assert_eq!((measurement.as_str(), &tags[..]), ("we ird,x", &[("place", "north side"), ("tag", "a=b,c")][..]));
    assert_eq!(sensor_name(b"-a", "b"), None);
}
