//! Nine tables that others publish, each as its reader would ask for it.

use crate::{fetch, figures};
use filter::{Parameters, Report};
use qemu_tests::datasets;
use qemu_tests::progress::Lines;
use qemu_tests::setup::setup_host;
use qemu_tests::web_server::{Kind, WebServer};

/// The fields of each row of a table that quotes nothing but names.
fn rows(table: &str) -> Vec<Vec<String>> {
    let row = |line: &str| {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        for character in line.chars() {
            match character {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                other => fields.last_mut().expect("a field").push(other),
            }
        }
        fields
    };
    table.lines().map(row).collect()
}

/// The numbers in a column, of the rows with this text in another one.
fn numbers(rows: &[Vec<String>], column: &str, of: Option<(&str, &str)>) -> Vec<f64> {
    let place = |name: &str| rows[0].iter().position(|field| field == name).expect(name);
    let (column, of) = (place(column), of.map(|(name, text)| (place(name), text)));
    let wanted = rows[1..].iter().filter(|row| of.is_none_or(|(place, text)| row[place] == text));
    wanted.filter_map(|row| row[column].parse().ok()).collect()
}

/// Serves a table and fetches it with these parameters.
fn filtered(name: &str, parameters: Parameters) -> (Vec<Vec<String>>, Report) {
    setup_host(&mut Lines).unwrap();
    let table = datasets::table(name).unwrap();
    let server = WebServer::start(Kind::Nginx, &format!("table-{name}")).unwrap();
    server.put(name, table.as_bytes()).unwrap();
    let report = fetch(format!("http://127.0.0.1:{}/{name}", server.port()), parameters).unwrap();
    assert!(report.complete && report.malformed == 0 && report.over_limit == 0, "{report:?}");
    (rows(&table), report)
}

/// A table whose columns of numbers are the sensors.
fn columns(name: &str, values: &[&str], parameters: Parameters) -> Report {
    let wanted = Some(values.iter().map(ToString::to_string).collect());
    let (rows, report) = filtered(name, Parameters { values: wanted, ..parameters });
    let names: Vec<_> = report.sensors.iter().map(|sensor| sensor.name.as_str()).collect();
    assert_eq!(names, values);
    report.sensors.iter().for_each(|sensor| figures::assert_of(sensor, &numbers(&rows, &sensor.name, None)));
    report
}

/// A table in which a column names the sensors.
fn by_sensor(name: &str, sensor: &str, value: &str) -> Report {
    let parameters = Parameters {
        sensor: Some(sensor.to_owned()),
        values: Some(vec![value.to_owned()]),
        sensors: Some(4096),
        ..Parameters::default()
    };
    let (rows, report) = filtered(name, parameters);
    assert!(!report.sensors.is_empty());
    for found in &report.sensors {
        figures::assert_of(found, &numbers(&rows, value, Some((sensor, &found.name))));
    }
    report
}

#[test]
fn the_weather_of_a_city() {
    let time = Parameters { time: Some("date".to_owned()), ..Parameters::default() };
    let report = columns("seattle-weather.csv", &["precipitation", "temp_max", "temp_min", "wind"], time);
    assert_eq!(report.readings, 4 * 1461);
    assert_eq!((report.first_time.as_deref(), report.last_time.as_deref()), (Some("2012-01-01"), Some("2015-12-31")));
}

#[test]
fn the_same_when_no_column_is_named() {
    let all = Parameters { format: Some(filter::Format::Csv), ..Parameters::default() };
    let (rows, report) = filtered("seattle-weather.csv", all);
    assert_eq!((report.readings, report.not_numeric), (4 * 1461, 2 * 1461));
    report.sensors.iter().for_each(|sensor| figures::assert_of(sensor, &numbers(&rows, &sensor.name, None)));
}

#[test]
fn the_temperature_of_the_world() {
    assert_eq!(columns("global-temp.csv", &["temp"], Parameters::default()).readings, 144);
}

#[test]
fn prices_of_stocks() {
    assert_eq!(by_sensor("stocks.csv", "symbol", "price").sensors.len(), 5);
}

#[test]
fn an_index_of_stocks_with_large_numbers() {
    let report = columns("sp500-2000.csv", &["open", "close", "volume"], Parameters::default());
    assert_eq!(report.readings, 3 * 5105);
}

#[test]
fn carbon_dioxide_in_a_column_whose_name_has_a_space() {
    assert_eq!(columns("co2-concentration.csv", &["CO2", "adjusted CO2"], Parameters::default()).readings, 2 * 741);
}

#[test]
fn countries_some_of_which_are_quoted() {
    assert_eq!(columns("gapminder-health-income.csv", &["income", "health"], Parameters::default()).readings, 2 * 187);
    assert_eq!(by_sensor("gapminder-health-income.csv", "country", "health").sensors.len(), 187);
}

#[test]
fn employment_by_trade() {
    let report = columns("us-employment.csv", &["nonfarm", "construction", "nonfarm_change"], Parameters::default());
    assert_eq!(report.readings, 3 * 120);
}

#[test]
fn work_by_the_hour() {
    let time = Parameters { time: Some("time".to_owned()), ..Parameters::default() };
    let report = columns("github.csv", &["count"], time);
    assert_eq!((report.readings, report.first_time.as_deref()), (955, Some("2015/01/01 01:00:00")));
}

#[test]
fn airports_by_state() {
    let report = by_sensor("airports.csv", "country", "latitude");
    assert_eq!(report.readings, 3376);
}
