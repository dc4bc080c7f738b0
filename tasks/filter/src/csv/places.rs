//! Where in a row is what.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::str;

use super::is_text;
use super::rows::Row;
use crate::Error;
use crate::parameters::{Columns, number};

/// How much of the names of a table's columns an error shows.
const NAMES_SHOWN: usize = 200;

/// Where in a row is what.
pub struct Places {
    pub sensor: Option<usize>,
    pub time: Option<usize>,
    /// The columns with numbers; when none was chosen, all others.
    values: Vec<Column>,
    is_chosen: bool,
    /// How many columns the first row has.
    width: usize,
}

/// A column with numbers.
pub struct Column {
    pub place: usize,
    /// Its name, or what stands for one.
    pub name: String,
}

impl Places {
    /// The places of the columns in a table that begins with this row. A column that looks like a number may be a name, where
    /// columns have names.
    ///
    /// # Errors
    /// There is no such column.
    pub fn find(columns: &Columns, first: &Row<'_>) -> Result<Self, Error> {
        let names = match columns.header {
            true => names(first),
            false => (0..first.columns()).map(stand_in).collect(),
        };
        let find = |column: &String| {
            let named = || names.iter().position(|name| columns.header && name == column);
            let numbered = || number(column).map(|number| number - 1).filter(|place| *place < names.len());
            let missing = || Error::NoColumn { column: column.clone(), there_are: shown(&names) };
            named().or_else(numbered).ok_or_else(missing)
        };
        let sensor = columns.sensor.as_ref().map(find).transpose()?;
        let time = columns.time.as_ref().map(find).transpose()?;
        let is_chosen = !columns.values.is_empty();
        let places: Vec<usize> = match is_chosen {
            true => columns.values.iter().map(find).collect::<Result<_, _>>()?,
            false => (0..names.len()).filter(|place| ![sensor, time].contains(&Some(*place))).collect(),
        };
        let values = places.into_iter().map(|place| Column { place, name: names[place].clone() }).collect();
        Ok(Self { sensor, time, values, is_chosen, width: names.len() })
    }

    /// Whether a row has no more columns than the first one: a separator in a text without quotes moves what comes behind
    /// it to the next column. Empty columns at its end do no harm.
    pub fn fit(&self, row: &Row<'_>) -> bool {
        (self.width..row.columns()).all(|place| row.field(place).is_none_or(<[u8]>::is_empty))
    }

    /// The columns with numbers in a row of so many columns.
    pub fn values(&self, columns: usize) -> impl Iterator<Item = &Column> {
        // Where none was chosen, a row may be short without being wrong.
        self.values.iter().filter(move |column| self.is_chosen || column.place < columns)
    }

    /// Whether it was said which columns have numbers.
    pub fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    /// Whether there is one column with numbers, whose name says nothing beside a sensor's.
    pub fn is_single(&self) -> bool {
        self.values.len() == 1
    }
}

/// The names in a row. Each is there once: of two columns with one name the second has its number behind it.
fn names(header: &Row<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for place in 0..header.columns() {
        let field = header.field(place).unwrap_or_default().trim_ascii();
        let name = match str::from_utf8(field).ok().filter(|_| is_text(field)) {
            Some(name) if names.iter().any(|other| other == name) => format!("{name}.{}", place + 1),
            Some(name) => name.to_owned(),
            None => stand_in(place),
        };
        names.push(name);
    }
    names
}

/// What stands for the name of a column that has none.
fn stand_in(place: usize) -> String {
    format!("column{}", place + 1)
}

/// Names in an error.
fn shown(names: &[String]) -> String {
    let mut shown = String::new();
    for name in names {
        if shown.len() + name.len() > NAMES_SHOWN {
            shown.push_str(", \u{2026}");
            break;
        }
        let gap = if shown.is_empty() { "" } else { ", " };
        shown.extend([gap, name]);
    }
    shown
}
