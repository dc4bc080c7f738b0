//! The sums of what was read, for every reader.

use alloc::string::String;

use crate::sensors::{Sensors, Value};

/// So much of what could not be read is kept, to show it.
const SAMPLE_BYTES: usize = 60;

/// What was read so far.
#[derive(Debug)]
pub struct Tally {
    /// The sensors that there is room for.
    pub sensors: Sensors,
    /// Readings, with those that there was no room for.
    pub readings: u64,
    /// Readings of sensors that there was no room for.
    pub over_limit: u64,
    /// Lines or records that are no reading. Empty ones do not count.
    pub malformed: u64,
    /// The first of these.
    pub sample: Option<Sample>,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The number of its line; the first one is 1.
    pub line: u64,
    /// Its beginning, without what a console cannot show.
    pub text: String,
}

impl Tally {
    /// Nothing yet, for so many sensors.
    pub fn new(most_sensors: u16) -> Self {
        Self { sensors: Sensors::new(most_sensors), readings: 0, over_limit: 0, malformed: 0, sample: None }
    }

    /// Counts a reading.
    pub fn reading(&mut self, name: &[u8], value: Value) {
        self.readings += 1;
        self.over_limit += u64::from(!self.sensors.push(name, value));
    }

    /// Counts what could not be read.
    pub fn malformed(&mut self, line: u64, text: &[u8]) {
        self.malformed += 1;
        self.sample.get_or_insert_with(|| Sample { line, text: shown(text) });
    }
}

/// The beginning of a text; what is no printable character is shown as a question mark.
fn shown(text: &[u8]) -> String {
    let cut = &text[..text.len().min(SAMPLE_BYTES)];
    let characters = String::from_utf8_lossy(cut);
    let printable = characters.chars().map(|character| match character {
        '\t' => ' ',
        character if character.is_control() || character == char::REPLACEMENT_CHARACTER => '?',
        character => character,
    });
    printable.chain((cut.len() < text.len()).then_some('\u{2026}')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_cannot_be_read_is_kept_so_that_it_can_be_shown() {
        let mut tally = Tally::new(1);
        tally.malformed(3, b"\x1b[31mred\t\xff");
        tally.malformed(4, b"later");
        assert_eq!(tally.malformed, 2);
        assert_eq!(tally.sample, Some(Sample { line: 3, text: "?[31mred ?".into() }));
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(shown(&[b'a'; SAMPLE_BYTES]), "a".repeat(SAMPLE_BYTES));
        assert_eq!(shown(&[b'a'; SAMPLE_BYTES + 1]), "a".repeat(SAMPLE_BYTES) + "\u{2026}");
    }
}
