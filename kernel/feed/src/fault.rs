//! How a feed can be wrong.

use core::fmt;

/// What is wrong with a feed, or with what should become a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin as a feed of this version does.
    Magic([u8; 8]),
    /// There is no such kind of frame.
    Kind(u8),
    /// A frame of this kind does not have so long a body.
    Length {
        /// The frame's kind.
        kind: u8,
        /// Bytes of the body.
        bytes: usize,
    },
    /// A byte that must be 0 is not.
    NotZero,
    /// The sensor of this number was not described, or another one is due to be.
    Sensor(usize),
    /// More sensors than a feed may have.
    Sensors,
    /// A sensor's name is empty, or one of its texts is too long, has control characters or is not UTF-8.
    Text,
    /// There is no such reason for a gap.
    Reason(u8),
    /// At its end the feed says that it had another number of readings than it had.
    Count {
        /// What it says.
        said: u64,
        /// What came.
        came: u64,
    },
    /// Something comes after the end.
    AfterEnd,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(found) => write!(formatter, "it begins with {found:02x?}, which is no feed of version 1"),
            Self::Kind(kind) => write!(formatter, "there is no frame of kind {kind}"),
            Self::Length { kind, bytes } => write!(formatter, "a frame of kind {kind} does not have {bytes} bytes"),
            Self::NotZero => formatter.write_str("a byte that must be 0 is not"),
            Self::Sensor(number) => write!(formatter, "sensor {number} is not the one that is due or was described"),
            Self::Sensors => write!(formatter, "more than {} sensors", crate::SENSORS_MAX),
            Self::Text => formatter.write_str("a sensor's name is empty, or a text of it too long or not printable"),
            Self::Reason(number) => write!(formatter, "there is no reason {number} for a gap"),
            Self::Count { said, came } => write!(formatter, "it says that it had {said} readings, and {came} came"),
            Self::AfterEnd => formatter.write_str("something comes after its end"),
        }
    }
}

impl core::error::Error for Fault {}
