//! Rows of fields (RFC 4180), in pieces of any size.
//!
//! csv-core finds the fields, with quotes and all line ends. A row is kept until it is whole, in a buffer of fixed size.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// The longest row in bytes, without quotes and separators, and the most columns.
pub const ROW_BYTES: usize = 8192;
pub const MOST_COLUMNS: usize = 512;

/// A reader of rows.
pub struct Rows {
    reader: Reader,
    separator: u8,
    /// The row that has begun, with room for one byte and one column more than a row may have, so that one that is too
    /// long is told from one that fits.
    row: Box<[u8]>,
    ends: Box<[usize]>,
    /// So many bytes and columns of it have come.
    bytes: usize,
    columns: usize,
    /// The row before was handed out.
    is_whole: bool,
    /// The rest of a row that is too long is passed over, up to the end of its line.
    passing_over: bool,
}

/// What comes next.
pub enum Next<'r> {
    /// A row.
    Row(Row<'r>),
    /// A row that is too long, with its line's number and its beginning.
    TooLong {
        /// The number of the line, from 1.
        line: u64,
        /// What of the row fits.
        begin: &'r [u8],
    },
    /// No more in this piece.
    End,
}

/// A row.
pub struct Row<'r> {
    /// The number of the line on which it begins, from 1.
    pub line: u64,
    separator: u8,
    bytes: &'r [u8],
    ends: &'r [usize],
}

impl Rows {
    /// No rows yet, with this between their fields.
    pub fn new(separator: u8) -> Self {
        let mut reader = ReaderBuilder::new().delimiter(separator).build();
        begin(&mut reader, 1);
        Self {
            reader,
            separator,
            row: vec![0; ROW_BYTES + 1].into_boxed_slice(),
            ends: vec![0; MOST_COLUMNS + 1].into_boxed_slice(),
            bytes: 0,
            columns: 0,
            is_whole: false,
            passing_over: false,
        }
    }

    /// Takes the next row off a piece; an empty piece is the end of the last row.
    pub fn next(&mut self, piece: &mut &[u8]) -> Next<'_> {
        let is_end = piece.is_empty();
        if self.passing_over && !self.pass_over(piece) {
            return Next::End;
        }
        if piece.is_empty() && !is_end {
            return Next::End;
        }
        if core::mem::take(&mut self.is_whole) {
            (self.bytes, self.columns) = (0, 0);
        }
        let (row, ends) = (&mut self.row[self.bytes..], &mut self.ends[self.columns..]);
        let (result, taken, bytes, columns) = self.reader.read_record(piece, row, ends);
        let ended_by = taken.checked_sub(1).map(|last| piece[last]);
        *piece = &piece[taken..];
        self.bytes += bytes;
        self.columns += columns;
        let fits = self.bytes <= ROW_BYTES && self.columns <= MOST_COLUMNS;
        match result {
            ReadRecordResult::InputEmpty | ReadRecordResult::End => return Next::End,
            ReadRecordResult::Record => self.is_whole = true,
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => self.passing_over = true,
        }
        let bytes = &self.row[..self.bytes];
        let inner = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let last = self.reader.line() - u64::from(self.is_whole && ended_by == Some(b'\n'));
        let line = last - inner;
        match fits && self.is_whole {
            true => Next::Row(Row { line, separator: self.separator, bytes, ends: &self.ends[..self.columns] }),
            false => Next::TooLong { line, begin: bytes },
        }
    }

    /// Drops bytes up to the end of a line; whether there was one. A quote that never ends costs the row that it is in, and
    /// the lines behind it as far as the buffer is large.
    fn pass_over(&mut self, piece: &mut &[u8]) -> bool {
        let Some(end) = piece.iter().position(|byte| *byte == b'\n') else {
            *piece = &[];
            return false;
        };
        *piece = &piece[end + 1..];
        let next = self.reader.line() + 1;
        begin(&mut self.reader, next);
        (self.passing_over, self.is_whole) = (false, true);
        true
    }
}

/// Has a reader begin on a line. An empty line in front keeps it from taking a byte-order mark there, which it would in a
/// piece of three bytes and not in three of one.
fn begin(reader: &mut Reader, line: u64) {
    reader.reset();
    reader.read_record(b"\n", &mut [0], &mut [0]);
    reader.set_line(line);
}

