//! Why a run failed.

use core::fmt;

/// Why a run failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The URL is none that this task can fetch; says what is wrong.
    Url(&'static str),
    /// A number is 0, or larger than may be.
    Sensors,
    /// The host's name has no address, or no name server says so.
    NoSuchHost,
    /// The host is there, and nobody listens on the port.
    Refused,
    /// There is no connection to the host.
    Unreachable,
    /// The server said nothing for too long.
    Silent,
    /// The connection broke.
    Lost,
    /// The server's answer is not 200, but this.
    Status(u16),
    /// What the server answers is not HTTP/1, or its head is too long.
    NotHttp,
    /// The body is in a form that was not asked for; says which.
    Encoding(&'static str),
    /// A chunk's frame is wrong, after so many bytes of the body.
    Chunk(u64),
    /// The connection ended within the body, after so many bytes of it.
    EndedEarly(u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url(what) => return write!(f, "parameter \"url\" {what}"),
            Self::Sensors => "parameter \"sensors\" must be from 1 to 4096",
            Self::NoSuchHost => "no such host: its name has no address",
            Self::Refused => "the connection was refused: nobody listens there",
            Self::Unreachable => "the host cannot be reached",
            Self::Silent => "the server is silent",
            Self::Lost => "the connection is lost",
            Self::Status(status) => return write!(f, "the server answered with status {status}"),
            Self::NotHttp => "the server's answer is not HTTP/1, or its head is longer than 8 KiB",
            Self::Encoding(what) => return write!(f, "the body's {what} is none that was asked for"),
            Self::Chunk(bytes) => return write!(f, "the frame of a chunk is wrong, after {bytes} bytes of the body"),
            Self::EndedEarly(bytes) => return write!(f, "the body ended early, after {bytes} bytes"),
        })
    }
}

impl core::error::Error for Error {}
