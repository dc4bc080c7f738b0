//! What can go wrong with a socket, in terms of what its user can do about it.

use core::fmt;

use embedded_io_async::ErrorKind;

/// Why a network operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The interface has no address yet, or has lost it: wait for [`super::Network::configured`].
    NoAddress,
    /// The destination is outside our network and there is no gateway, or it is ourselves.
    NoRoute,
    /// Only IPv4 is supported, and names are looked up forwards only.
    Unsupported,
    /// The port is 0 where one must be named, or the destination is 0.0.0.0.
    InvalidAddress,
    /// Another socket has the port.
    PortInUse,
    /// The other side answered that nobody listens there: it is up, its service is not.
    Refused,
    /// The connection is gone: the other side reset it or stopped answering, or our address changed. Connect again.
    Reset,
    /// This side closed its sending half before.
    Closed,
    /// No answer in time: the other side may be down, or packets are lost on the way.
    TimedOut,
    /// The datagram is larger than the network carries in one packet.
    TooLarge,
    /// No name server is known: DHCP named none, and neither did the parameter `dns`.
    NoNameServer,
    /// The text is no host name.
    InvalidName,
    /// The name server knows no address for the name.
    NameNotFound,
    /// There is no memory for the socket's buffers: close others, or give the guest more.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::NoAddress => "no address yet",
            Error::NoRoute => "no route to the destination",
            Error::Unsupported => "only IPv4 is supported",
            Error::InvalidAddress => "invalid address or port",
            Error::PortInUse => "port in use",
            Error::Refused => "connection refused",
            Error::Reset => "connection lost",
            Error::Closed => "connection closed",
            Error::TimedOut => "no answer in time",
            Error::TooLarge => "datagram too large",
            Error::NoNameServer => "no name server",
            Error::InvalidName => "not a host name",
            Error::NameNotFound => "name not found",
            Error::OutOfMemory => "no memory for a socket",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Error::NoAddress => ErrorKind::AddrNotAvailable,
            Error::NoRoute | Error::NoNameServer | Error::NameNotFound => ErrorKind::NotFound,
            Error::Unsupported => ErrorKind::Unsupported,
            Error::InvalidAddress | Error::InvalidName | Error::TooLarge => ErrorKind::InvalidInput,
            Error::PortInUse => ErrorKind::AddrInUse,
            Error::Refused => ErrorKind::ConnectionRefused,
            Error::Reset => ErrorKind::ConnectionReset,
            Error::Closed => ErrorKind::BrokenPipe,
            Error::TimedOut => ErrorKind::TimedOut,
            Error::OutOfMemory => ErrorKind::OutOfMemory,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::Error;
    use crate::net::ConnectError;

    #[test]
    fn an_error_is_named_in_words() {
        assert_eq!(Error::NoNameServer.to_string(), "no name server");
        assert_eq!(ConnectError::Name.to_string(), "the host's name is not known");
    }
}
