//! The content as it arrives, in whichever form it is.

use alloc::string::String;

use lines::Lines;
use lines::tally::Tally;

use crate::Error;
use crate::csv::{Readings, Table};
use crate::parameters::Content;
use crate::records::{self, Records};

/// What some programs write in front of a text in UTF-8, and what is no part of it.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// A content, read as far as it has arrived.
pub struct Input {
    /// How much of a byte-order mark has come so far; all of it also when none is to come any more.
    mark: usize,
    form: Form,
}

/// How a content is read.
// One of them, once a run: what the larger one takes is taken anyhow.
#[allow(clippy::large_enum_variant)]
enum Form {
    Lines(Lines),
    Table(Table),
    Records(Records),
}

/// What was found in a content.
pub struct Found {
    pub tally: Tally,
    /// As in the report.
    pub missing: u64,
    pub not_numeric: u64,
    /// The first time and the last one.
    pub times: Option<(String, String)>,
}

impl Input {
    /// Nothing yet, for so many sensors. `now`, in seconds since 1970, dates what says no time.
    pub fn new(content: Content, now: f64, most_sensors: u16) -> Self {
        let form = match content {
            Content::Lines => Form::Lines(Lines::new(most_sensors)),
            Content::Table(columns) => Form::Table(Table::new(columns, most_sensors)),
            Content::Records(encoding) => Form::Records(Records::new(encoding, now, most_sensors)),
        };
        Self { mark: 0, form }
    }

    /// Reads the next piece.
    ///
    /// # Errors
    /// It is not in the form that the parameters say, so that nothing of it can be used.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Error> {
        while let (Some(expected), Some((byte, rest))) = (BYTE_ORDER_MARK.get(self.mark), piece.split_first()) {
            if byte != expected {
                self.end_mark()?;
                break;
            }
            self.mark += 1;
            piece = rest;
        }
        if piece.is_empty() { Ok(()) } else { self.form.push(piece) }
    }

    /// Passes on what looked like the beginning of a byte-order mark and was none.
    fn end_mark(&mut self) -> Result<(), Error> {
        let begun = core::mem::replace(&mut self.mark, BYTE_ORDER_MARK.len());
        match begun {
            0 | 3 => Ok(()),
            _ => self.form.push(&BYTE_ORDER_MARK[..begun]),
        }
    }

    /// Reads the end: a last line may have none of its own.
    ///
    /// # Errors
    /// As [`Input::push`].
    pub fn end(&mut self) -> Result<(), Error> {
        self.end_mark()?;
        self.form.end()
    }

    /// What was found. A line that has begun and not ended is no part of it: it may have been cut within a number.
    pub fn found(self) -> Found {
        match self.form {
            Form::Lines(lines) => Found { tally: lines.tally, missing: 0, not_numeric: 0, times: None },
            Form::Table(table) => {
                let Readings { tally, missing, not_numeric, times, .. } = table.readings();
                Found { tally, missing, not_numeric, times }
            }
            Form::Records(records) => {
                let records::Found { tally, not_numeric, times, .. } = records.found();
                let times = times.map(|(first, last)| (records::shown(first), records::shown(last)));
                Found { tally, missing: 0, not_numeric, times }
            }
        }
    }
}

impl Form {
    /// Reads the next piece, which is not empty.
    fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        match self {
            Self::Lines(lines) => {
                lines.push(piece);
                Ok(())
            }
            Self::Table(table) => table.push(piece),
            Self::Records(records) => {
                records.push(piece);
                Ok(())
            }
        }
    }

    /// Reads what has no end, at the end of all.
    fn end(&mut self) -> Result<(), Error> {
        match self {
            Self::Lines(lines) => {
                lines.finish();
                Ok(())
            }
            Self::Table(table) => table.push(&[]),
            Self::Records(records) => {
                records.end();
                Ok(())
            }
        }
    }
}
