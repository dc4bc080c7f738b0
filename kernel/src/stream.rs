//! Streams whose bytes are read where they lie: a connection's, a channel's to another domain.

// The futures need not be `Send`: a guest has one thread, and so has a task's executor on a host.
#![allow(async_fn_in_trait)]

/// A stream whose data can be taken where it lies, without a copy.
pub trait ReadInPlace: embedded_io_async::Read {
    /// Waits for data, then calls `take` once with what has arrived in one piece, or with nothing at the end of the
    /// stream.
    ///
    /// `take` returns how many bytes it is done with, and what the call returns. The others are there at the next call;
    /// a later call may hand out less in one piece than has arrived, so what is wanted whole must be put together by
    /// the caller.
    ///
    /// # Errors
    ///
    /// Those of reading.
    async fn read_in_place<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Self::Error>;
}
