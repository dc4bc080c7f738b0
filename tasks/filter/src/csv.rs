//! Tables: rows of columns, and what the columns mean.
//!
//! [`rows`] finds the rows; here each becomes readings. Of a table nothing is kept but the names of its columns.

mod places;
mod rows;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::str;

use lines::sensors::Value;
use lines::tally::Tally;
use readings::name::NAME_BYTES;

use crate::Error;
use crate::parameters::{Columns, Decimal};
use places::Places;
use rows::{Next, Row, Rows};

/// The longest number with a decimal comma.
const NUMBER_BYTES: usize = 64;

/// The longest text of a time that is kept.
const TIME_BYTES: usize = 64;

/// Words for a number that is not there.
const MISSING: [&[u8]; 7] = [b"", b"-", b"na", b"n/a", b"nan", b"none", b"null"];

/// The reader of a table.
pub struct Table {
    rows: Rows,
    readings: Readings,
}

/// What the rows of a table give.
pub struct Readings {
    columns: Columns,
    /// Where they are, which the first row shows.
    places: Option<Places>,
    /// What was found.
    pub tally: Tally,
    /// Fields with a word for a number that is not there.
    pub missing: u64,
    /// Fields that are no numbers, in columns of which nobody said that there are any.
    pub not_numeric: u64,
    /// The time of the first row with a reading, and of the last one.
    pub times: Option<(String, String)>,
    /// The name of a sensor as it is put together.
    name: Vec<u8>,
}

/// What a field is where a number may be.
enum Field {
    Number(Value),
    Missing,
    Other,
}

impl Table {
    /// Nothing yet, for so many sensors.
    pub fn new(columns: Columns, most_sensors: u16) -> Self {
        Self {
            rows: Rows::new(columns.separator),
            readings: Readings {
                columns,
                places: None,
                tally: Tally::new(most_sensors),
                missing: 0,
                not_numeric: 0,
                times: None,
                name: Vec::new(),
            },
        }
    }

    /// Reads the next piece; an empty one is the end.
    ///
    /// # Errors
    /// The table has no such columns.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Error> {
        loop {
            match self.rows.next(&mut piece) {
                Next::Row(row) => self.readings.row(&row)?,
                Next::TooLong { line, begin } => self.readings.tally.malformed(line, begin),
                Next::End => return Ok(()),
            }
        }
    }

    /// What was found.
    pub fn readings(self) -> Readings {
        self.readings
    }
}

impl Readings {
    /// Takes a row.
    fn row(&mut self, row: &Row<'_>) -> Result<(), Error> {
        let places = match &mut self.places {
            Some(places) => places,
            none => {
                let places = none.insert(Places::find(&self.columns, row)?);
                if self.columns.header {
                    return Ok(());
                }
                places
            }
        };
        if !places.fit(row) {
            self.tally.malformed(row.line, &row.text());
            return Ok(());
        }
        let sensor = match places.sensor {
            None => None,
            Some(place) => match row.field(place).map(<[u8]>::trim_ascii).filter(|name| is_text(name)) {
                Some(name) => Some(name),
                None => {
                    self.tally.malformed(row.line, &row.text());
                    return Ok(());
                }
            },
        };
        let before = self.tally.readings;
        let mut malformed = false;
        for column in places.values(row.columns()) {
            match row.field(column.place).map_or(Field::Other, |field| number(field, self.columns.decimal)) {
                Field::Number(value) => {
                    let name = match (sensor, places.is_single()) {
                        (Some(sensor), true) => sensor,
                        (Some(sensor), false) => {
                            self.name.clear();
                            self.name.extend_from_slice(sensor);
                            self.name.push(b'/');
                            self.name.extend_from_slice(column.name.as_bytes());
                            &self.name
                        }
                        (None, _) => column.name.as_bytes(),
                    };
                    self.tally.reading(name, value);
                }
                Field::Missing => self.missing += 1,
                Field::Other if places.is_chosen() => malformed = true,
                Field::Other => self.not_numeric += 1,
            }
        }
        if malformed {
            self.tally.malformed(row.line, &row.text());
        }
        if self.tally.readings > before
            && let Some(time) = places.time.and_then(|place| row.field(place))
        {
            note(&mut self.times, time.trim_ascii());
        }
        Ok(())
    }
}

/// Notes the time of a row as the last one, and as the first one if there was none.
fn note(times: &mut Option<(String, String)>, time: &[u8]) {
    let time = String::from_utf8_lossy(&time[..time.len().min(TIME_BYTES)]);
    match times {
        Some((_, last)) => {
            last.clear();
            last.push_str(&time);
        }
        None => *times = Some((time.clone().into_owned(), time.into_owned())),
    }
}

/// Whether this can be a name: not too long, and text that a console can show.
fn is_text(name: &[u8]) -> bool {
    let shown = |text: &str| !text.chars().any(char::is_control);
    (1..=NAME_BYTES).contains(&name.len()) && str::from_utf8(name).is_ok_and(shown)
}

/// Reads a field where a number may be.
fn number(field: &[u8], decimal: Decimal) -> Field {
    let field = field.trim_ascii();
    let text = match decimal {
        Decimal::Point => Some(Cow::Borrowed(field)),
        Decimal::Comma => with_point(field),
    };
    if let Some(value) = text.and_then(|text| Value::read(&text)) {
        return Field::Number(value);
    }
    match MISSING.iter().any(|word| field.eq_ignore_ascii_case(word)) {
        true => Field::Missing,
        false => Field::Other,
    }
}

/// A number with a decimal comma as one with a point. `None` for one that has a point already: that would be between
/// thousands, and a number a thousand times as large.
fn with_point(field: &[u8]) -> Option<Cow<'_, [u8]>> {
    if field.len() > NUMBER_BYTES || field.contains(&b'.') {
        return None;
    }
    Some(field.iter().map(|byte| if *byte == b',' { b'.' } else { *byte }).collect())
}
