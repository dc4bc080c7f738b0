//! InfluxDB's line protocol, as Telegraf and many others write it.
//!
//! `weather,place=north temperature=21.5,wind=3i 1705311000000000000` gives `weather/place:north/temperature` and
//! `weather/place:north/wind`: the measurement, the tags and a field are the sensor's name, and each number is a
//! reading.
//!
//! What InfluxDB has is written in the same way in its answers to queries ([`answer`]), so that a sensor has the same name
//! on both ways.
//!
//! Source: the InfluxDB documentation, "Line protocol reference". The crates that read it (influxdb-line-protocol,
//! influxdb-line-protocol-parser) need `std`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::name::{is_name, push_escaped};
use crate::time::Precision;
use crate::{Item, Reading, number};

pub mod answer;

/// Reads lines and hands each field's [`Item`] to `take`. A line that cannot be read costs itself; empty lines and
/// comments give nothing. Lines' times are in `precision`; `now`, in seconds since 1970, dates those without; `unit` is
/// that of all readings.
pub fn read(text: &[u8], unit: &str, precision: Precision, now: f64, take: &mut dyn FnMut(Item<'_>)) {
    let mut rest = text;
    while !rest.is_empty() {
        let line = rest.trim_ascii_start();
        if line.is_empty() {
            return;
        }
        rest = if line[0] == b'#' {
            after_line(line)
        } else if let Some((line, after)) = Line::parse(line) {
            line.hand_out(unit, precision, now, take);
            after
        } else {
            take(Item::Malformed);
            after_line(line)
        };
    }
}

/// What the names of a series' sensors begin with. A series is its measurement and its tags, escaped as in a line.
pub fn name_of(series: &[u8]) -> String {
    let mut name = String::new();
    for (number, part) in parts(series, Quotes::AreLetters).enumerate() {
        if number > 0 {
            name.push('/');
        }
        match pair(part).filter(|_| number > 0) {
            Some((tag, value)) => {
                push_escaped(&mut name, unescaped(tag).chain([b':']).chain(unescaped(value)));
            }
            None => push_escaped(&mut name, unescaped(part)),
        }
    }
    name.push('/');
    name
}

/// The name of a field's sensor in a series; `None` if it is too long to be one, or begins as none may.
pub fn sensor_name(series: &[u8], field: &str) -> Option<String> {
    let mut name = name_of(series);
    push_escaped(&mut name, field.bytes());
    is_name(name.as_bytes()).then_some(name)
}

/// The measurement of a series, and its tags with their values, as they were before they were escaped.
pub fn measurement_and_tags(series: &[u8]) -> (String, Vec<(String, String)>) {
    let text = |part: &[u8]| String::from_utf8_lossy(&unescaped(part).collect::<Vec<_>>()).into_owned();
    let mut parts = parts(series, Quotes::AreLetters);
    let measurement = parts.next().map(text).unwrap_or_default();
    (measurement, parts.filter_map(pair).map(|(tag, value)| (text(tag), text(value))).collect())
}

/// What follows the next line end.
fn after_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    &text[end..]
}

/// A line's parts.
struct Line<'a> {
    /// Measurement and tags, escaped as they were sent.
    series: &'a [u8],
    fields: &'a [u8],
    time: Option<f64>,
}

impl<'a> Line<'a> {
    /// The line at the start of the text, and what follows it.
    fn parse(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (series, rest) = until(text, b" \n", Quotes::AreLetters);
        let fields_and_more = rest.strip_prefix(b" ")?.trim_prefix_spaces();
        let (fields, rest) = until(fields_and_more, b" \n", Quotes::Hold);
        let well_formed =
            !series.is_empty() && series[0] != b',' && parts(fields, Quotes::Hold).all(|field| pair(field).is_some());
        let time_and_more = rest.trim_prefix_spaces();
        let (time, rest) = until(time_and_more, b"\n", Quotes::AreLetters);
        let time = match core::str::from_utf8(time.trim_ascii()).ok()? {
            "" => None,
            // Whole, and with a sign at most.
            time if time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => Some(number::parse(time)?),
            _ => return None,
        };
        let fields = fields.trim_ascii_end();
        (well_formed && !fields.is_empty()).then_some((Self { series, fields, time }, rest))
    }

    fn hand_out(&self, unit: &str, precision: Precision, now: f64, take: &mut dyn FnMut(Item<'_>)) {
        let time = self.time.map_or(now, |time| precision.seconds(time));
        let mut name = name_of(self.series);
        let series = name.len();
        for (field, value) in parts(self.fields, Quotes::Hold).filter_map(pair) {
            push_escaped(&mut name, unescaped(field));
            take(match Value::of(value) {
                Value::Number(value) if is_name(name.as_bytes()) => {
                    Item::Reading(Reading { name: &name, unit, time, dated: self.time.is_some(), value })
                }
                Value::Other => Item::Other,
                Value::Number(_) | Value::Malformed => Item::Malformed,
            });
            name.truncate(series);
        }
    }
}

/// A field's value.
enum Value {
    Number(f64),
    Other,
    Malformed,
}

impl Value {
    fn of(text: &[u8]) -> Self {
        let whole = |digits: &[u8]| digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
        let number = match text {
            [b'"', .., b'"'] | b"t" | b"T" | b"true" | b"True" | b"TRUE" => return Self::Other,
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => return Self::Other,
            [digits @ .., b'i' | b'u'] if whole(digits) => number::parse_decimal(digits),
            digits => number::parse_decimal(digits),
        };
        number.map_or(Self::Malformed, Self::Number)
    }
}

/// What a quote begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// A text in which nothing else has a meaning.
    Hold,
    /// Nothing: it is a letter like any other.
    AreLetters,
}

/// The text up to the first of these bytes that is neither escaped nor in quotes, and the rest from it on.
fn until<'a>(text: &'a [u8], ends: &[u8], quotes: Quotes) -> (&'a [u8], &'a [u8]) {
    let (mut escaped, mut quoted) = (false, false);
    let end = text.iter().position(|byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' => escaped = true,
            b'"' if quotes == Quotes::Hold => quoted = !quoted,
            byte => return !quoted && ends.contains(byte),
        }
        false
    });
    text.split_at(end.unwrap_or(text.len()))
}

/// What stands between commas.
fn parts(text: &[u8], quotes: Quotes) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let (part, after) = until(rest?, b",", quotes);
        rest = after.strip_prefix(b",");
        Some(part)
    })
}

/// Key and value of `key=value`.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, value) = until(text, b"=", Quotes::AreLetters);
    let value = value.strip_prefix(b"=")?;
    (!key.is_empty() && !value.is_empty()).then_some((key, value))
}

/// The bytes without the backslashes that give the next one another meaning.
fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> {
    let next = text.iter().skip(1).copied().chain([0]);
    let kept = |(byte, next): &(u8, u8)| *byte != b'\\' || !b", =\"".contains(next);
    text.iter().copied().zip(next).filter(kept).map(|(byte, _)| byte)
}

/// Spaces between the parts of a line may be more than one.
trait Spaces {
    fn trim_prefix_spaces(&self) -> &Self;
}

impl Spaces for [u8] {
    fn trim_prefix_spaces(&self) -> &Self {
        let spaces = self.iter().take_while(|byte| **byte == b' ').count();
        &self[spaces..]
    }
}

#[cfg(test)]
mod tests;
