//! Tests of summaries: they are read back by the reader of packs and by `serde_json`.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;
use readings::{Item, Reading, Statistics, senml};

use super::write;
use crate::backlog::Summary;
use crate::window::{Sensors, Times, Window};

/// The summary of a window with these values.
fn summary(unit: &str, values: &[f64]) -> String {
    let mut sensors = Sensors::new(Times { window_s: 3600, grace_s: 0, ahead_s: 0 }, 1);
    let first = Reading { name: "weather:EWR:temperature", unit, time: 0.0, dated: true, value: values[0] };
    sensors.take(&first, 0.0, &mut |_| {});
    let mut statistics = Statistics::of(values[0]);
    values[1..].iter().for_each(|value| statistics.push(*value));
    let window = Window { sensor: 0, start_s: 1_360_195_200, statistics };
    let summary = Summary { number: 3, run: 4_000_000_000, sequence: 17, window };
    let mut text = String::new();
    write(3600, &sensors.all()[0], &summary, &mut text);
    text
}

#[test]
fn a_summary_is_a_pack() {
    assert_eq!(
        summary("Cel", &[1.0, 2.0]),
        concat!(
            r#"[{"bn":"weather:EWR:temperature/","bt":1360195200,"n":"window","u":"s","v":3600},"#,
            r#"{"n":"run","v":4000000000},{"n":"sequence","v":17},{"n":"count","u":"count","v":2},"#,
            r#"{"n":"minimum","u":"Cel","v":1.0},{"n":"maximum","u":"Cel","v":2.0},"#,
            r#"{"n":"mean","u":"Cel","v":1.5},{"n":"variance","v":0.25}]"#
        )
    );
}

proptest! {
    #[test]
    fn a_summary_reads_back(unit in "\\PC{0,4}|[\\x00-\\x7f]{0,16}", values in prop::collection::vec(-1e9..1e9f64, 1..5)) {
        let text = summary(&unit, &values);
        let mut read: Vec<(Box<str>, String, f64, f64)> = Vec::new();
        let result = senml::read(text.as_bytes(), 0.0, &mut |item| match item {
            Item::Reading(reading) => read.push((reading.name.into(), reading.unit.to_string(), reading.time, reading.value)),
            other => panic!("{other:?}"),
        });
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(read.len(), 8);
        let mut statistics = Statistics::of(values[0]);
        values[1..].iter().for_each(|value| statistics.push(*value));
        for (name, unit, value) in [
            ("window", "s", 3600.0),
            ("run", "", 4e9),
            ("sequence", "", 17.0),
            ("count", "count", values.len() as f64),
            ("minimum", &*unit, statistics.minimum()),
            ("maximum", &*unit, statistics.maximum()),
            ("mean", &*unit, statistics.mean()),
            ("variance", "", statistics.variance()),
        ] {
            let name = String::from("weather:EWR:temperature/") + name;
            let found = read.iter().find(|(found, ..)| **found == *name);
            prop_assert_eq!(found, Some(&(name.into(), unit.to_string(), 1_360_195_200.0, value)));
        }
        prop_assert!(serde_json::from_str::<Vec<serde_json::Value>>(&text).is_ok());
    }
}
