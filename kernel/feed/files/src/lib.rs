//! Files of readings as feeds, for programs of a host: the developer's machine as a platform, and whoever feeds a guest
//! from dom0.
//!
//! The forms are [`Form`]'s. Readings come in the file's order, those of a sensor many at once. What cannot be read is
//! left out, and the feed says how much at its end.

#![forbid(unsafe_code)]

mod collector;

use std::fmt;
use std::path::Path;

use collector::Collector;
use readings::time::{Precision, rfc3339};
use readings::{influx, number, senml};

/// How a file has its readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A table whose first line has names. The column `time`, or else the first, is the time, in RFC 3339 or as a number
    /// since 1970; each other column is a sensor. An empty field is no reading.
    Csv,
    /// A SenML pack in JSON.
    Senml,
    /// InfluxDB's line protocol, with times in nanoseconds.
    Influx,
}

/// Why a file is no feed.
#[derive(Debug)]
pub enum Error {
    /// Its name says no form.
    Form(String),
    /// It is no table.
    Csv(csv::Error),
    /// It is no SenML pack.
    Senml,
    /// A sensor cannot be described.
    Sensor {
        /// Its name.
        name: String,
        /// Why.
        fault: feed::Fault,
    },
}

impl Form {
    /// The form by a file's name.
    ///
    /// # Errors
    /// [`Error::Form`].
    pub fn of(path: &Path) -> Result<Self, Error> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("json" | "senml") => Ok(Self::Senml),
            Some("lp" | "influx") => Ok(Self::Influx),
            _ => Err(Error::Form(path.display().to_string())),
        }
    }

    /// The whole feed of a file with this content. `now`, in seconds since 1970, dates readings that say no time.
    ///
    /// # Errors
    /// Why it is none.
    pub fn feed(self, content: &[u8], now: f64) -> Result<Vec<u8>, Error> {
        let mut collector = Collector::new();
        match self {
            Self::Csv => table(content, &mut collector)?,
            Self::Senml => {
                senml::read(content, now, &mut |item| collector.take(&item)).map_err(|_| Error::Senml)?;
            }
            Self::Influx => influx::read(content, "", Precision::Nanoseconds, now, &mut |item| collector.take(&item)),
        }
        collector.finish()
    }
}

/// Reads a table with a line of names.
fn table(content: &[u8], collector: &mut Collector) -> Result<(), Error> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(content);
    let names = reader.headers().map_err(Error::Csv)?.clone();
    let time_at = names.iter().position(|name| name.eq_ignore_ascii_case("time")).unwrap_or(0);
    for row in reader.records() {
        let row = row.map_err(Error::Csv)?;
        let time = row.get(time_at).and_then(time);
        let columns = names.iter().zip(&row).enumerate().filter(|(at, (_, field))| *at != time_at && !field.is_empty());
        for (_, (name, field)) in columns {
            match (time, number::parse_decimal(field.as_bytes())) {
                (Some(time), Some(value)) => collector.reading(name, "", time, value),
                _ => collector.leave_out(),
            }
        }
    }
    Ok(())
}

