//! Why a test ended early, in our words and in iperf3's numbers.

use core::fmt;

/// Why a test ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The task is asked to end.
    Stopped,
    /// The client's user has interrupted it.
    Interrupted,
    /// The control connection has ended.
    Gone,
    /// The client did not do the next step in time.
    Late,
    /// The client sent something that has no meaning at this point.
    Unexpected(u8),
    /// The parameters are no JSON object, or a longer one than any client's.
    Parameters,
    /// The parameters ask for more streams than are served.
    Streams,
    /// The parameters ask for blocks of a size that iperf3 does not have.
    BlockSize,
    /// The parameters ask for something that this server does not have.
    Unimplemented(&'static str),
    /// Datagrams cannot be received or sent.
    Datagrams,
}

impl Failure {
    /// What iperf3 calls it, for the client to show; `None` if the client knows already, or cannot be told.
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::Stopped | Self::Interrupted | Self::Gone => None,
            Self::Streams => Some(6),
            Self::BlockSize => Some(7),
            Self::Unimplemented(_) => Some(13),
            Self::Unexpected(_) => Some(110),
            Self::Parameters => Some(114),
            Self::Late => Some(144),
            Self::Datagrams => Some(205),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "asked to end",
            Self::Interrupted => "the client was interrupted",
            Self::Gone => "the client is gone",
            Self::Late => "the client did not go on in time",
            Self::Unexpected(state) => return write!(f, "the client sent {state}, which has no meaning there"),
            Self::Parameters => "the client's parameters cannot be read",
            Self::Streams => "the client wants too many streams, or none",
            Self::BlockSize => "the client wants blocks of an impossible size",
            Self::Unimplemented(what) => return write!(f, "the client wants {what}, which this server does not have"),
            Self::Datagrams => "datagrams cannot be sent",
        })
    }
}
