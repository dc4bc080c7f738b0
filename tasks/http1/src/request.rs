//! A request, and the head of the answer to it, past interim ones.

use alloc::vec::Vec;
use core::fmt;

use embassy_time::{Duration, with_timeout};
use embedded_io_async::Write;
use embedded_nal_async::TcpConnect;
use kernel::net::{ConnectError, Network, connect};
use kernel::stream::ReadInPlace;

use crate::head::{self, Answer, HEAD_BYTES};
use crate::url::Url;

/// The most interim answers before an answer.
const INTERIM: usize = 16;

/// A connection of a network.
pub type Connection<'n, N> = <N as TcpConnect>::Connection<'n>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is no connection to the server.
    NotConnected(ConnectError),
    /// The server said nothing for too long.
    Silent,
    /// The connection broke before there was an answer.
    Lost,
    /// The head of the answer cannot be used.
    Head(head::Fault),
    /// There are too many interim answers.
    Interim,
}

/// Connects, sends a request with these fields besides the usual ones, and reads the head of the answer. `patience` is how
/// long an address, a name and a connection may take together, and how long the server may be silent.
///
/// # Errors
/// There is no answer, or none that can be used.
pub async fn ask<'n, N: Network>(
    url: &Url,
    network: &'n N,
    fields: &str,
    patience: Duration,
) -> Result<(Connection<'n, N>, Answer), Error> {
    let mut connection = connect(network, url.host(), url.port(), patience).await.map_err(Error::NotConnected)?;
    let (path, query) = url.target();
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    // Written at once, so that it leaves in one packet everywhere.
    let request = [
        ["GET ", path, mark, query, " HTTP/1.1\r\nHost: ", url.host_and_port()].concat(),
        ["\r\nUser-Agent: spore\r\n", fields, "Connection: close\r\n\r\n"].concat(),
    ]
    .concat();
    let sent = async {
        connection.write_all(request.as_bytes()).await.map_err(|_| Error::Lost)?;
        connection.flush().await.map_err(|_| Error::Lost)
    };
    within(patience, sent).await?;
    for _ in 0..=INTERIM {
        let answer = read_head(&mut connection, patience).await?;
        if answer != Answer::Interim {
            return Ok((connection, answer));
        }
    }
    Err(Error::Interim)
}

/// Gives a step of the server's no more than this time.
async fn within<T>(patience: Duration, step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    with_timeout(patience, step).await.unwrap_or(Err(Error::Silent))
}

/// Reads one head, and nothing behind it.
async fn read_head(connection: &mut impl ReadInPlace, patience: Duration) -> Result<Answer, Error> {
    let mut head = Vec::new();
    loop {
        let part = connection.read_in_place(|data| take_head(&mut head, data));
        let read = within(patience, async { part.await.map_err(|_| Error::Lost)? });
        if let Some(answer) = read.await? {
            return Ok(answer);
        }
    }
}

/// Takes what of `data` is the head that has begun. Returns how much that is, for the connection, and the answer when the
/// head is whole.
fn take_head(head: &mut Vec<u8>, data: &[u8]) -> (usize, Result<Option<Answer>, Error>) {
    if data.is_empty() {
        return (0, Err(if head.is_empty() { Error::Lost } else { Error::Head(head::Fault::Cut) }));
    }
    let before = head.len();
    let part = data.len().min(HEAD_BYTES - before);
    head.extend_from_slice(&data[..part]);
    match head::read(head) {
        Ok(Some((length, answer))) => (length - before, Ok(Some(answer))),
        Ok(None) if head.len() == HEAD_BYTES => (part, Err(Error::Head(head::Fault::TooLong))),
        Ok(None) => (part, Ok(None)),
        Err(fault) => (part, Err(Error::Head(fault))),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected(error) => return error.fmt(f),
            Self::Silent => "the server is silent",
            Self::Lost => "the connection ended before the server answered, as on a port for https",
            Self::Head(fault) => return fault.fmt(f),
            Self::Interim => "the server sends interim answers without end",
        })
    }
}

impl core::error::Error for Error {}
