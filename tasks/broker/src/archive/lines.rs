//! The lines of an answer, as they come.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use embassy_time::{Duration, with_timeout};
use http1::{Answer, Body, Connection, Url, ask};
use kernel::net::Network;
use kernel::stream::ReadInPlace;
use readings::Unreadable;

/// How long the database may be silent. Where it is away, what a task gets of the store waits as long, once.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest line that is looked at.
const LINE_BYTES: usize = 32 * 1024;
/// How much of the database's words is shown.
const WORDS: usize = 160;

/// Why there is no answer, or not all of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is none.
    NoAnswer(http1::Error),
    /// It has this status.
    Status(u16),
    /// The connection ended before the answer did, or nothing came for too long.
    Lost,
    /// The frame of a chunk is wrong.
    Chunk,
    /// A line is too long.
    Line,
    /// A line is not as InfluxDB has it.
    Unreadable,
    /// There is more than was asked for, or than there is room for.
    Much,
    /// The question is too long.
    Long,
    /// What the database says is wrong.
    Said(String),
}

/// An answer.
pub(crate) struct Lines<C> {
    connection: C,
    body: Body,
    line: Vec<u8>,
}

/// Asks for a URL, with this field in the request.
pub(crate) async fn lines<'n, N: Network>(
    network: &'n N,
    url: &Url,
    access: &str,
) -> Result<Lines<Connection<'n, N>>, Fault> {
    let fields = [access, "Accept: application/json\r\n"].concat();
    let (connection, answer) = ask(url, network, &fields, PATIENCE).await.map_err(Fault::NoAnswer)?;
    match answer {
        Answer::Content(content) => Ok(Lines { connection, body: content.body, line: Vec::new() }),
        Answer::Redirect(status, _) | Answer::Other(status) => Err(Fault::Status(status)),
        Answer::Interim => unreachable!("interim answers are passed over"),
    }
}

impl<C: ReadInPlace> Lines<C> {
    /// The next line; none at the end of the answer.
    pub(crate) async fn next(&mut self) -> Result<Option<&[u8]>, Fault> {
        self.line.clear();
        while !self.line.ends_with(b"\n") {
            if self.body.is_complete() {
                break;
            }
            let Self { connection, body, line } = self;
            let part = connection.read_in_place(|data| take(data, body, line));
            match with_timeout(PATIENCE, part).await {
                Ok(Ok(Ok(true))) => {}
                Ok(Ok(Ok(false))) if self.body.may_end() => break,
                Ok(Ok(Err(fault))) => return Err(fault),
                Ok(Ok(Ok(false)) | Err(_)) | Err(_) => return Err(Fault::Lost),
            }
        }
        Ok((!self.line.trim_ascii().is_empty()).then_some(&*self.line))
    }
}

/// Takes what has arrived up to the end of a line. Returns how much of `data` that is, and whether there was any.
fn take(data: &[u8], body: &mut Body, line: &mut Vec<u8>) -> (usize, Result<bool, Fault>) {
    let mut rest = data;
    while !rest.is_empty() && !body.is_complete() && !line.ends_with(b"\n") {
        // No further than where a line may end: what is behind that stays in the connection.
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let mut part = &rest[..end];
        let piece = body.take(&mut part);
        rest = &rest[end - part.len()..];
        match piece {
            Ok(piece) if line.len() + piece.len() <= LINE_BYTES => line.extend_from_slice(piece),
            Ok(_) => return (data.len(), Err(Fault::Line)),
            Err(_) => return (data.len(), Err(Fault::Chunk)),
        }
    }
    (data.len() - rest.len(), Ok(!data.is_empty()))
}

impl Fault {
    /// What the database says is wrong.
    pub(crate) fn said(words: &str) -> Self {
        Self::Said(words.chars().filter(|character| !character.is_control()).take(WORDS).collect())
    }
}

impl From<Unreadable> for Fault {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAnswer(error) => return error.fmt(f),
            Self::Status(401 | 403) => "it refuses the user: parameters \"past_user\" and \"past_password\"",
            Self::Status(status) => return write!(f, "it answers with status {status}"),
            Self::Lost => "the connection was lost within an answer",
            Self::Chunk => "the frame of a chunk of its answer is wrong",
            Self::Line => "its answer has a line of more than 32 KiB",
            Self::Unreadable => "its answer is not as InfluxDB's",
            Self::Much => "its answer has more than there is room for",
            Self::Long => "a series has a key that is too long to ask for",
            Self::Said(words) => return write!(f, "it says: {words}"),
        })
    }
}
