//! Tasks whose contracts reach back behind what the broker holds, with a real InfluxDB.

use std::collections::BTreeMap;
use std::fmt::Write;

use broker::Parameters;
use kernel::feed::{Gap, Reason};
use qemu_tests::influxdb::{DATABASE, InfluxDb};
use qemu_tests::progress::Lines;
use qemu_tests::replay::Data;
use qemu_tests::setup::setup_host;

use crate::{Bench, Told, of, parameters};

/// Readings in the database, one a second, up to now.
const SECONDS: i64 = 5000;
/// So many of the last ones have come to the broker too.
const HELD: i64 = 700;

fn database(name: &str, login: Option<(&str, &str)>) -> InfluxDb {
    setup_host(&mut Lines).unwrap();
    InfluxDb::start(name, login).unwrap()
}

fn with_past(tasks: &[&str], port: u16) -> Parameters {
    Parameters {
        topics: vec!["influx:telegraf/#".to_owned()],
        past: Some(format!("http://127.0.0.1:{port}/{DATABASE}")),
        ..parameters(tasks)
    }
}

fn now_s() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// What a sensor has said, each value with its time.
fn said(told: &Told, name: &str) -> Vec<(i64, f64)> {
    let sensor =
        told.names.iter().position(|known| known == name).unwrap_or_else(|| panic!("{name}: {:?}", told.names));
    let readings = told.readings.iter().zip(&told.times_ns);
    readings.filter(|((of, _), _)| *of == sensor).map(|((_, value), time_ns)| (*time_ns, *value)).collect()
}

#[test]
fn a_span_of_the_past_comes_from_the_database_reading_for_reading() {
    let database = database("span", None);
    let (mut lines, mut expected) = (String::new(), BTreeMap::<_, Vec<_>>::new());
    for reading in Data::committed().readings() {
        let [_, station, quantity] = reading.sensor.split(':').collect::<Vec<_>>()[..] else { panic!("{reading:?}") };
        let (value, time_ns) = (reading.millionths as f64 / 1e6, reading.time_s * 1_000_000_000);
        writeln!(lines, "weather,station={station} {quantity}={value} {time_ns}").unwrap();
        expected.entry(format!("weather/station:{station}/{quantity}")).or_default().push((time_ns, value));
    }
    database.write(&lines).unwrap();
    let times = expected.values().flatten().map(|(time_ns, _)| time_ns / 1_000_000_000);
    let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
    let all = format!("1?name=weather/*&from_s={first}&until_s={}", last + 1);
    let some = format!("2?name=*/station:EWR/temp*&name=*/station:JFK/humidity&from_s={}&until_s={last}", first + 3600);
    let bench = Bench::new("span", with_past(&[&all, &some], database.port()));

    let told = bench.told(1, usize::MAX);
    assert_eq!((told.names.len(), told.gaps.len()), (expected.len(), 0));
    expected.iter().for_each(|(name, readings)| assert_eq!(&said(&told, name), readings, "{name}"));
    let told = bench.told(2, usize::MAX);
    assert_eq!(told.names, ["weather/station:EWR/temperature", "weather/station:JFK/humidity"]);
    for name in &told.names {
        let within = |(time_ns, _): &&(i64, f64)| (first + 3600..last).contains(&(time_ns / 1_000_000_000));
        assert_eq!(said(&told, name), expected[name].iter().filter(within).copied().collect::<Vec<_>>(), "{name}");
    }
    let report = bench.report();
    let readings = expected.values().map(Vec::len).sum::<usize>() as u64;
    assert_eq!((of(&report, 1).readings, of(&report, 1).fetched, report.readings), (readings, readings, 0));
}

