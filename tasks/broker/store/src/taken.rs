//! What becomes of a reading that somebody brings.

/// What became of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the store.
    Kept,
    /// It is the one before.
    Duplicate,
    /// It is not after the one before.
    Late,
    /// It is older than what is kept.
    Old,
    /// It is too far in the future.
    Ahead,
    /// It is no number, or out of the sensor's range.
    OutOfRange,
    /// There are more in a second than the sensor may have.
    TooOften,
    /// There is no room for its sensor.
    NoSensor,
    /// Its sensor cannot be described: its name is empty or too long.
    NoName,
}
