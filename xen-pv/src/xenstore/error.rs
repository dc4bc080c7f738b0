//! What can go wrong with a request, by its name in the store.

use alloc::string::String;
use core::fmt;

use crate::words::line;

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

/// The errors that have a name in the store: the first of [`ErrorKind`], in its order, as [`NAMES`] is.
const NAMED: [ErrorKind; 16] = [
    ErrorKind::Invalid,
    ErrorKind::Denied,
    ErrorKind::Exists,
    ErrorKind::IsDirectory,
    ErrorKind::NotFound,
    ErrorKind::NoMemory,
    ErrorKind::NoSpace,
    ErrorKind::InputOutput,
    ErrorKind::NotEmpty,
    ErrorKind::NotImplemented,
    ErrorKind::ReadOnly,
    ErrorKind::Busy,
    ErrorKind::Again,
    ErrorKind::IsConnected,
    ErrorKind::TooBig,
    ErrorKind::NotPermitted,
];

/// The names of the kinds of [`ErrorKind`], in its order: those that the store gives, then words of our own.
const NAMES: &str = "\
    EINVAL\nEACCES\nEEXIST\nEISDIR\nENOENT\nENOMEM\nENOSPC\nEIO\nENOTEMPTY\nENOSYS\nEROFS\nEBUSY\nEAGAIN\nEISCONN\nE2BIG\nEPERM\n\
    unknown error\ntoo long\ncontains a zero byte\nmalformed value\nconnection to the store lost";

impl ErrorKind {
    /// The error that the store names; a terminating zero is ignored.
    pub(super) fn from_reply(payload: &[u8]) -> Self {
        let name = payload.strip_suffix(b"\0").unwrap_or(payload);
        NAMED.into_iter().find(|kind| kind.name().as_bytes() == name).unwrap_or(Self::Unknown)
    }

    /// The store's name of the error, or a few words.
    #[must_use]
    pub fn name(self) -> &'static str {
        line(NAMES, self as usize)
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