#[test]
fn the_past_of_the_database_and_what_the_broker_holds_join_without_a_seam() {
    let database = database("seam", None);
    let now = now_s();
    let line = |name: &str, before_s: i64| {
        // Not a whole number of microseconds: times lose digits on the way, and must lose the same ones on both.
        format!("{name} value={} {}", SECONDS - before_s, (now - before_s) * 1_000_000_000 + 123_456_789)
    };
    let names = ["roof,side=north", "roof", "cellar"];
    for name in names {
        database.write(&(1..=SECONDS).rev().map(|before_s| line(name, before_s) + "\n").collect::<String>()).unwrap();
    }
    let tasks = ["1?name=*&past_s=4000", "2?name=roof/value&past_s=600", "3?name=roof/*&past_s=4000&rate=2000"];
    let bench = Bench::new("seam", with_past(&tasks, database.port()));
    for name in &names[..2] {
        bench.publish("telegraf/house", &(1..=HELD).rev().map(|before_s| line(name, before_s)).collect::<Vec<_>>());
    }
    let [one, other, cellar] = ["roof/side:north/value", "roof/value", "cellar/value"];
    for (task, past_s, sensors) in [(1, 4000, &[one, other, cellar][..]), (2, 600, &[other]), (3, 4000, &[one, other])]
    {
        let told = bench.told(task, usize::MAX);
        assert_eq!((told.names.len(), told.gaps.len()), (sensors.len(), 0), "{:?}", told.names);
        for name in sensors {
            let said = said(&told, name);
            let (first, last) = (said[0].1 as i64, said[said.len() - 1].1 as i64);
            assert!(last == SECONDS - 1 && first >= SECONDS - past_s, "{name}: {first} to {last}");
            assert!(said.is_sorted_by(|(_, one), (_, next)| one + 1.0 == *next), "{name}: {said:?}");
            let time_ns = |value: f64| (now - SECONDS + value as i64) * 1_000_000_000 + 123_457_000;
            assert!(said.iter().all(|(time, value)| *time == time_ns(*value)), "{name}: {said:?}");
        }
    }
    let report = bench.report();
    let fetched = |task, held: i64| of(&report, task).readings - of(&report, task).fetched == held as u64;
    assert!(fetched(1, 2 * HELD) && fetched(3, 2 * HELD), "{report:?}");
    assert_eq!(of(&report, 2).fetched, 0, "{report:?}");
}

#[test]
fn any_name_can_be_asked_for_and_none_does_anything_else() {
    let database = database("names", None);
    let now = now_s();
    let series = [
        r#"x";\ DROP\ DATABASE\ house;\ --"#,
        r#"a,t=x'\ OR\ ''\='"#,
        r#"a,t=x'\ OR\ ''\=',u="quoted""#,
        "a",
        r"w\,e\ i\=rd,pl\,ace=h\ \u{f6}f",
    ];
    let mut lines = String::new();
    for (number, series) in series.iter().enumerate() {
        writeln!(lines, r#"{series} f"'\ 1={number},text="a",yes=true {}"#, (now - 50) * 1_000_000_000).unwrap();
    }
    database.write(&lines).unwrap();
    let bench = Bench::new("names", with_past(&["1?name=*&past_s=3600", "2?name=a/*&past_s=3600"], database.port()));
    let told = bench.told(1, usize::MAX);
    assert_eq!((told.names.len(), told.gaps.len()), (series.len(), 0), "{:?}", told.names);
    let mut values: Vec<_> = told.readings.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(bench.told(2, usize::MAX).readings.len(), 3);
    bench.report();
}

#[test]
fn a_database_that_gives_nothing_is_a_gap_and_holds_up_nothing() {
    let database = database("login", Some(("ada", "secret")));
    database.write(&format!("a value=1 {}", (now_s() - 5) * 1_000_000_000)).unwrap();
    let user = |user: &str| Parameters {
        past_user: Some(user.to_owned()),
        past_password: Some("secret".to_owned()),
        ..with_past(&["1?name=*&past_s=60&live=yes"], database.port())
    };
    let nobody = with_past(&["1?name=*&past_s=60&live=yes"], 1);
    let none = Parameters { past: Some(format!("http://127.0.0.1:{}/none", database.port())), ..user("ada") };
    for (name, parameters, comes) in
        [("ada", user("ada"), true), ("eve", user("eve"), false), ("none", none, false), ("nobody", nobody, false)]
    {
        let bench = Bench::new(name, parameters);
        bench.publish("telegraf/house", &["b value=2"]);
        let told = bench.told(1, if comes { 2 } else { 1 });
        let gap = Gap { sensor: None, readings: 0, reason: Reason::NotFetched };
        assert_eq!(told.gaps, if comes { vec![] } else { vec![gap] }, "{name}");
        assert_eq!(told.readings.len(), if comes { 2 } else { 1 }, "{name}");
        bench.report();
    }
}
