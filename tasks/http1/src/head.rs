//! The head of a server's answer.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use httparse::{EMPTY_HEADER, Header, ParserConfig, Response, Status};

use super::body::Body;

/// The longest head, and the most fields in it.
pub const HEAD_BYTES: usize = 8192;
const FIELDS: usize = 128;

/// What an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Not the answer yet: another head follows (1xx).
    Interim,
    /// What was asked for is elsewhere: there, unless the server has forgotten to say.
    Redirect(u16, Option<String>),
    /// All or a part of what was asked for (200, 206).
    Content(Content),
    /// Anything else, with this status.
    Other(u16),
}

/// What is behind a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// How the server's bytes are to be cut.
    pub body: Body,
    /// What has been done to the content.
    pub coding: Coding,
    /// The part of the whole that this is, if it is one.
    pub part: Option<Part>,
    /// The media type, without its parameters.
    pub media_type: Option<String>,
    /// Where the content is the same byte for byte, this is the same (RFC 9110, section 8.8.3). Weak ones are left out.
    pub etag: Option<String>,
    /// When the content was changed last, in the server's words.
    pub last_modified: Option<String>,
}

/// How a content was encoded on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
}

/// A part of a whole (RFC 9110, section 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its first byte.
    pub first: u64,
    /// Whether it is all that comes from there on, as far as the server says.
    pub is_rest: bool,
}

/// Why a head cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin as one of HTTP/1 does.
    NotHttp,
    /// A line is no field.
    Field,
    /// There are more than 128 fields.
    Fields,
    /// It is longer than 8 KiB.
    TooLong,
    /// The connection ended in it.
    Cut,
    /// A length is no number.
    Length,
    /// There are two lengths.
    Lengths,
    /// What a part is of cannot be read.
    Part,
    /// The content is encoded in a way that was not asked for.
    Coding(String),
    /// The body is encoded in a way that was not asked for.
    TransferCoding(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "the server's answer is not HTTP/1",
            Self::Field => "the head of the server's answer has a line that is no field",
            Self::Fields => "the head of the server's answer has more than 128 fields",
            Self::TooLong => "the head of the server's answer is longer than 8 KiB",
            Self::Cut => "the connection ended within the head of the server's answer",
            Self::Length => "the server's answer has a Content-Length that is no number",
            Self::Lengths => "the server's answer has two different Content-Lengths",
            Self::Part => "the server's answer has a Content-Range that cannot be read",
            Self::Coding(name) => {
                return write!(f, "the server's answer has the content coding \"{name}\", which was not asked for");
            }
            Self::TransferCoding(name) => {
                return write!(f, "the server's answer has the transfer coding \"{name}\", which was not asked for");
            }
        })
    }
}

/// Reads the head at the beginning of `data`: its length, and what it says. `None` if it is not whole.
///
/// # Errors
/// It is no head of HTTP/1, contradicts itself, or promises what was not asked for.
pub fn read(data: &[u8]) -> Result<Option<(usize, Answer)>, Fault> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut response = Response::new(&mut fields);
    let mut parser = ParserConfig::default();
    // RFC 9112, section 5.2: what others send to a client may be folded, and its folds are spaces. Section 5.1: a space
    // before a colon is removed in an answer.
    parser.allow_obsolete_multiline_headers_in_responses(true).allow_spaces_after_header_name_in_responses(true);
    let Status::Complete(length) = parser.parse_response(&mut response, data)? else { return Ok(None) };
    let fields = &*response.headers;
    let answer = match response.code {
        Some(100 | 102..=199) => Answer::Interim,
        Some(200 | 206) => Answer::Content(Content::read(fields)?),
        Some(status @ (301 | 302 | 303 | 307 | 308)) => Answer::Redirect(status, text(fields, "location")),
        Some(status) => Answer::Other(status),
        None => return Err(Fault::NotHttp),
    };
    Ok(Some((length, answer)))
}

