//! Why there is no connection, or none any more, in words.

use core::fmt;

use kernel::net::ConnectError;

use super::packet::Malformed;
use super::reason::Reason;

/// Why there is no connection, or none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no connection.
    NotConnected(ConnectError),
    /// Nothing was heard for too long.
    Silent,
    /// The connection broke, or the broker closed it.
    Closed,
    /// The connection was closed before anything was heard.
    Unanswered,
    /// The port speaks TLS.
    Tls,
    /// The broker has understood MQTT 3.1.1, after it has not answered MQTT 5.
    Older,
    /// The broker does not let us in.
    Refused(Reason),
    /// The broker ended the connection.
    Ended(Reason),
    /// Messages of ours were not acknowledged for too long.
    Unacknowledged,
    /// The broker said what MQTT does not allow, or more than we have room for.
    Protocol,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotConnected(error) => return error.fmt(f),
            Self::Silent => "it is silent",
            Self::Closed => "the connection is closed",
            Self::Unanswered => "it closes the connection without an answer",
            Self::Tls => "it speaks TLS, which this task does not",
            Self::Older => "it knows MQTT 3.1.1; whether it knows MQTT 5 is tried once more",
            Self::Refused(reason) => return write!(f, "it refuses: {reason}"),
            Self::Ended(reason) => return write!(f, "it ends the connection: {reason}"),
            Self::Unacknowledged => "it does not acknowledge",
            Self::Protocol => "it does not keep to MQTT",
        };
        f.write_str(text)
    }
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Protocol
    }
}
