//! Real sensor readings, replayed through a real MQTT broker, and what a task must make of them.
//!
//! Purpose: the demo and the scenarios of the task `collect`. [`Data`] reads the committed slice of weather records and
//! turns each row into a SenML pack; [`publisher`] sends the packs, [`flood`] more of
//! them than anybody can take; [`summaries`] receives what the task publishes;
//! [`expected`] computes the same figures in whole numbers, by another way than the task, and compares.
//!
//! Every value is published as a whole number of millionths of its unit, so that the expected sums are exact.

pub mod expected;
pub mod flood;
pub mod publisher;
pub mod summaries;

pub use expected::{Difference, Expected, Figures};
pub use flood::Flood;
pub use publisher::publish;
pub use summaries::{Summaries, Summary};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The committed slice: three stations, five days, a blizzard.
const WEATHER: &str = include_str!("../../tasks/collect/data/weather.csv");

/// A column of the table and the sensor behind it.
struct Quantity {
    column: &'static str,
    name: &'static str,
    /// From SenML's registry. Packs of version 10 have primary units only, so pressure is in pascals and not
    /// hectopascals, and degrees Fahrenheit, miles and inches are converted.
    unit: &'static str,
    /// The value in the unit is (value in the column - zero) * scale.
    zero: f64,
    scale: f64,
}

const QUANTITIES: [Quantity; 9] = [
    Quantity { column: "temp_F", name: "temperature", unit: "Cel", zero: 32.0, scale: 5.0 / 9.0 },
    Quantity { column: "dewpoint_F", name: "dewpoint", unit: "Cel", zero: 32.0, scale: 5.0 / 9.0 },
    Quantity { column: "humidity_pct", name: "humidity", unit: "%RH", zero: 0.0, scale: 1.0 },
    Quantity { column: "wind_dir_deg", name: "wind-direction", unit: "deg", zero: 0.0, scale: 1.0 },
    Quantity { column: "wind_speed_mph", name: "wind-speed", unit: "m/s", zero: 0.0, scale: 0.447_04 },
    Quantity { column: "wind_gust_mph", name: "wind-gust", unit: "m/s", zero: 0.0, scale: 0.447_04 },
    Quantity { column: "precip_in", name: "precipitation", unit: "m", zero: 0.0, scale: 0.0254 },
    Quantity { column: "pressure_hPa", name: "pressure", unit: "Pa", zero: 0.0, scale: 100.0 },
    Quantity { column: "visibility_mi", name: "visibility", unit: "m", zero: 0.0, scale: 1609.344 },
];

/// One reading of one sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The sensor's full name, such as `weather:EWR:temperature`.
    pub sensor: String,
    /// Its unit.
    pub unit: &'static str,
    /// Seconds since 1970.
    pub time_s: i64,
    /// The value in millionths of the unit.
    pub millionths: i64,
}

/// A station's readings of one hour, as they are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The MQTT topic.
    pub topic: String,
    /// The SenML pack.
    pub payload: String,
    /// How many readings are in it.
    pub readings: usize,
    /// Seconds since 1970.
    pub time_s: i64,
}

/// The table's rows, by time.
#[derive(Debug, Clone)]
pub struct Data {
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    time_s: i64,
    station: String,
    /// In millionths of the unit; `None` where the station gave no reading.
    values: [Option<i64>; QUANTITIES.len()],
}

impl Data {
    /// The committed slice.
    ///
    /// # Panics
    /// When the committed file is damaged.
    pub fn committed() -> Self {
        Self::read(WEATHER).unwrap_or_else(|error| panic!("tasks/collect/data/weather.csv: {error:#}"))
    }

    /// Reads a table with the committed one's columns.
    ///
    /// # Errors
    /// A row or a column is not as it should be.
    pub fn read(csv: &str) -> Result<Self> {
        let mut lines = csv.lines().enumerate();
        let (_, header) = lines.next().context("the table is empty")?;
        let expected: Vec<&str> =
            ["time", "station"].into_iter().chain(QUANTITIES.map(|quantity| quantity.column)).collect();
        ensure!(header.split(',').eq(expected), "the columns are {header}");
        let rows = lines.map(|(number, line)| row(line).with_context(|| format!("line {}: {line}", number + 1)));
        let mut rows = rows.collect::<Result<Vec<_>>>()?;
        // The table goes through one station after the other; the stations did not.
        rows.sort_by(|a, b| (a.time_s, &a.station).cmp(&(b.time_s, &b.station)));
        Ok(Self { rows })
    }

    /// The rows as messages, in the order of time.
    pub fn messages(&self) -> Vec<Message> {
        self.rows.iter().map(Row::message).collect()
    }

    /// All readings, in the order of time.
    pub fn readings(&self) -> impl Iterator<Item = Reading> {
        self.rows.iter().flat_map(|row| {
            row.known().map(|(quantity, millionths)| Reading {
                sensor: format!("weather:{}:{}", row.station, quantity.name),
                unit: quantity.unit,
                time_s: row.time_s,
                millionths,
            })
        })
    }

    /// All readings as lines of a sensor's name, a comma and the value, in the order of time.
    pub fn lines(&self) -> String {
        // Display writes the shortest text that reads back as the same number.
        let lines = self.readings().map(|reading| format!("{},{}\n", reading.sensor, reading.millionths as f64 / 1e6));
        lines.collect()
    }

    /// The figures that a task must find in windows of `window_s` seconds.
    pub fn expected(&self, window_s: i64) -> Expected {
        Expected::of(self.readings(), window_s)
    }
}

impl Row {
    fn known(&self) -> impl Iterator<Item = (&'static Quantity, i64)> {
        QUANTITIES.iter().zip(self.values).filter_map(|(quantity, value)| Some((quantity, value?)))
    }

    /// One pack: base name and base time once, then a record for each quantity that the station gave.
    fn message(&self) -> Message {
        let mut records = vec![];
        for (quantity, millionths) in self.known() {
            let mut record = json!({ "n": quantity.name, "u": quantity.unit, "v": millionths as f64 / 1e6 });
            if records.is_empty() {
                record["bn"] = json!(format!("weather:{}:", self.station));
                record["bt"] = json!(self.time_s);
            }
            records.push(record);
        }
        let topic = format!("sensors/{}", self.station);
        Message { topic, readings: records.len(), payload: Value::from(records).to_string(), time_s: self.time_s }
    }
}

fn row(line: &str) -> Result<Row> {
    let fields: Vec<&str> = line.split(',').collect();
    let [time, station, values @ ..] = &fields[..] else { bail!("a row needs a time and a station") };
    ensure!(values.len() == QUANTITIES.len(), "{} values", values.len());
    let mut row = Row { time_s: seconds(time)?, station: (*station).to_owned(), values: Default::default() };
    for ((field, quantity), value) in values.iter().zip(&QUANTITIES).zip(&mut row.values) {
        if !field.is_empty() {
            let number: f64 = field.parse().with_context(|| format!("{}={field}", quantity.column))?;
            *value = Some(((number - quantity.zero) * quantity.scale * 1e6).round() as i64);
        }
    }
    Ok(row)
}

/// Seconds since 1970 of a time like `2013-02-07T00:00:00Z`.
fn seconds(time: &str) -> Result<i64> {
    let time = OffsetDateTime::parse(time, &Rfc3339).with_context(|| format!("{time} is no time"))?;
    Ok(time.unix_timestamp())
}

#[cfg(test)]
mod tests;