impl From<httparse::Error> for Fault {
    fn from(error: httparse::Error) -> Self {
        use httparse::Error::{HeaderName, HeaderValue, NewLine, Status, Token, TooManyHeaders, Version};
        match error {
            HeaderName | HeaderValue | NewLine => Self::Field,
            TooManyHeaders => Self::Fields,
            Status | Token | Version => Self::NotHttp,
        }
    }
}

impl Content {
    fn read(fields: &[Header<'_>]) -> Result<Self, Fault> {
        Ok(Self {
            body: body(fields)?,
            coding: coding(fields)?,
            part: values(fields, "content-range").next().map(|range| part(range).ok_or(Fault::Part)).transpose()?,
            media_type: text(fields, "content-type").map(|value| {
                let name = value.split(';').next().unwrap_or_default();
                name.trim_ascii().to_ascii_lowercase()
            }),
            etag: text(fields, "etag").filter(|etag| etag.starts_with('"')),
            last_modified: text(fields, "last-modified"),
        })
    }
}

/// How the body is framed (RFC 9112, section 6.3).
fn body(fields: &[Header<'_>]) -> Result<Body, Fault> {
    let mut chunked = false;
    for name in items(fields, "transfer-encoding") {
        if chunked || !name.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::TransferCoding(lossy(name)));
        }
        chunked = true;
    }
    if chunked {
        // It overrides a length.
        return Ok(Body::CHUNKED);
    }
    let mut body = Body::ToEnd;
    // RFC 9110, section 8.6: the same length may be there again.
    for digits in items(fields, "content-length") {
        let length = Body::Length(number(digits).ok_or(Fault::Length)?);
        if body != Body::ToEnd && body != length {
            return Err(Fault::Lengths);
        }
        body = length;
    }
    if body == Body::ToEnd && values(fields, "content-length").next().is_some() {
        return Err(Fault::Length);
    }
    Ok(body)
}

fn coding(fields: &[Header<'_>]) -> Result<Coding, Fault> {
    let mut found = Coding::Identity;
    for name in items(fields, "content-encoding") {
        if name.eq_ignore_ascii_case(b"identity") {
            continue;
        }
        let gzip = name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip");
        if !gzip || found == Coding::Gzip {
            return Err(Fault::Coding(lossy(name)));
        }
        found = Coding::Gzip;
    }
    Ok(found)
}

/// Reads `bytes <first>-<last>/<length>`, where the length may be a star.
fn part(range: &[u8]) -> Option<Part> {
    let range = range.trim_ascii().strip_prefix(b"bytes ")?;
    let (range, length) = split(range, b'/')?;
    let (first, last) = split(range, b'-')?;
    let (first, last) = (number(first)?, number(last)?);
    let length = if length == b"*" { None } else { Some(number(length)?) };
    let is_rest = length.is_none_or(|length| last.checked_add(1) == Some(length));
    (first <= last).then_some(Part { first, is_rest })
}

fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..place], &text[place + 1..]))
}

/// The values of all fields of a name.
fn values<'f>(fields: &'f [Header<'_>], name: &'f str) -> impl Iterator<Item = &'f [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// The members of a list, which may be in one field or in several (RFC 9110, section 5.6.1). A fold is white space.
fn items<'f>(fields: &'f [Header<'_>], name: &'f str) -> impl Iterator<Item = &'f [u8]> {
    let items = values(fields, name).flat_map(|value| value.split(|byte| *byte == b','));
    items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// The value of the first field of a name, if it is text without folds.
fn text(fields: &[Header<'_>], name: &str) -> Option<String> {
    let value = values(fields, name).next()?.trim_ascii();
    let is_text = value.iter().all(|byte| *byte == b' ' || byte.is_ascii_graphic()) && !value.is_empty();
    core::str::from_utf8(value).ok().filter(|_| is_text).map(ToOwned::to_owned)
}

/// A short name to show.
fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(32)]).into_owned()
}

/// A number of decimal digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

#[cfg(test)]
mod tests;
