//! JSON objects whose numbers are readings, as Zigbee2MQTT, Tasmota and many others publish them.
//!
//! Each number is a reading of a sensor of its own, named after the device and the path of keys to it:
//! `{"temperature":21.5,"ENERGY":{"Power":7}}` of `kitchen` gives `kitchen/temperature` and `kitchen/ENERGY/Power`.
//! Texts, truth values, `null` and arrays give nothing to compute with.

use alloc::string::String;

use nanojson::Parser;

use crate::json::{DEPTH, TEXT_BYTES, read_number, read_text, skip};
use crate::name::{is_name, push_escaped};
use crate::time::{Precision, rfc3339};
use crate::{Item, Reading, Unreadable, number};

/// What an object does not say itself.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// Its name, which the sensors' begin with.
    pub name: &'a str,
    /// The unit of all its readings, empty when none is known.
    pub unit: &'a str,
    /// The key of the time at which they were taken, which is in RFC 3339 or a number since 1970.
    pub time_key: Option<&'a str>,
}

/// Reads an object and hands each value's [`Item`] to `take`. `now`, in seconds since 1970, dates what says no time.
///
/// # Errors
/// [`Unreadable`] when it is no object in UTF-8, is nested deeper than 8 levels, or has a time that is none: of its
/// readings nobody could say when they were taken. What was handed out until then stands.
pub fn read(text: &[u8], device: Device<'_>, now: f64, take: &mut dyn FnMut(Item<'_>)) -> Result<(), Unreadable> {
    core::str::from_utf8(text).map_err(|_| Unreadable)?;
    let time = match device.time_key {
        Some(key) => find_time(text, key)?,
        None => None,
    };
    let mut scratch = [0; TEXT_BYTES];
    let mut parser = Parser::new(text, &mut scratch);
    let mut walk = Walk { device, time: time.unwrap_or(now), dated: time.is_some(), name: device.name.into(), take };
    walk.object(&mut parser, DEPTH)?;
    Ok(parser.finish()?)
}

/// The time under a key of the object itself; `None` when there is none, or `null`.
fn find_time(text: &[u8], key: &str) -> Result<Option<f64>, Unreadable> {
    let mut scratch = [0; TEXT_BYTES];
    let mut parser = Parser::new(text, &mut scratch);
    parser.object_begin()?;
    while let Some(label) = parser.member_decoded()? {
        if label != key {
            skip(&mut parser, DEPTH)?;
        } else if parser.is_null_ahead() {
            return Ok(None);
        } else if parser.is_string_ahead() {
            let text = read_text(&mut parser, TEXT_BYTES)?.ok_or(Unreadable)?;
            let time = rfc3339(&text).or_else(|| number::parse(&text).map(of_any_unit));
            return time.map(Some).ok_or(Unreadable);
        } else {
            return read_number(&mut parser)?.map(|number| Some(of_any_unit(number))).ok_or(Unreadable);
        }
    }
    Ok(None)
}

fn of_any_unit(number: f64) -> f64 {
    Precision::guess(number).seconds(number)
}

/// The way through an object.
struct Walk<'a> {
    device: Device<'a>,
    time: f64,
    dated: bool,
    /// The device and the keys down to where we are.
    name: String,
    take: &'a mut dyn FnMut(Item<'_>),
}

impl Walk<'_> {
    fn object(&mut self, parser: &mut Parser<'_, '_>, depth: usize) -> Result<(), Unreadable> {
        let depth = depth.checked_sub(1).ok_or(Unreadable)?;
        let above = self.name.len();
        let outermost = depth == DEPTH - 1;
        parser.object_begin()?;
        while let Some(label) = parser.member_decoded()? {
            let is_time = outermost && self.device.time_key == Some(label);
            if !self.name.is_empty() {
                self.name.push('/');
            }
            push_escaped(&mut self.name, label.bytes());
            if is_time {
                skip(parser, depth)?;
            } else if parser.is_object_ahead() {
                self.object(parser, depth)?;
            } else {
                self.value(parser, depth)?;
            }
            self.name.truncate(above);
        }
        Ok(parser.object_end()?)
    }

    fn value(&mut self, parser: &mut Parser<'_, '_>, depth: usize) -> Result<(), Unreadable> {
        let item = if parser.is_number_ahead() {
            match read_number(parser)? {
                Some(value) if is_name(self.name.as_bytes()) => Item::Reading(Reading {
                    name: &self.name,
                    unit: self.device.unit,
                    time: self.time,
                    dated: self.dated,
                    value,
                }),
                _ => Item::Malformed,
            }
        } else {
            skip(parser, depth)?;
            Item::Other
        };
        (self.take)(item);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
