//! What can go wrong with a request, by its name in the store.

use alloc::string::String;
use core::fmt;

/// A request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Why.
    pub kind: ErrorKind,
    /// The path that was asked for; empty for the start and end of a transaction.
    pub path: String,
}

impl Error {
    /// The error of this kind at `path`.
    #[must_use]
    pub fn new(kind: ErrorKind, path: &str) -> Self {
        Self { kind, path: String::from(path) }
    }
}

/// Why a request failed: the store's own errors by their names, and what this side finds wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub enum ErrorKind {
    /// `EINVAL`
    Invalid,
    /// `EACCES`
    Denied,
    /// `EEXIST`
    Exists,
    /// `EISDIR`
    IsDirectory,
    /// `ENOENT`
    NotFound,
    /// `ENOMEM`
    NoMemory,
    /// `ENOSPC`: a quota of the domain is used up.
    NoSpace,
    /// `EIO`
    InputOutput,
    /// `ENOTEMPTY`
    NotEmpty,
    /// `ENOSYS`
    NotImplemented,
    /// `EROFS`
    ReadOnly,
    /// `EBUSY`: too many transactions at once.
    Busy,
    /// `EAGAIN`: someone else changed what the transaction saw; try it again.
    Again,
    /// `EISCONN`
    IsConnected,
    /// `E2BIG`
    TooBig,
    /// `EPERM`
    NotPermitted,
    /// An error that this version does not know.
    Unknown,
    /// The request does not fit into one message, or its path is longer than the store allows. It was not sent.
    TooLong,
    /// The path or value contains a zero byte where none may be. It was not sent.
    ZeroByte,
    /// The reply is not what the request asks for, or not text where text is due.
    Malformed,
    /// The store broke the protocol, so the connection is lost, and with it the outcome of the request.
    Disconnected,
}

/// The errors that have a name in the store, and the names.
const NAMED: [(ErrorKind, &str); 16] = [
    (ErrorKind::Invalid, "EINVAL"),
    (ErrorKind::Denied, "EACCES"),
    (ErrorKind::Exists, "EEXIST"),
    (ErrorKind::IsDirectory, "EISDIR"),
    (ErrorKind::NotFound, "ENOENT"),
    (ErrorKind::NoMemory, "ENOMEM"),
    (ErrorKind::NoSpace, "ENOSPC"),
    (ErrorKind::InputOutput, "EIO"),
    (ErrorKind::NotEmpty, "ENOTEMPTY"),
    (ErrorKind::NotImplemented, "ENOSYS"),
    (ErrorKind::ReadOnly, "EROFS"),
    (ErrorKind::Busy, "EBUSY"),
    (ErrorKind::Again, "EAGAIN"),
    (ErrorKind::IsConnected, "EISCONN"),
    (ErrorKind::TooBig, "E2BIG"),
    (ErrorKind::NotPermitted, "EPERM"),
];

impl ErrorKind {
    /// The error that the store names; a terminating zero is ignored.
    pub(super) fn from_reply(payload: &[u8]) -> Self {
        let name = payload.strip_suffix(b"\0").unwrap_or(payload);
        NAMED.iter().find(|(_, known)| known.as_bytes() == name).map_or(Self::Unknown, |(kind, _)| *kind)
    }

    /// The store's name of the error, or a few words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown error",
            Self::TooLong => "too long",
            Self::ZeroByte => "contains a zero byte",
            Self::Malformed => "malformed value",
            Self::Disconnected => "connection to the store lost",
            named => NAMED.iter().find(|(kind, _)| *kind == named).map_or("", |(_, name)| *name),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in ["xenstore ", self.path.as_str(), ": ", self.kind.name()] {
            formatter.write_str(part)?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::{ErrorKind, NAMED};

    #[test]
    fn an_error_of_the_store_is_known_by_its_name() {
        for (kind, name) in NAMED {
            assert_eq!((ErrorKind::from_reply(name.as_bytes()), kind.name()), (kind, name));
        }
        assert_eq!(ErrorKind::from_reply(b"ENOENT\0"), ErrorKind::NotFound);
        assert_eq!(ErrorKind::from_reply(b"EWHATEVER"), ErrorKind::Unknown);
    }
}
