//! The wire format of a feed: readings of sensors on their way to a task, as a stream of bytes.
//!
//! Purpose: what a guest, a broker, a node and a developer's machine say to each other about readings, once for all of
//! them. It costs a task no parsing: a reading is a time and a number, 16 bytes, and many of one sensor lie one behind
//! the other.
//!
//! A feed begins with [`MAGIC`]. Then come frames: a header of 8 bytes and a body. All numbers are little endian.
//!
//! | offset | | |
//! |---|---|---|
//! | 0 | `u8` | the kind of frame |
//! | 1 | `u8` | 0 |
//! | 2 | `u16` | a sensor, by how many were described before it |
//! | 4 | `u32` | bytes of the body |
//!
//! | kind | sensor | body |
//! |---|---|---|
//! | 1, a sensor | the next number | four bytes, the lengths of name, kind, unit and place; then these, in UTF-8 |
//! | 2, readings | whose | of each its time, an `i64` in nanoseconds since 1970, and its value, an `f64` |
//! | 3, a gap | whose, or 65,535 for several | how many readings were left out, a `u64`, 0 if nobody knows; why, a `u8`; 7 times 0 |
//! | 4, the end | 0 | how many readings the feed had, a `u64` |
//!
//! What is not so breaks the feed: [`Decoder`] says what was wrong. It takes its bytes for hostile, needs no memory and
//! does as much work as they are long. A value may be any `f64`, infinite and not a number included: who computes with it
//! decides. Times need not be in order.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod decoder;
mod encoder;
mod fault;
mod item;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use fault::Fault;
pub use item::{Gap, Item, Reading, Readings, Reason, Sensor};

/// The first bytes of a feed: its name and the version of its format.
pub const MAGIC: [u8; 8] = *b"feed\0\0\0\x01";
/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 8;
/// Bytes of a reading.
pub const READING_BYTES: usize = 16;
/// The most sensors that one feed describes.
pub const SENSORS_MAX: usize = 1024;
/// The most readings in one frame, with which it has 32 KiB.
pub const BATCH_MAX: usize = (32 * 1024 - HEADER_BYTES) / READING_BYTES;
/// Longest name, kind, unit or place of a sensor, in bytes.
pub const TEXT_BYTES: usize = 128;

/// The kinds of frames.
mod kind {
    pub(crate) const SENSOR: u8 = 1;
    pub(crate) const READINGS: u8 = 2;
    pub(crate) const GAP: u8 = 3;
    pub(crate) const END: u8 = 4;
}

/// In place of a sensor: several.
const SEVERAL: u16 = u16::MAX;
/// Bytes of a gap's body.
const GAP_BYTES: usize = 16;
/// Bytes of an end's body.
const END_BYTES: usize = 8;
/// Bytes of the lengths that a sensor's body begins with.
const LENGTHS_BYTES: usize = 4;

const _: () = assert!(SENSORS_MAX < SEVERAL as usize, "a sensor's number is not taken for several");
