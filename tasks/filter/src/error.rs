//! Why a run failed.

use alloc::string::String;
use core::fmt;

use http1::url;

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The URL is none that this task can fetch; says what is wrong.
    Url(url::Fault),
    /// A number is 0, or larger than may be.
    Sensors,
    /// What should separate columns cannot.
    Separator,
    /// Columns and numbers cannot have the same comma.
    TwoCommas,
    /// Columns are given by name, and the table is said to have no names.
    NoNames,
    /// A parameter of this name is there, which tables alone have a use for.
    OfTables(&'static str),
    /// The table has no such column.
    NoColumn {
        /// The column.
        column: String,
        /// Those that it has.
        there_are: String,
    },
    /// Nothing in the content could be read.
    NoReadings {
        /// So many lines or rows, or fields where numbers may be.
        unread: u64,
        /// The first of them, if it is known.
        sample: Option<String>,
        /// What the server says that the content is.
        media_type: Option<String>,
    },
    /// There is no answer, or none that can be used.
    NoAnswer(http1::Error),
    /// The server's answer is not 200, but this.
    Status(u16),
    /// The server redirects with this status, and does not say where to.
    RedirectNowhere(u16),
    /// The server redirects to this, which cannot be fetched; says what is wrong.
    Redirect(String, url::Fault),
    /// Redirects lead to this again.
    RedirectLoop(String),
    /// There are too many redirects; this is where the last one led.
    Redirects(String),
    /// A chunk's frame is wrong, after so many bytes of the content.
    Chunk(u64),
    /// What should be gzip is not or is damaged, after so many bytes of the content.
    Gzip(u64),
    /// Not all of the content came.
    Interrupted {
        /// What happened.
        interruption: Interruption,
        /// How many bytes of the content had come.
        bytes: u64,
        /// Why it did not go on.
        why: NotResumed,
    },
}

/// How a transfer was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The connection broke.
    Lost,
    /// The connection ended as if all had come.
    Ended,
    /// The server said nothing for too long.
    Silent,
}

/// Why a transfer could not go on where it was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotResumed {
    /// The server has not said what the content could be recognised by.
    Unrecognisable,
    /// The server gives no parts of it.
    Refused,
    /// There is another content now.
    Changed,
    /// There was no connection or no answer, several times in a row.
    Unreachable,
}

impl From<http1::Error> for Error {
    fn from(error: http1::Error) -> Self {
        Self::NoAnswer(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url(what) => return write!(f, "parameter \"url\" {what}"),
            Self::Sensors => "parameter \"sensors\" must be from 1 to 4096",
            Self::Separator => {
                "parameter \"separator\" must be one character that is in no number or name, or tab, space, comma or semicolon"
            }
            Self::TwoCommas => "parameter \"decimal\" is comma, and so must parameter \"separator\" be something else",
            Self::NoNames => "parameter \"header\" is false, and so columns must be given by number",
            Self::OfTables(name) => return write!(f, "parameter \"{name}\" goes with tables only: say format=csv"),
            Self::NoColumn { column, there_are } => {
                return write!(f, "the table has no column \"{column}\"; its columns are: {there_are}");
            }
            Self::NoReadings { unread, sample, media_type } => {
                write!(f, "there is no reading in the content")?;
                if let Some(media_type) = media_type {
                    write!(f, " ({media_type})")?;
                }
                write!(f, ": {unread} lines or fields are none")?;
                if let Some(sample) = sample {
                    write!(f, ", the first of them {sample}")?;
                }
                return f.write_str("; parameter \"format\" says how it is read");
            }
            Self::NoAnswer(error) => return error.fmt(f),
            Self::Status(status) => return write!(f, "the server answered with status {status}"),
            Self::RedirectNowhere(status) => {
                return write!(f, "the server answered with status {status}, which needs a place to go to, and names none");
            }
            Self::Redirect(to, what) => return write!(f, "the server redirects to \"{to}\", which {what}"),
            Self::RedirectLoop(to) => return write!(f, "the server redirects in a loop, to {to} again"),
            Self::Redirects(to) => return write!(f, "the server redirects more than 10 times, now to {to}"),
            Self::Chunk(bytes) => return write!(f, "the frame of a chunk is wrong, after {bytes} bytes of the content"),
            Self::Gzip(bytes) => return write!(f, "the compressed content is damaged, after {bytes} bytes of it"),
            Self::Interrupted { interruption, bytes, why } => {
                return write!(f, "{interruption} after {bytes} bytes of the content, and could not go on there: {why}");
            }
        })
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the connection was lost",
            Self::Ended => "the connection ended early",
            Self::Silent => "the server fell silent",
        })
    }
}

impl fmt::Display for NotResumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unrecognisable => "the server gives the content no tag and no date",
            Self::Refused => "the server does not send the rest alone",
            Self::Changed => "the content is another one now",
            Self::Unreachable => "the server did not answer in 5 attempts",
        })
    }
}

impl core::error::Error for Error {}
