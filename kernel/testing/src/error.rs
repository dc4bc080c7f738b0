//! What goes wrong on the network.

/// What goes wrong on this network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Nobody listens there.
    Refused,
    /// The name leads nowhere.
    NoSuchName,
}

impl core::fmt::Display for Error {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::Refused => "nobody listens there",
            Self::NoSuchName => "no such name",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        match self {
            Self::Refused => embedded_io_async::ErrorKind::ConnectionRefused,
            Self::NoSuchName => embedded_io_async::ErrorKind::NotFound,
        }
    }
}
