//! An end of a channel as a stream of bytes, of which the reader takes what lies in one piece.
//!
//! The bytes are copied out of the ring once, as many as there are and find room in the buffer; they lie still there
//! until the reader is done with them.

use core::fmt;
use core::future::Future;

use channel::{Error, Pieces, Want};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use kernel::feed;
use kernel::stream::ReadInPlace;

use super::{NoChannel, Vchan};
use crate::hypervisor::Hypervisor;
use crate::shared_page::Shared;

/// One end of a channel as a stream. Dropping it closes it.
///
/// `A` makes an alarm, a future that ends after a while: whenever one does during a wait, the hypervisor is asked whether
/// the peer is still alive, because a domain that dies says nothing.
#[derive(Debug)]
pub struct Stream<H: Hypervisor, S: Shared, A> {
    channel: Vchan<H, S>,
    pieces: Pieces,
    alarm: A,
}

/// A channel is of no use any more, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken(pub Error);

impl<H: Hypervisor, S: Shared, A: Fn() -> F, F: Future<Output = ()>> Stream<H, S, A> {
    /// Makes a stream of a channel, with a buffer for pieces of so many bytes; [`channel::PIECE_BYTES`] is plenty.
    ///
    /// # Errors
    /// [`NoChannel::NoMemory`].
    pub fn new(channel: Vchan<H, S>, piece_bytes: usize, alarm: A) -> Result<Self, NoChannel> {
        let pieces = Pieces::new(piece_bytes).ok_or(NoChannel::NoMemory)?;
        Ok(Self { channel, pieces, alarm })
    }

    /// Waits for what is wanted, and says whether it is there: otherwise it never will be, because the peer is gone.
    async fn wait(&mut self, want: Want) -> Result<bool, Broken> {
        self.channel.wait(want, &self.alarm).await.map_err(Broken)
    }

    /// Waits until `wanted` bytes lie in one piece, and says whether they do: otherwise the peer is gone, and what is held
    /// is the end.
    async fn fill(&mut self, wanted: usize) -> Result<bool, Broken> {
        while self.pieces.fill(&mut self.channel, wanted).map_err(Broken)?.len() < wanted {
            if !self.wait(Want::Data(1)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<H: Hypervisor, S: Shared, A> ErrorType for Stream<H, S, A> {
    type Error = Broken;
}

impl<H: Hypervisor, S: Shared, A: Fn() -> F, F: Future<Output = ()>> Read for Stream<H, S, A> {
    async fn read(&mut self, destination: &mut [u8]) -> Result<usize, Broken> {
        if destination.is_empty() {
            return Ok(0);
        }
        self.read_in_place(|held| {
            let count = held.len().min(destination.len());
            destination[..count].copy_from_slice(&held[..count]);
            (count, count)
        })
        .await
    }
}

impl<H: Hypervisor, S: Shared, A: Fn() -> F, F: Future<Output = ()>> ReadInPlace for Stream<H, S, A> {
    async fn read_in_place<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Broken> {
        self.fill(1).await?;
        let (count, result) = take(self.pieces.held());
        self.pieces.consume(count);
        Ok(result)
    }
}

impl<H: Hypervisor, S: Shared, A: Fn() -> F, F: Future<Output = ()>> Write for Stream<H, S, A> {
    async fn write(&mut self, source: &[u8]) -> Result<usize, Broken> {
        loop {
            let count = self.channel.write(source).map_err(Broken)?;
            if count > 0 || source.is_empty() {
                return Ok(count);
            }
            if !self.wait(Want::Room(1)).await? {
                return Err(Broken(Error::Closed));
            }
        }
    }

    /// What was written is in the ring, and the peer is told already.
    async fn flush(&mut self) -> Result<(), Broken> {
        Ok(())
    }
}

impl<H: Hypervisor, S: Shared, A: Fn() -> F, F: Future<Output = ()>> feed::Source for Stream<H, S, A> {
    fn held(&self) -> &[u8] {
        self.pieces.held()
    }

    async fn fill(&mut self, wanted: usize) -> Result<bool, feed::Error> {
        Stream::fill(self, wanted).await.map_err(|broken| feed::Error::source(&broken))
    }

    fn consume(&mut self, count: usize) {
        self.pieces.consume(count);
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "channel: {}", self.0)
    }
}

impl core::error::Error for Broken {}

impl embedded_io_async::Error for Broken {
    fn kind(&self) -> ErrorKind {
        match self.0 {
            Error::Closed => ErrorKind::BrokenPipe,
            Error::TooLong => ErrorKind::InvalidInput,
            Error::Broken(_) => ErrorKind::InvalidData,
        }
    }
}
