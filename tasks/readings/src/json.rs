//! JSON values as the decoders take them: bounded texts, numbers as text, anything else passed over.

use alloc::string::String;

use nanojson::{Deserialize, ParseError, ParseErrorKind, Parser};

use crate::Unreadable;
use crate::number;

/// Longest label or string value that is looked at, in bytes. Longer values of other fields are skipped unread.
pub(crate) const TEXT_BYTES: usize = 256;

/// Arrays and objects within a value that is passed over may be nested this deep.
pub(crate) const DEPTH: usize = 8;

impl From<ParseError> for Unreadable {
    fn from(_: ParseError) -> Self {
        Self
    }
}

/// A string of at most so many bytes, or `None` for a value that is none, which is skipped.
pub(crate) fn read_text(parser: &mut Parser<'_, '_>, longest: usize) -> Result<Option<String>, Unreadable> {
    if parser.is_string_ahead() {
        let text = parser.string()?;
        return Ok((text.len() <= longest).then(|| String::from(text)));
    }
    skip(parser, DEPTH)?;
    Ok(None)
}

/// A number, or `None` for a value that is none or out of range, which is skipped.
pub(crate) fn read_number(parser: &mut Parser<'_, '_>) -> Result<Option<f64>, Unreadable> {
    if parser.is_number_ahead() {
        return Ok(number::parse(parser.number_str()?));
    }
    skip(parser, DEPTH)?;
    Ok(None)
}

/// Skips one value of any type, nested no deeper than `depth`.
pub(crate) fn skip(parser: &mut Parser<'_, '_>, depth: usize) -> Result<(), Unreadable> {
    let depth = depth.checked_sub(1).ok_or(Unreadable)?;
    if parser.is_string_ahead() {
        // Taken as a borrowed string, which needs no room for its text however long it is. With an escape in it there
        // is nothing to borrow, but it has been passed.
        match <&str>::deserialize(parser) {
            Err(error) if error.kind != ParseErrorKind::KeyHasEscapes => return Err(error.into()),
            _ => {}
        }
    } else if parser.is_object_ahead() {
        parser.object_begin()?;
        while parser.member_decoded()?.is_some() {
            skip(parser, depth)?;
        }
        parser.object_end()?;
    } else if parser.is_array_ahead() {
        parser.array_begin()?;
        while parser.array_item()? {
            skip(parser, depth)?;
        }
        parser.array_end()?;
    } else if parser.is_number_ahead() {
        parser.number_str()?;
    } else if parser.is_null_ahead() {
        parser.null()?;
    } else {
        parser.boolean()?;
    }
    Ok(())
}
