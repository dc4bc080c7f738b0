//! An HTTP request (RFC 9112), and the way of the answer's body to who wants it.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use embassy_futures::yield_now;
use embassy_time::{Duration, Instant, with_timeout};
use embedded_io_async::{Error as _, ErrorKind, Write};
use embedded_nal_async::{AddrType, TcpConnect};
use kernel::Networked;
use kernel::net::{Buffers, Network, ReadInPlace};

use crate::Error;
use crate::body::{BadChunk, Body};
use crate::head::{self, HEAD_BYTES};
use crate::url::Url;

/// How long a name and a connection may take together, and how long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection's buffers, if there is memory for them: what a fast network has under way, and a request.
const BUFFERS: Buffers = Buffers { receive: 128 * 1024, send: 4 * 1024 };

/// After so many bytes others get a turn, even if this could go on.
const TURN_BYTES: usize = 1 << 20;

/// Fetches the body and hands it to `take` piece by piece. `start` becomes the time of the request.
pub async fn fetch(
    url: &Url<'_>,
    system: &impl Networked,
    start: &mut Instant,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Error> {
    let network = system.network();
    network.set_buffers(BUFFERS);
    let address = network.configured().await;
    let mut connection = in_time(connect(url, network)).await?;
    kernel::println!("filter: {address} fetches {} from port {} of {}", url.path, url.port, url.host);
    *start = Instant::now();
    in_time(request(url, &mut connection)).await?;
    let mut answer = Answer { head: Vec::new(), body: None, bytes: 0 };
    let mut turn = 0;
    while !answer.is_complete() {
        let read = in_time(async {
            let progress = connection.read_in_place(|data| answer.take(data, &mut take));
            progress.await.map_err(|_| Error::Lost)?
        });
        turn += read.await?;
        if turn >= TURN_BYTES {
            turn = 0;
            yield_now().await;
        }
    }
    Ok(())
}

/// Gives a step of the server's no more than [`PATIENCE`].
async fn in_time<T>(step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    with_timeout(PATIENCE, step).await.unwrap_or(Err(Error::Silent))
}

/// Connects to the URL's host.
async fn connect<'n, N: Network>(url: &Url<'_>, network: &'n N) -> Result<<N as TcpConnect>::Connection<'n>, Error> {
    let host = match url.host.parse() {
        Ok(host) => IpAddr::V4(host),
        Err(_) => network.get_host_by_name(url.host, AddrType::IPv4).await.map_err(|_| Error::NoSuchHost)?,
    };
    TcpConnect::connect(network, SocketAddr::new(host, url.port)).await.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => Error::Refused,
        _ => Error::Unreachable,
    })
}

/// Sends the request.
async fn request(url: &Url<'_>, connection: &mut impl Write) -> Result<(), Error> {
    let path = if url.path.is_empty() { "/" } else { url.path };
    // Written at once, so that it leaves in one packet everywhere.
    let request =
        ["GET ", path, " HTTP/1.1\r\nHost: ", url.authority, "\r\nUser-Agent: spore\r\nConnection: close\r\n\r\n"]
            .concat();
    connection.write_all(request.as_bytes()).await.map_err(|_| Error::Lost)?;
    connection.flush().await.map_err(|_| Error::Lost)
}

/// What is known of the answer.
struct Answer {
    /// The head, as long as it is not whole.
    head: Vec<u8>,
    body: Option<Body>,
    /// Length of the body so far.
    bytes: u64,
}

impl Answer {
    fn is_complete(&self) -> bool {
        self.body.is_some_and(|body| body.is_complete())
    }

    /// Takes what has arrived, or the end of the connection. Returns how much of it, twice: once for the connection.
    fn take(&mut self, data: &[u8], take: &mut impl FnMut(&[u8])) -> (usize, Result<usize, Error>) {
        let all = (data.len(), Ok(data.len()));
        if data.is_empty() {
            let ended = match self.body {
                Some(body) if body.may_end() => {
                    self.body = Some(Body::Length(0));
                    all.1
                }
                Some(_) => Err(Error::EndedEarly(self.bytes)),
                None if self.head.is_empty() => Err(Error::Lost),
                None => Err(Error::NotHttp),
            };
            return (0, ended);
        }
        let mut rest = data;
        match self.head(data) {
            Ok(length) => rest = &rest[length..],
            Err(error) => return (data.len(), Err(error)),
        }
        let Some(body) = &mut self.body else { return all };
        while !rest.is_empty() && !body.is_complete() {
            match body.take(&mut rest) {
                Ok(piece) => {
                    self.bytes += piece.len() as u64;
                    take(piece);
                }
                Err(BadChunk) => return (data.len(), Err(Error::Chunk(self.bytes))),
            }
        }
        all
    }

    /// Takes what of `data` is the head; returns how much that is.
    fn head(&mut self, data: &[u8]) -> Result<usize, Error> {
        if self.body.is_some() {
            return Ok(0);
        }
        let before = self.head.len();
        let part = data.len().min(HEAD_BYTES - before);
        self.head.extend_from_slice(&data[..part]);
        match head::read(&self.head)? {
            Some((length, body)) => {
                self.body = Some(body);
                self.head = Vec::new();
                Ok(length - before)
            }
            None if self.head.len() == HEAD_BYTES => Err(Error::NotHttp),
            None => Ok(part),
        }
    }
}
