//! A client's way to a server: by name or address, within a time.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use embassy_time::{Duration, with_timeout};
use embedded_io_async::{Error as _, ErrorKind};
use embedded_nal_async::{AddrType, TcpConnect};

use super::traits::Network;

/// Why there is no connection to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectError {
    /// The server's name is not known, or nobody could be asked for it.
    Name,
    /// The server's host is up, and the service is not.
    Refused,
    /// There is no way to the server's host.
    Unreachable,
    /// No answer in time.
    TimedOut,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the host's name is not known",
            Self::Refused => "connection refused",
            Self::Unreachable => "the host cannot be reached",
            Self::TimedOut => "no answer in time",
        })
    }
}

impl core::error::Error for ConnectError {}

/// Connects to the TCP port of a host, which `host` names or of which it is the address as text. All of it takes
/// `within` at most: until the interface has an address, until the name is known, until the server has answered.
///
/// # Errors
///
/// See [`ConnectError`]. All of them may be over a while later.
pub async fn connect<'n, N: Network>(
    network: &'n N,
    host: &str,
    port: u16,
    within: Duration,
) -> Result<<N as TcpConnect>::Connection<'n>, ConnectError> {
    let steps = async {
        network.configured().await;
        let address = match host.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => network.get_host_by_name(host, AddrType::IPv4).await.map_err(|_| ConnectError::Name)?,
        };
        let connected = TcpConnect::connect(network, SocketAddr::new(address, port)).await;
        connected.map_err(|error| match error.kind() {
            ErrorKind::ConnectionRefused => ConnectError::Refused,
            ErrorKind::TimedOut => ConnectError::TimedOut,
            _ => ConnectError::Unreachable,
        })
    };
    with_timeout(within, steps).await.unwrap_or(Err(ConnectError::TimedOut))
}
