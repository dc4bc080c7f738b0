//! What a guest shows of itself while it runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Timestamp;

/// The most bytes of a guest's figures that are read.
const MOST_BYTES: usize = 2048;
/// The most counters of a guest.
const MOST_COUNTERS: usize = 128;
/// The longest name of one.
const LONGEST_NAME: usize = 40;

/// What a guest has counted: its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// What its heap holds, in bytes.
    pub heap_used_bytes: u64,
    /// The most that it ever held.
    pub heap_peak_bytes: u64,
    /// What its drivers and its task count, by name.
    pub counters: BTreeMap<String, u64>,
}

/// Why a guest's figures are not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FiguresError {
    /// They are more than is read.
    #[error("{0} bytes, of which {MOST_BYTES} are read at most")]
    TooLong(usize),
    /// There are more counters than are kept.
    #[error("more than {MOST_COUNTERS} counters")]
    TooMany,
    /// A word that is no `name=count`.
    #[error("\"{0}\" is no name=count")]
    NotAPair(String),
    /// A name that is there twice.
    #[error("\"{0}\" is there twice")]
    Twice(String),
    /// A figure that every guest has is missing.
    #[error("there is no \"{0}\"")]
    Missing(&'static str),
}

impl Figures {
    /// Reads what a guest wrote, `name=count` words with a space between. A guest may write anything.
    ///
    /// # Errors
    /// They are not as they should be, and what is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, FiguresError> {
        if text.len() > MOST_BYTES {
            return Err(FiguresError::TooLong(text.len()));
        }
        let mut counters = BTreeMap::new();
        for word in text.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
            let (name, count) = pair(word).ok_or_else(|| FiguresError::NotAPair(word.escape_ascii().to_string()))?;
            if counters.insert(name.to_owned(), count).is_some() {
                return Err(FiguresError::Twice(name.to_owned()));
            }
            if counters.len() > MOST_COUNTERS {
                return Err(FiguresError::TooMany);
            }
        }
        let mut take = |name: &'static str| counters.remove(name).ok_or(FiguresError::Missing(name));
        let (heap_used_bytes, heap_peak_bytes) = (take("heap_used")?, take("heap_peak")?);
        Ok(Self { heap_used_bytes, heap_peak_bytes, counters })
    }
}

fn pair(word: &[u8]) -> Option<(&str, u64)> {
    let (name, count) = std::str::from_utf8(word).ok()?.split_once('=')?;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let fits = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_name);
    Some((name, count.parse().ok()?)).filter(|_| fits)
}

/// A task's checkpoint, as the board's disk has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointState {
    /// The task's number for it.
    pub number: u64,
    /// How large it is.
    pub bytes: u64,
    /// When it was written.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::Figures;

    fn error(text: &str) -> String {
        Figures::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_a_guest_counts_is_read_by_name() {
        let figures = Figures::parse(b"rx_frames=12 heap_used=3 heap_peak=18446744073709551615 late=0").unwrap();
        assert_eq!((figures.heap_used_bytes, figures.heap_peak_bytes), (3, u64::MAX));
        let counters: Vec<_> = figures.counters.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(counters, [("late", 0), ("rx_frames", 12)]);
    }

    #[test]
    fn garbage_is_refused_and_named() {
        assert_eq!(error("heap_used=1"), "there is no \"heap_peak\"");
        assert_eq!(error("heap_used=1 heap_used=1"), "\"heap_used\" is there twice");
        for word in ["a", "=1", "a=", "a=-1", "A=1", "a\"=1", "a=18446744073709551616", "a\n=1"] {
            assert!(error(&format!("heap_used=1 heap_peak=1 {word}")).ends_with("is no name=count"), "{word}");
        }
        assert!(error(&format!("{}=1", "x".repeat(41))).ends_with("is no name=count"));
        assert_eq!(error(&"x".repeat(2049)), "2049 bytes, of which 2048 are read at most");
        let many: Vec<_> = (0..129).map(|number| format!("n{number}=1")).collect();
        assert_eq!(error(&many.join(" ")), "more than 128 counters");
        assert_eq!(error("\u{fffd}\u{1b}=1"), "\"\\xef\\xbf\\xbd\\x1b=1\" is no name=count");
    }
}