/// Seconds since 1970.
fn time(field: &str) -> Option<f64> {
    let number = || number::parse_decimal(field.as_bytes()).map(|number| Precision::guess(number).seconds(number));
    rfc3339(field).or_else(number)
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(name) => {
                write!(
                    formatter,
                    "{name}: by their names, files of readings are .csv, .json (SenML) or .lp (line protocol)"
                )
            }
            Self::Csv(error) => write!(formatter, "not a table: {error}"),
            Self::Senml => formatter.write_str("not a SenML pack"),
            Self::Sensor { name, fault } => write!(formatter, "the sensor {name:?}: {fault}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use feed::{Decoder, Gap, Item, Reason};

    use super::{Error, Form};

    /// What a feed says, a line for each item.
    fn said(mut bytes: &[u8]) -> Vec<String> {
        let (mut decoder, mut lines) = (Decoder::new(), Vec::new());
        loop {
            let (count, item) = decoder.next(bytes).expect("a feed");
            lines.push(match item {
                Some(Item::Sensor(sensor)) => format!("{} in {:?}", sensor.name, sensor.unit),
                Some(Item::Readings(sensor, readings)) => {
                    let readings: Vec<_> =
                        readings.iter().map(|reading| format!("{}={}", reading.time_ns, reading.value)).collect();
                    format!("{sensor}: {}", readings.join(" "))
                }
                Some(Item::Gap(Gap { sensor: None, readings, reason: Reason::Invalid })) => {
                    format!("{readings} left out")
                }
                Some(Item::Gap(gap)) => panic!("{gap:?}"),
                None => return lines,
            });
            bytes = &bytes[count..];
        }
    }

    #[test]
    fn a_table_has_a_sensor_a_column() {
        let table = b"station,Time,t,h\nEWR,1970-01-01T00:00:01Z,20.5,\nEWR, 2 ,-1e1,55\n,never,1,2\nEWR,3,21,x\n";
        let feed = Form::Csv.feed(table, 0.0).expect("a table");
        let expected =
            ["t in \"\"", "h in \"\"", "0: 1000000000=20.5 2000000000=-10 3000000000=21", "1: 2000000000=55"];
        let expected: Vec<_> = expected.into_iter().chain(["6 left out"]).collect();
        assert_eq!(said(&feed), expected);
        assert_eq!(said(&Form::Csv.feed(b"", 0.0).expect("an empty table")), Vec::<String>::new());
    }

    #[test]
    fn senml_and_line_protocol_are_read_as_tasks_read_them() {
        let pack = br#"[{"bn":"a/","bu":"Cel","n":"t","t":1600000000,"v":1.5},{"n":"t","t":1600000001,"v":2},{"n":"u","vs":"x"}]"#;
        let feed = Form::Senml.feed(pack, 0.0).expect("a pack");
        assert_eq!(said(&feed), ["a/t in \"Cel\"", "0: 1600000000000000000=1.5 1600000001000000000=2", "1 left out"]);
        let lines = b"w,p=n t=1.5 1600000000000000000\nw t=\nw,p=n t=3\n";
        let feed = Form::Influx.feed(lines, 7.0).expect("lines");
        assert_eq!(said(&feed), ["w/p:n/t in \"\"", "0: 1600000000000000000=1.5 7000000000=3", "1 left out"]);
        assert!(matches!(Form::Senml.feed(b"{}", 0.0), Err(Error::Senml)));
    }

    #[test]
    fn readings_of_many_rows_come_in_blocks_and_in_their_order() {
        let rows: String = (0..10_000).map(|at| format!("{at},{at},{}\n", -at)).collect();
        let feed = Form::Csv.feed(format!("time,a,b\n{rows}").as_bytes(), 0.0).expect("a table");
        let lines = said(&feed);
        assert!(lines.len() > 4, "{} items", lines.len());
        let of_a: Vec<_> =
            lines.iter().filter_map(|line| line.strip_prefix("0: ")).flat_map(|line| line.split(' ')).collect();
        let expected: Vec<_> = (0..10_000_u64).map(|at| format!("{}={at}", at * 1_000_000_000)).collect();
        assert!(of_a == expected);
    }

    #[test]
    fn what_is_no_file_of_readings_is_refused_by_its_name() {
        for (name, form) in [("a.csv", Form::Csv), ("x/a.json", Form::Senml), ("a.b.lp", Form::Influx)] {
            assert_eq!(Form::of(Path::new(name)).expect("a form"), form);
        }
        for name in ["a", "a.txt", "csv"] {
            assert!(Form::of(Path::new(name)).expect_err("no form").to_string().starts_with(name));
        }
        let long = format!("time,{}\n1,2\n", "x".repeat(200));
        let error = Form::Csv.feed(long.as_bytes(), 0.0).expect_err("a name that is too long");
        assert!(error.to_string().contains("the sensor \"xxx"), "{error}");
    }
}
