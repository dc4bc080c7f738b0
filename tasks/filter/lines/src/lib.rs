//! Readings in lines of text: a sensor's name, a comma, a number; and the sums of readings, wherever they were read.
//!
//! Pieces of the text come as they arrived, and lines are read where they lie in them; only a line that goes on in the
//! next piece is copied, into a buffer of fixed size. Whatever the text, nothing else is kept but the sensors.
//!
//! This is a package of its own because the compiler is told to make it fast (in the workspace's Cargo.toml), where all
//! else in an image is made small: it runs for every byte. The same for the whole task would cost 48 KB.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod exact;
pub mod sensors;
pub mod tally;

use readings::name::is_name;

use crate::sensors::Value;
use crate::tally::Tally;

/// The longest line, without its end: a name, a comma, and a number of more digits than any sensor gives.
pub const LINE_BYTES: usize = 256;

/// What was read so far.
#[derive(Debug)]
pub struct Lines {
    /// What was found.
    pub tally: Tally,
    /// Lines without anything in them.
    empty: u64,
    /// The beginning of a line whose end has not come. It may have a carriage return behind it.
    begun: [u8; LINE_BYTES + 1],
    begun_bytes: usize,
    /// The line whose end has not come is too long.
    too_long: bool,
}

impl Lines {
    /// Nothing yet, for so many sensors.
    pub fn new(most_sensors: u16) -> Self {
        Self { tally: Tally::new(most_sensors), empty: 0, begun: [0; LINE_BYTES + 1], begun_bytes: 0, too_long: false }
    }

    /// Reads the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        if self.begun_bytes > 0 || self.too_long {
            let Some((end, after)) = split_line(rest) else { return self.begin(rest) };
            self.begin(end);
            self.end_begun();
            rest = after;
        }
        loop {
            if let Some(after) = self.tally.sensors.take_likely(rest) {
                self.tally.readings += 1;
                rest = after;
            } else if let Some((line, after)) = split_line(rest) {
                self.line(line);
                rest = after;
            } else {
                return self.begin(rest);
            }
        }
    }

    /// Reads the last line, if it has no end.
    pub fn finish(&mut self) {
        self.end_begun();
    }

    /// Keeps a part of a line, or what of it there is room for.
    fn begin(&mut self, part: &[u8]) {
        let place = &mut self.begun[self.begun_bytes..];
        let kept = part.len().min(place.len());
        place[..kept].copy_from_slice(&part[..kept]);
        self.begun_bytes += kept;
        self.too_long |= kept < part.len();
    }

    /// Reads the line that was kept.
    fn end_begun(&mut self) {
        let begun = self.begun;
        let length = core::mem::take(&mut self.begun_bytes);
        match core::mem::take(&mut self.too_long) {
            true => self.malformed(&begun[..length]),
            false => self.line(&begun[..length]),
        }
    }

    /// Reads a line without its end.
    fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.empty += 1;
            return;
        }
        match reading(line) {
            Some((name, value)) => self.tally.reading(name, value),
            None => self.malformed(line),
        }
    }

    fn malformed(&mut self, line: &[u8]) {
        let before = self.tally.readings + self.tally.malformed + self.empty;
        self.tally.malformed(before + 1, line);
    }
}

/// The first line without its end, and what comes behind it; `None` if the end is not there.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

/// The name and the number in a line.
fn reading(line: &[u8]) -> Option<(&[u8], Value)> {
    if line.len() > LINE_BYTES {
        return None;
    }
    let comma = line.iter().position(|byte| *byte == b',')?;
    let (name, text) = (&line[..comma], &line[comma + 1..]);
    let value = Value::read(text)?;
    is_name(name).then_some((name, value))
}

#[cfg(test)]
mod tests;
