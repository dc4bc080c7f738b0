//! What goes wrong with a channel.

use core::fmt;

/// Why a call did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The peer is gone. What it has said before can still be read.
    Closed,
    /// More bytes than the ring holds were asked for in one piece: there will never be so many.
    TooLong,
    /// The peer has broken the protocol. The channel is of no use any more.
    Broken(Fault),
}

/// How a peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// More than a ring holds would lie between its index and ours.
    Index {
        /// Its index.
        theirs: u32,
        /// Ours of the same ring.
        ours: u32,
    },
    /// It says of itself what makes no sense.
    Live(u8),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => formatter.write_str("the peer is gone"),
            Self::TooLong => formatter.write_str("more in one piece than the ring holds"),
            Self::Broken(fault) => fault.fmt(formatter),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index { theirs, ours } => write!(formatter, "the peer's index is {theirs} where ours is {ours}"),
            Self::Live(value) => write!(formatter, "the peer says {value} of itself"),
        }
    }
}

impl core::error::Error for Error {}
impl core::error::Error for Fault {}
