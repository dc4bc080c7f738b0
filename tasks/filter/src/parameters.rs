//! What a user may say, and what follows from it.

use alloc::string::String;
use alloc::vec::Vec;

use http1::Url;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::records::Encoding;

/// How many sensors are kept if the parameters do not say, and the most that they may say.
const DEFAULT_SENSORS: u32 = 64;
const MOST_SENSORS: u32 = 4096;

/// The task's parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// What to fetch, `http://host[:port]/path`; the host is an address or a name.
    pub url: String,
    /// The most sensors to keep statistics of; 64 when left out. Each takes some 200 bytes of memory.
    pub sensors: Option<u32>,
    /// What the content is made of; `csv` when columns are named, `lines` when left out.
    pub format: Option<Format>,
    /// The columns with numbers, by name or by number from 1; all columns that hold numbers when left out.
    pub values: Option<Vec<String>>,
    /// The column with the sensor's name; without one, each column of numbers is a sensor.
    pub sensor: Option<String>,
    /// The column or the key with the time: no number, but the report says the first and the last.
    pub time: Option<String>,
    /// What is between columns: one character, or tab, space or semicolon by name; a comma when left out.
    pub separator: Option<String>,
    /// What is between a number's whole part and its fraction; a point when left out.
    pub decimal: Option<Decimal>,
    /// Whether the first row names the columns; when left out, it does unless all columns are given by number.
    pub header: Option<bool>,
}

/// What a content is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines of a sensor's name, a comma and a number: the quickest.
    Lines,
    /// Rows of columns (RFC 4180).
    Csv,
    /// A SenML pack in each line.
    Senml,
    /// A JSON object in each line, whose numbers are readings.
    Json,
    /// InfluxDB's line protocol.
    Influx,
    /// A number in each line.
    Number,
}

/// What is between a number's whole part and its fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
#[serde(rename_all = "lowercase")]
pub enum Decimal {
    /// `1.5`
    #[default]
    Point,
    /// `1,5`
    Comma,
}

/// Parameters that fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) url: Url,
    pub(crate) sensors: u16,
    pub(crate) format: Content,
}

/// What a content is made of, with all that is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Lines,
    Table(Columns),
    Records(Encoding),
}

/// What the columns of a table are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Those with numbers; all that have any when none is given.
    pub(crate) values: Vec<String>,
    pub(crate) sensor: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) separator: u8,
    pub(crate) decimal: Decimal,
    pub(crate) header: bool,
}

impl Parameters {
    /// Checks them.
    ///
    /// # Errors
    /// One of them cannot be used, or they do not fit together.
    pub(crate) fn settings(self) -> Result<Settings, Error> {
        let url = Url::parse(&self.url).map_err(Error::Url)?;
        let sensors = self.sensors.unwrap_or(DEFAULT_SENSORS);
        if !(1..=MOST_SENSORS).contains(&sensors) {
            return Err(Error::Sensors);
        }
        let format = self.content()?;
        Ok(Settings { url, sensors: sensors as u16, format })
    }

    fn content(self) -> Result<Content, Error> {
        let Self { values, sensor, time, separator, decimal, header, .. } = self;
        let of_tables = [
            ("values", values.is_some()),
            ("sensor", sensor.is_some()),
            ("separator", separator.is_some()),
            ("decimal", decimal.is_some()),
            ("header", header.is_some()),
            ("time", time.is_some() && self.format != Some(Format::Json)),
        ];
        let of_tables = of_tables.into_iter().find(|(_, given)| *given).map(|(name, _)| name);
        match (self.format, of_tables) {
            (Some(Format::Csv), _) | (None, Some(_)) => {}
            (Some(_), Some(name)) => return Err(Error::OfTables(name)),
            (None | Some(Format::Lines), None) => return Ok(Content::Lines),
            (Some(Format::Senml), None) => return Ok(Content::Records(Encoding::Senml)),
            (Some(Format::Json), None) => return Ok(Content::Records(Encoding::Object(time))),
            (Some(Format::Influx), None) => return Ok(Content::Records(Encoding::Influx)),
            (Some(Format::Number), None) => return Ok(Content::Records(Encoding::Number)),
        }
        let values = values.unwrap_or_default();
        let separator = separator.as_deref().map_or(Ok(b','), self::separator)?;
        let decimal = decimal.unwrap_or_default();
        if decimal == Decimal::Comma && separator == b',' {
            return Err(Error::TwoCommas);
        }
        let named = values.iter().chain(&sensor).chain(&time).any(|column| number(column).is_none());
        let header = header.unwrap_or(named || values.is_empty());
        if named && !header {
            return Err(Error::NoNames);
        }
        Ok(Content::Table(Columns { values, sensor, time, separator, decimal, header }))
    }
}

/// A column's number, if it is given by number.
pub(crate) fn number(column: &str) -> Option<usize> {
    column.parse().ok().filter(|number| *number > 0)
}

