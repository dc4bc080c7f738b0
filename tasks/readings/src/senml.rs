//! SenML packs in JSON (RFC 8428), read one record at a time.
//!
//! A pack is an array of records. Base fields (`bn`, `bt`, `bu`, `bv`) hold from their record on. [`read`] resolves
//! each record as section 4.6 says and hands out what it gives; it keeps one record and no more, whatever a pack's
//! size.
//!
//! What is not as it should be costs as little as possible: a value of the wrong type costs its reading, a base field
//! of the wrong type or a syntax error costs the rest of the pack, because the following records can no longer be
//! trusted.

use alloc::string::String;

use nanojson::Parser;

use crate::json::{DEPTH, TEXT_BYTES, read_number, read_text, skip};
use crate::name::{NAME_BYTES, is_name};
use crate::{Item, Reading, UNIT_BYTES, Unreadable};

/// Times below this are relative to now (RFC 8428, section 4.5.3).
const FIRST_ABSOLUTE_TIME: f64 = 268_435_456.0;

/// The version of SenML that this reads, and the same with secondary units (RFC 9100), which are units like any others
/// here: they are passed on as they are.
const VERSION: f64 = 10.0;
const VERSION_WITH_SECONDARY_UNITS: f64 = 26.0;

/// A sum is a quantity of its own, the integral of the value over time (section 4.3), and so a series of its own: the
/// sensor's name and this, in the unit multiplied by seconds, as UCUM writes it.
const SUM: &str = "/sum";
const SUM_UNIT: &str = ".s";

/// Reads a pack and hands each record's [`Item`] to `take`. Records with base fields alone give nothing.
///
/// `now` is the time in seconds since 1970 to which relative times refer.
///
/// # Errors
/// [`Unreadable`] when the pack is not UTF-8, not an array of objects, ends early, has a base field of the
/// wrong type, or needs a version or an extension that this does not know. What was handed out until then stands.
pub fn read(pack: &[u8], now: f64, take: &mut dyn FnMut(Item<'_>)) -> Result<(), Unreadable> {
    // The parser looks at the text it hands out only. What is no text at all is no JSON.
    core::str::from_utf8(pack).map_err(|_| Unreadable)?;
    let mut text = [0; TEXT_BYTES];
    let mut parser = Parser::new(pack, &mut text);
    let mut base = Base::default();
    parser.array_begin()?;
    while parser.array_item()? {
        let record = read_record(&mut parser, &mut base)?;
        record.resolve(&base, now, take);
    }
    parser.array_end()?;
    Ok(parser.finish()?)
}

/// The base fields that hold at this point of the pack.
#[derive(Default)]
struct Base {
    name: String,
    unit: String,
    time: Option<f64>,
    value: f64,
    sum: f64,
}

/// One record's own fields.
#[derive(Default)]
struct Record {
    name: String,
    unit: Option<String>,
    time: Option<f64>,
    value: Option<f64>,
    /// How many of the value fields there are, numbers included.
    values: u8,
    sum: Option<f64>,
    malformed: bool,
}

impl Record {
    fn resolve(self, base: &Base, now: f64, take: &mut dyn FnMut(Item<'_>)) {
        if self.values == 0 && self.sum.is_none() && !self.malformed {
            return;
        }
        let mut name = base.name.clone();
        name.push_str(&self.name);
        if !is_name(name.as_bytes()) || self.malformed || self.values > 1 {
            return take(Item::Malformed);
        }
        let time = base.time.unwrap_or(0.0) + self.time.unwrap_or(0.0);
        let dated = time >= FIRST_ABSOLUTE_TIME;
        let time = if dated { time } else { now + time };
        let unit = self.unit.as_ref().unwrap_or(&base.unit);
        if let Some(value) = self.value {
            take(Item::Reading(Reading { name: &name, unit, time, dated, value: base.value + value }));
        } else if self.values != 0 {
            take(Item::Other);
        }
        if let Some(sum) = self.sum {
            name.push_str(SUM);
            let unit = if unit.is_empty() { String::new() } else { unit.clone() + SUM_UNIT };
            take(if is_name(name.as_bytes()) && unit.len() <= UNIT_BYTES {
                Item::Reading(Reading { name: &name, unit: &unit, time, dated, value: base.sum + sum })
            } else {
                Item::Malformed
            });
        }
    }
}

/// The fields of section 4.
#[derive(Clone, Copy)]
enum Field {
    BaseName,
    BaseTime,
    BaseUnit,
    BaseValue,
    BaseSum,
    BaseVersion,
    Name,
    Unit,
    Value,
    OtherValue,
    Sum,
    Time,
    UpdateTime,
    /// A field that may be ignored.
    Unknown,
    /// A field that must not be ignored: its label ends in an underscore (section 4.4).
    MustUnderstand,
}

impl Field {
    fn of(label: &str) -> Self {
        match label {
            "bn" => Self::BaseName,
            "bt" => Self::BaseTime,
            "bu" => Self::BaseUnit,
            "bv" => Self::BaseValue,
            "bs" => Self::BaseSum,
            "bver" => Self::BaseVersion,
            "n" => Self::Name,
            "u" => Self::Unit,
            "v" => Self::Value,
            "vs" | "vb" | "vd" => Self::OtherValue,
            "s" => Self::Sum,
            "t" => Self::Time,
            "ut" => Self::UpdateTime,
            _ if label.ends_with('_') => Self::MustUnderstand,
            _ => Self::Unknown,
        }
    }
}

/// Reads one record; its base fields go to `base`, for this record as well, wherever in it they stand.
fn read_record(parser: &mut Parser<'_, '_>, base: &mut Base) -> Result<Record, Unreadable> {
    let mut record = Record::default();
    parser.object_begin()?;
    while let Some(label) = parser.member_decoded()? {
        let field = Field::of(label);
        match field {
            Field::BaseName => base.name = read_text(parser, NAME_BYTES)?.ok_or(Unreadable)?,
            Field::BaseUnit => base.unit = read_text(parser, UNIT_BYTES)?.ok_or(Unreadable)?,
            Field::BaseTime => base.time = Some(read_number(parser)?.ok_or(Unreadable)?),
            Field::BaseValue => base.value = read_number(parser)?.ok_or(Unreadable)?,
            Field::BaseSum => base.sum = read_number(parser)?.ok_or(Unreadable)?,
            Field::BaseVersion => {
                let known = |version: &f64| *version <= VERSION || *version == VERSION_WITH_SECONDARY_UNITS;
                read_number(parser)?.filter(known).ok_or(Unreadable)?;
            }
            Field::Name => match read_text(parser, NAME_BYTES)? {
                Some(name) => record.name = name,
                None => record.malformed = true,
            },
            Field::Unit => match read_text(parser, UNIT_BYTES)? {
                Some(unit) => record.unit = Some(unit),
                None => record.malformed = true,
            },
            Field::Value | Field::Sum | Field::Time | Field::UpdateTime => {
                let number = read_number(parser)?;
                record.malformed |= number.is_none();
                match field {
                    Field::Value => {
                        record.value = number;
                        record.values = record.values.saturating_add(1);
                    }
                    Field::Time => record.time = number,
                    Field::Sum => record.sum = number,
                    _ => {}
                }
            }
            Field::OtherValue => {
                skip(parser, DEPTH)?;
                record.values = record.values.saturating_add(1);
            }
            Field::Unknown => skip(parser, DEPTH)?,
            Field::MustUnderstand => return Err(Unreadable),
        }
    }
    parser.object_end()?;
    Ok(record)
}

#[cfg(test)]
mod tests;
