//! The readings that the broker keeps, and what of them each task gets.
//!
//! Purpose: memory that is planned. [`Store`] takes readings of any number of sensors and never holds more than it was
//! given at its start: what does not fit is dropped by rule and counted. It is also every task's queue: a [`Delivery`] is
//! no more than a place in each sensor's readings, so a task that takes its time, or none, costs nothing, and finds a gap
//! where readings have left the store before it came.
//!
//! The rules, all of which are about one sensor at a time:
//!
//! - A reading is later than the one before it. The same again is a duplicate; anything else is late. So a span of time is
//!   found without looking at each reading, and a message that comes twice counts once.
//! - Its time is neither older than what is kept nor ahead of the broker's clock by more than is allowed, its value is
//!   finite and within the sensor's range, and there are no more in a second than the sensor may have.
//! - Where memory ends, the oldest chunk of readings goes, of the sensors that have more than their share: a sensor that
//!   talks much displaces itself, and others that do so, but never one that has no more than an equal part.
//!
//! Nothing here waits, knows a clock, or fails because of what others send. Read [`Store`] first, then [`Contract`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod chunks;
mod contract;
mod delivery;
mod options;
mod packing;
mod pattern;
mod rule;
mod sensor;
mod series;
mod store;
mod taken;
#[cfg(test)]
mod tests;

pub use contract::{Contract, Selection, Window};
pub use delivery::{Delivery, Given, Progress, Span};
pub use pattern::Pattern;
pub use rule::Rule;
pub use sensor::{Counts, Sensor};
pub use series::Cursor;
pub use store::{Limits, Store, TooSmall};
pub use taken::Taken;

/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;
