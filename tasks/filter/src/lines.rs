//! Readings in lines of text: a sensor's name, a comma, a number.
//!
//! Pieces of the text come as they arrived, and lines are read where they lie in them; only a line that goes on in the
//! next piece is copied, into a buffer of fixed size. Whatever the text, nothing else is kept but the sensors.

use core::str;

use readings::name::is_name;
use readings::number;

use crate::sensors::{Sensor, Sensors};

/// The longest line, without its end: a name, a comma, and a number of more digits than any sensor gives.
pub const LINE_BYTES: usize = 256;

/// How many digits always fit the 53 bits of a number, so that one division rounds it correctly.
const EXACT_DIGITS: usize = 15;

/// Powers of ten, which are exact.
const POWERS: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// What was read so far.
#[derive(Debug)]
pub struct Lines {
    /// The sensors that there is room for.
    pub sensors: Sensors,
    /// Readings, with those that there was no room for.
    pub readings: u64,
    /// Readings of sensors that there was no room for.
    pub over_limit: u64,
    /// Lines that are no reading. Empty ones do not count.
    pub malformed: u64,
    /// The beginning of a line whose end has not come.
    begun: [u8; LINE_BYTES],
    begun_bytes: usize,
    /// The line whose end has not come is too long.
    too_long: bool,
}

impl Lines {
    /// Nothing yet, for so many sensors.
    pub fn new(most_sensors: u16) -> Self {
        Self {
            sensors: Sensors::new(most_sensors),
            readings: 0,
            over_limit: 0,
            malformed: 0,
            begun: [0; LINE_BYTES],
            begun_bytes: 0,
            too_long: false,
        }
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
            if let Some(length) = self.sensors.likely().and_then(|sensor| likely_line(rest, sensor)) {
                self.sensors.push_likely(length.value);
                self.readings += 1;
                rest = &rest[length.bytes..];
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

    /// Keeps a part of a line.
    fn begin(&mut self, part: &[u8]) {
        match self.begun.get_mut(self.begun_bytes..self.begun_bytes + part.len()) {
            Some(place) if !self.too_long => {
                place.copy_from_slice(part);
                self.begun_bytes += part.len();
            }
            _ => self.too_long = true,
        }
    }

    /// Reads the line that was kept.
    fn end_begun(&mut self) {
        let begun = self.begun;
        let length = core::mem::take(&mut self.begun_bytes);
        match core::mem::take(&mut self.too_long) {
            true => self.malformed += 1,
            false => self.line(&begun[..length]),
        }
    }

    /// Reads a line without its end.
    fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        match reading(line) {
            Some((name, value)) => {
                self.readings += 1;
                self.over_limit += u64::from(!self.sensors.push(name, value));
            }
            None => self.malformed += 1,
        }
    }
}

/// The first line without its end, and what comes behind it; `None` if the end is not there.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

/// The name and the number in a line.
fn reading(line: &[u8]) -> Option<(&str, f64)> {
    if line.len() > LINE_BYTES {
        return None;
    }
    let comma = line.iter().position(|byte| *byte == b',')?;
    let (name, value) = (&line[..comma], &line[comma + 1..]);
    let text = |bytes| str::from_utf8(bytes).ok();
    is_name(name).then_some(())?;
    Some((text(name)?, number::parse(text(value)?)?))
}

/// A line that was read.
struct Line {
    value: f64,
    /// Its length, with its end.
    bytes: usize,
}

/// The first line, if it has its end, is the sensor's, and has a number as sensors give them: that is most lines. `None`
/// for all others, be they readings or not.
#[inline]
fn likely_line(text: &[u8], sensor: &Sensor) -> Option<Line> {
    let value = text.strip_prefix(sensor.name.as_bytes())?.strip_prefix(b",")?;
    let (negative, digits) = match value {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let (mut number, mut count, mut point) = (0_u64, 0, None);
    // Behind more digits than are exact there may be a point, and a line's end.
    for (place, byte) in digits.iter().enumerate().take(EXACT_DIGITS + 3) {
        match byte {
            b'0'..=b'9' => {
                number = number * 10 + u64::from(byte - b'0');
                count += 1;
            }
            b'.' if count > 0 && point.is_none() => point = Some(count),
            b'\r' | b'\n' if (1..=EXACT_DIGITS).contains(&count) => {
                let end = if *byte == b'\n' { place } else { place + 1 };
                if digits.get(end) != Some(&b'\n') {
                    return None;
                }
                let magnitude = number as f64 / POWERS[count - point.unwrap_or(count)];
                let value = if negative { -magnitude } else { magnitude };
                return Some(Line { value, bytes: text.len() - digits.len() + end + 1 });
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;
