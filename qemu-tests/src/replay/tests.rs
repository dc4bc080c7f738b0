//! Tests of the data, the packs and the expected figures.

use super::{Data, Difference, Summary, seconds};

const HEADER: &str = "time,station,temp_F,dewpoint_F,humidity_pct,wind_dir_deg,wind_speed_mph,wind_gust_mph,precip_in,\
                      pressure_hPa,visibility_mi\n";

#[test]
fn the_committed_slice_is_whole() {
    let data = Data::committed();
    let messages = data.messages();
    assert_eq!((messages.len(), data.readings().count()), (360, 2891));
    assert_eq!(messages.iter().map(|message| message.readings).sum::<usize>(), 2891);
    assert!(messages.is_sorted_by_key(|message| message.time_s));
    let expected = data.expected(21_600);
    assert_eq!((expected.sensors.len(), expected.readings), (27, 2891));
}

#[test]
fn a_row_becomes_a_pack_in_primary_units() {
    let data =
        Data::read(&format!("{HEADER}2013-02-08T21:00:00Z,EWR,32.0,23,50.5,10.0,10,,0.01,1013.25,0.5\n")).unwrap();
    let pack: serde_json::Value = serde_json::from_str(&data.messages()[0].payload).unwrap();
    assert_eq!(
        pack,
        serde_json::json!([
            { "bn": "weather:EWR:", "bt": 1_360_357_200, "n": "temperature", "u": "Cel", "v": 0.0 },
            { "n": "dewpoint", "u": "Cel", "v": -5.0 },
            { "n": "humidity", "u": "%RH", "v": 50.5 },
            { "n": "wind-direction", "u": "deg", "v": 10.0 },
            { "n": "wind-speed", "u": "m/s", "v": 4.4704 },
            { "n": "precipitation", "u": "m", "v": 0.000254 },
            { "n": "pressure", "u": "Pa", "v": 101_325.0 },
            { "n": "visibility", "u": "m", "v": 804.672 },
        ])
    );
    assert_eq!(data.messages()[0].topic, "sensors/EWR");
}

#[test]
fn damaged_tables_are_refused() {
    for row in ["2013-02-08T21:00:00Z,EWR,1", "2013-02-08,EWR,,,,,,,,,", "2013-02-08T21:00:00Z,EWR,x,,,,,,,,", ""] {
        assert!(Data::read(&format!("{HEADER}{row}\n")).is_err(), "{row}");
    }
    assert!(Data::read("time,station\n").is_err());
}

#[test]
fn times_are_counted_from_1970() {
    assert_eq!(seconds("1970-01-01T00:00:00Z").unwrap(), 0);
    assert_eq!(seconds("2000-03-01T00:00:00Z").unwrap(), 951_868_800);
    assert_eq!(seconds("2013-12-30T23:59:59Z").unwrap(), 1_388_447_999);
    assert!(seconds("2013-02-08T21:00:00").is_err());
}

/// A summary with the expected figures of a window.
fn summary(data: &Data, sensor: &str, start_s: i64, sequence: u64) -> Summary {
    let expected = data.expected(3600);
    let figures = expected.windows[&(sensor.to_owned(), start_s)].clone();
    Summary { sensor: sensor.to_owned(), unit: "Cel".to_owned(), start_s, window_s: 3600, run: 1, sequence, figures }
}

#[test]
fn differences_are_found() {
    let rows = "2013-02-08T21:00:00Z,EWR,32.0,,,,,,,,\n\
        2013-02-08T21:30:00Z,EWR,50,,,,,,,,\n2013-02-08T22:00:00Z,EWR,32.0,,,,,,,,\n";
    let data = Data::read(&format!("{HEADER}{rows}")).unwrap();
    let expected = data.expected(3600);
    let sensor = "weather:EWR:temperature";
    let first = summary(&data, sensor, 1_360_357_200, 0);
    assert_eq!((first.figures.mean, first.figures.variance), (5.0, 25.0));
    let second = summary(&data, sensor, 1_360_360_800, 1);
    assert_eq!(expected.compare(&[first.clone(), second.clone(), first.clone()]), []);
    assert_eq!(expected.compare(std::slice::from_ref(&first)), [Difference::Missing(sensor.to_owned(), 1_360_360_800)]);
    let again = Summary { sequence: 2, ..first.clone() };
    assert_eq!(
        expected.compare(&[first.clone(), second.clone(), again]),
        [Difference::Twice(sensor.to_owned(), 1_360_357_200)]
    );
    let mut wrong = first.clone();
    wrong.figures.variance += 1e-6;
    assert!(matches!(expected.compare(&[wrong, second])[..], [Difference::Figures { .. }]));
    assert!(expected.compare_sensor("weather:EWR:humidity", &first.figures).is_some());
}
