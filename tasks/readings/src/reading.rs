//! One reading of one sensor, and what else may stand where one is expected.

/// Longest unit in bytes; the longest one registered for SenML has 8.
pub const UNIT_BYTES: usize = 16;

/// A number that a sensor gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading<'a> {
    /// The sensor's name.
    pub name: &'a str,
    /// Its unit, empty when none is given.
    pub unit: &'a str,
    /// When it was taken, in seconds since 1970.
    pub time: f64,
    /// Whether who sent it said when it was taken; otherwise it is dated with the time of its arrival.
    pub dated: bool,
    /// The number.
    pub value: f64,
}

/// What there is where a reading is expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    /// A number.
    Reading(Reading<'a>),
    /// A text, a truth value or binary data: nothing to compute statistics of.
    Other,
    /// What cannot be used. What comes after it can.
    Malformed,
}

/// The rest cannot be read: what was handed out until then stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;