fn separator(text: &str) -> Result<u8, Error> {
    match (text, text.as_bytes()) {
        ("tab", _) => Ok(b'\t'),
        ("space", _) => Ok(b' '),
        ("comma", _) => Ok(b','),
        ("semicolon", _) => Ok(b';'),
        // What is in numbers and names separates nothing.
        (_, [byte]) if byte.is_ascii_punctuation() && !b"\"'.+-_".contains(byte) => Ok(*byte),
        _ => Err(Error::Separator),
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::vec;

    use super::*;

    fn of(change: impl FnOnce(&mut Parameters)) -> Result<Content, Error> {
        let mut parameters = Parameters { url: "http://a/".to_owned(), ..Parameters::default() };
        change(&mut parameters);
        parameters.settings().map(|settings| settings.format)
    }

    fn columns(change: impl FnOnce(&mut Parameters)) -> Columns {
        match of(change) {
            Ok(Content::Table(columns)) => columns,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_word_about_columns_a_content_is_lines() {
        assert_eq!(of(|_| {}), Ok(Content::Lines));
        assert_eq!(of(|parameters| parameters.format = Some(Format::Lines)), Ok(Content::Lines));
    }

    #[test]
    fn lines_may_be_what_devices_send() {
        let of_format = |format| of(|parameters| parameters.format = Some(format));
        assert_eq!(of_format(Format::Senml), Ok(Content::Records(Encoding::Senml)));
        assert_eq!(of_format(Format::Influx), Ok(Content::Records(Encoding::Influx)));
        assert_eq!(of_format(Format::Number), Ok(Content::Records(Encoding::Number)));
        let with_time = |parameters: &mut Parameters| {
            parameters.format = Some(Format::Json);
            parameters.time = Some("ts".to_owned());
        };
        assert_eq!(of(with_time), Ok(Content::Records(Encoding::Object(Some("ts".to_owned())))));
    }

    #[test]
    fn the_first_row_names_the_columns_unless_all_are_given_by_number() {
        assert!(columns(|parameters| parameters.format = Some(Format::Csv)).header);
        assert!(columns(|parameters| parameters.values = Some(vec!["wind".to_owned()])).header);
        assert!(columns(|parameters| parameters.sensor = Some("1".to_owned())).header);
        let by_number = |parameters: &mut Parameters| {
            parameters.values = Some(vec!["2".to_owned()]);
            parameters.time = Some("1".to_owned());
        };
        assert!(!columns(by_number).header);
        let both = |parameters: &mut Parameters| {
            by_number(parameters);
            parameters.header = Some(true);
        };
        assert!(columns(both).header);
    }

    #[test]
    fn columns_are_numbered_from_1() {
        assert_eq!(["1", "12", "0", "-1", "price"].map(super::number), [Some(1), Some(12), None, None, None]);
    }

    #[test]
    fn a_separator_is_a_character_or_its_name() {
        let separator = |text: &str| of(|parameters| parameters.separator = Some(text.to_owned()));
        for (text, byte) in
            [("tab", b'\t'), ("space", b' '), ("semicolon", b';'), (";", b';'), ("|", b'|'), ("comma", b',')]
        {
            let Ok(Content::Table(columns)) = separator(text) else { panic!("{text}") };
            assert_eq!(columns.separator, byte);
        }
        for text in ["", ";;", ".", "\"", "a", "1", "\u{e4}"] {
            assert_eq!(separator(text), Err(Error::Separator), "{text}");
        }
    }

    #[test]
    fn parameters_that_contradict_each_other_are_refused() {
        let named_without_names = |parameters: &mut Parameters| {
            parameters.values = Some(vec!["wind".to_owned()]);
            parameters.header = Some(false);
        };
        assert_eq!(of(named_without_names), Err(Error::NoNames));
        assert_eq!(of(|parameters| parameters.decimal = Some(Decimal::Comma)), Err(Error::TwoCommas));
        for format in [Format::Lines, Format::Senml, Format::Influx, Format::Number] {
            let with_time = |parameters: &mut Parameters| {
                parameters.format = Some(format);
                parameters.time = Some("1".to_owned());
            };
            assert_eq!(of(with_time), Err(Error::OfTables("time")));
        }
        let objects_with_columns = |parameters: &mut Parameters| {
            parameters.format = Some(Format::Json);
            parameters.values = Some(vec!["1".to_owned()]);
        };
        assert_eq!(of(objects_with_columns), Err(Error::OfTables("values")));
        assert_eq!(of(|parameters| parameters.sensors = Some(0)), Err(Error::Sensors));
        assert_eq!(of(|parameters| parameters.sensors = Some(4097)), Err(Error::Sensors));
        assert!(matches!(of(|parameters| parameters.url = "ftp://a".to_owned()), Err(Error::Url(_))));
    }
}
