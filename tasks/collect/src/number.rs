//! Numbers to and from JSON text.
//!
//! `core`'s own conversions would do, for some 28 KB of an image that may have 150 (see Cargo.toml).

use alloc::string::String;

/// Readings beyond this are refused: no sensor gives them, and their squares would leave the range of `f64`.
pub const LARGEST: f64 = 1e100;

/// Reads a JSON number, correctly rounded. `None` when it is no number or its magnitude is above [`LARGEST`].
pub fn parse(text: &str) -> Option<f64> {
    let number: f64 = lexical_core::parse(text.as_bytes()).ok()?;
    // A comparison that is false for NaN as well.
    (number.abs() <= LARGEST).then_some(number)
}

/// Writes a finite number as the shortest text that reads back as the same one.
pub fn write(number: f64, out: &mut String) {
    out.push_str(zmij::Buffer::new().format_finite(number));
}

#[cfg(test)]
mod tests;
