//! A window's summary as a SenML pack (RFC 8428).
//!
//! The base name is the sensor's name and a slash, the base time the window's start. `window` is the window's length,
//! `sequence` the summary's number within the run, and `run` a random number that tells the runs of a task apart. A summary that is
//! sent by a later run, because the one that made it was ended before it had arrived, has those of the earlier one:
//!
//! ```json
//! [{"bn":"weather:EWR:temperature/","bt":1360195200,"n":"window","u":"s","v":3600},{"n":"run","v":2908316421},
//!  {"n":"sequence","v":17},{"n":"count","u":"count","v":4},{"n":"minimum","u":"Cel","v":1.1}, ...]
//! ```
//!
//! `maximum` and `mean` follow in the sensor's unit, and `variance`, whose unit is that unit's square; SenML has no
//! name for it, so it carries none.

use alloc::string::String;
use core::fmt::Write;

use readings::number;

use crate::backlog::Summary;
use crate::window::Sensor;

/// Appends the summary of one of `sensor`'s windows, which are so many seconds long, to `out`.
pub fn write(window_s: u32, sensor: &Sensor, summary: &Summary, out: &mut String) {
    let statistics = &summary.window.statistics;
    // A name needs no escapes: only letters, digits and a few marks get past the reader. Writing to a string cannot
    // fail.
    let _ = write!(out, "[{{\"bn\":\"{}/\",\"bt\":{},", sensor.name, summary.window.start_s);
    let _ = write!(out, "\"n\":\"window\",\"u\":\"s\",\"v\":{}}},", window_s);
    let _ = write!(out, "{{\"n\":\"run\",\"v\":{}}},", summary.run);
    let _ = write!(out, "{{\"n\":\"sequence\",\"v\":{}}},", summary.sequence);
    let _ = write!(out, "{{\"n\":\"count\",\"u\":\"count\",\"v\":{}}}", statistics.count());
    record("minimum", &sensor.unit, statistics.minimum(), out);
    record("maximum", &sensor.unit, statistics.maximum(), out);
    record("mean", &sensor.unit, statistics.mean(), out);
    record("variance", "", statistics.variance(), out);
    out.push(']');
}

fn record(name: &str, unit: &str, value: f64, out: &mut String) {
    let _ = write!(out, ",{{\"n\":\"{name}\",");
    if !unit.is_empty() {
        out.push_str("\"u\":\"");
        text(unit, out);
        out.push_str("\",");
    }
    out.push_str("\"v\":");
    number::write(value, out);
    out.push('}');
}

/// Writes the inside of a JSON string. Units come from the sensors as they are, quotes and all.
fn text(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests;