impl<'r> Row<'r> {
    /// How many fields it has.
    pub fn columns(&self) -> usize {
        self.ends.len()
    }

    /// One of the fields.
    pub fn field(&self, place: usize) -> Option<&'r [u8]> {
        let end = *self.ends.get(place)?;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start..end)
    }

    /// The row as it may have been written.
    pub fn text(&self) -> Vec<u8> {
        let fields: Vec<_> = (0..self.columns()).filter_map(|place| self.field(place)).collect();
        fields.join(&self.separator)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};

    use super::*;

    /// The rows in a text that comes in parts of a size: line and fields, or line and nothing for one that is too long.
    fn read_in_parts(text: &str, separator: u8, part: usize) -> Vec<(u64, Vec<String>)> {
        let mut rows = Rows::new(separator);
        let mut found = Vec::new();
        for mut piece in text.as_bytes().chunks(part).chain([&b""[..]]) {
            loop {
                match rows.next(&mut piece) {
                    Next::Row(row) => {
                        let fields = (0..row.columns()).filter_map(|place| row.field(place));
                        found
                            .push((row.line, fields.map(|field| String::from_utf8_lossy(field).to_string()).collect()));
                    }
                    Next::TooLong { line, .. } => found.push((line, Vec::new())),
                    Next::End => break,
                }
            }
        }
        found
    }

    /// The same for parts of any size, which must not matter.
    fn read(text: &str, separator: u8) -> Vec<(u64, Vec<String>)> {
        let whole = read_in_parts(text, separator, text.len().max(1));
        for part in (1..text.len().min(20)).chain([ROW_BYTES, ROW_BYTES + 1]) {
            assert_eq!(read_in_parts(text, separator, part), whole, "in parts of {part}");
        }
        whole
    }

    fn row(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
        (line, fields.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn rows_end_with_any_line_end_and_know_their_line() {
        for end in ["\n", "\r\n"] {
            let text = ["a,b", "", "c", ",", "d,\"e", "f\",g", "h"].join(end);
            let quoted = format!("e{end}f");
            let expected =
                [row(1, &["a", "b"]), row(3, &["c"]), row(4, &["", ""]), row(5, &["d", &quoted, "g"]), row(7, &["h"])];
            assert_eq!(read(&text, b','), expected);
            assert_eq!(read(&(text + end), b','), expected);
        }
        assert_eq!(read("", b','), []);
    }

    #[test]
    fn quotes_and_separators_are_understood() {
        assert_eq!(read("\"a,\"\"b\"\"\",c\n", b','), [row(1, &["a,\"b\"", "c"])]);
        assert_eq!(read("a;1,5\tb\n", b';'), [row(1, &["a", "1,5\tb"])]);
        assert_eq!(read("a\t1,5\n", b'\t'), [row(1, &["a", "1,5"])]);
    }

    #[test]
    fn a_row_may_be_long_but_not_too_long() {
        let fits = "x".repeat(ROW_BYTES);
        assert_eq!(read(&format!("{fits}\na\n"), b','), [row(1, &[&fits]), row(2, &["a"])]);
        assert_eq!(read(&format!("{fits}x\na\n"), b','), [row(1, &[]), row(2, &["a"])]);
        assert_eq!(read(&format!("a\n{fits}{fits}{fits}"), b','), [row(1, &["a"]), row(2, &[])]);
        let many = ",".repeat(MOST_COLUMNS - 1);
        assert_eq!(read(&format!("{many}\na\n"), b',')[1], row(2, &["a"]));
        assert_eq!(read(&format!("{many}\n"), b',')[0].1.len(), MOST_COLUMNS);
        assert_eq!(read(&format!("{many},\na\n"), b','), [row(1, &[]), row(2, &["a"])]);
        assert_eq!(read(&format!("{many},,,,\na\n"), b','), [row(1, &[]), row(2, &["a"])]);
    }

    #[test]
    fn a_quote_that_never_ends_does_not_take_all() {
        let lines = "b,1\n".repeat(ROW_BYTES / 2);
        let found = read(&format!("a,1\n\"b,1\n{lines}"), b',');
        assert_eq!((&found[0], &found[1]), (&row(1, &["a", "1"]), &row(2, &[])));
        assert!(found.len() > ROW_BYTES / 4 - 10, "{} rows", found.len());
        assert_eq!(found.last().map(|(line, _)| *line), Some(2 + ROW_BYTES as u64 / 2));
    }
}
