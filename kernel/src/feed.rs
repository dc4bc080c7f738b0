//! Readings of sensors as a task gets them: without a network, from whoever the platform gets them from.
//!
//! Purpose: a task that computes something of readings needs to know neither where they come from nor how. In a guest they
//! come over a channel from the board's broker, on the developer's machine from a file, in a test from an array. The task
//! asks its platform ([`Fed`](crate::Fed)) for the [`Feed`] and takes one [`Item`] after the other: each sensor is
//! described before its readings come, many at once, which it reads where they lie.
//!
//! ```
//! use kernel::Fed;
//! use kernel::feed::{Error, Item};
//!
//! /// The highest value of all.
//! async fn run(_: (), system: &impl Fed) -> Result<f64, Error> {
//!     let mut feed = system.feed().await?;
//!     let mut highest = f64::NEG_INFINITY;
//!     while let Some(item) = feed.next().await? {
//!         if let Item::Readings(_, readings) = item {
//!             highest = readings.iter().map(|reading| reading.value).fold(highest, f64::max);
//!         }
//!     }
//!     Ok(highest)
//! }
//! ```
//!
//! A task that takes its time slows down who feeds it: nothing is lost by that, unless the readings are live; then the
//! feed says how many were left out.
//!
//! The format of the bytes is that of the crate `feed`.

// The futures need not be `Send`: a guest has one thread, and so has a task's executor on a host.
#![allow(async_fn_in_trait)]

use alloc::string::{String, ToString};
use core::fmt;

use ::feed::Decoder;
pub use ::feed::{Fault, Gap, Item, Reading, Readings, Reason, SENSORS_MAX, Sensor};

/// Where a feed's bytes come from: a buffer with those that have come and were not consumed, in one piece.
pub trait Source {
    /// The bytes that are there.
    fn held(&self) -> &[u8];

    /// Waits until at least `wanted` bytes are held, a kilobyte at most, and says whether they are: otherwise no more will
    /// come.
    ///
    /// # Errors
    /// [`Error::Source`].
    async fn fill(&mut self, wanted: usize) -> Result<bool, Error>;

    /// Is done with the first bytes of those held.
    fn consume(&mut self, count: usize);
}

/// The readings of a task.
#[derive(Debug)]
pub struct Feed<S> {
    source: S,
    decoder: Decoder,
    /// Bytes of the item that was handed out last.
    lent: usize,
    ended: bool,
}

/// Why there is no feed, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The platform has no feed for the task.
    None(String),
    /// The feed was taken before: there is one.
    Taken,
    /// Who feeds the task is gone before the feed's end.
    Interrupted {
        /// How many readings came until then.
        readings: u64,
    },
    /// The feed is wrong.
    Fault(Fault),
    /// Its bytes are not to be had.
    Source(String),
}

impl Error {
    /// What keeps a source from going on.
    pub fn source(why: &impl fmt::Display) -> Self {
        Self::Source(why.to_string())
    }
}

impl<S: Source> Feed<S> {
    /// The feed that consists of these bytes.
    pub fn new(source: S) -> Self {
        Self { source, decoder: Decoder::new(), lent: 0, ended: false }
    }

    /// The next item, as soon as there is one; `None` when the feed is complete.
    ///
    /// What an item refers to lies in the feed's buffer until the next call.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Fault`], [`Error::Source`]. What was said before stands.
    pub async fn next(&mut self) -> Result<Option<Item<'_>>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.source.consume(core::mem::take(&mut self.lent));
        loop {
            let held = self.source.held();
            let wanted = self.decoder.wanted(held).map_err(Error::Fault)?;
            if held.len() >= wanted {
                break;
            }
            if !self.source.fill(wanted).await? {
                return Err(Error::Interrupted { readings: self.decoder.readings() });
            }
        }
        let (bytes, item) = self.decoder.next(self.source.held()).map_err(Error::Fault)?;
        self.lent = bytes;
        self.ended = item.is_none();
        Ok(item)
    }

    /// How many readings came until now.
    pub fn readings(&self) -> u64 {
        self.decoder.readings()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(why) => write!(formatter, "no feed: {why}"),
            Self::Taken => formatter.write_str("the feed was taken before"),
            Self::Interrupted { readings } => {
                write!(formatter, "the feed was interrupted after {readings} readings: who sent it is gone")
            }
            Self::Fault(fault) => write!(formatter, "the feed is wrong: {fault}"),
            Self::Source(why) => write!(formatter, "the feed cannot go on: {why}"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use ::feed::{Encoder, MAGIC, Sensor};
    use embassy_futures::block_on;

    use super::{Error, Fault, Feed, Item, Reading, Source};

    /// Bytes of which more come each time that some are wanted, so many.
    struct Drops<'a> {
        bytes: &'a [u8],
        here: usize,
        drop: usize,
    }

    impl Source for Drops<'_> {
        fn held(&self) -> &[u8] {
            &self.bytes[..self.here]
        }

        async fn fill(&mut self, wanted: usize) -> Result<bool, Error> {
            assert!(wanted > self.here, "what is there is not waited for");
            self.here = self.bytes.len().min(wanted.max(self.here + self.drop));
            Ok(self.here >= wanted)
        }

        fn consume(&mut self, count: usize) {
            self.bytes = &self.bytes[count..];
            self.here -= count;
        }
    }

    fn bytes() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes);
        let sensor = encoder.sensor(&Sensor { name: "t", ..Sensor::default() }, &mut bytes).expect("a name");
        let readings: Vec<_> = (0..100).map(|time_ns| Reading { time_ns, value: 0.5 }).collect();
        encoder.readings_of(sensor, &readings, &mut bytes);
        encoder.end(&mut bytes);
        bytes
    }

    /// The sum of all times, and how many batches there were.
    fn sum(bytes: &[u8], drop: usize) -> Result<(i64, usize), Error> {
        let mut feed = Feed::new(Drops { bytes, here: 0, drop });
        block_on(async {
            let (mut sum, mut batches) = (0, 0);
            while let Some(item) = feed.next().await? {
                if let Item::Readings(0, readings) = item {
                    sum += readings.iter().map(|reading| reading.time_ns).sum::<i64>();
                    batches += 1;
                }
            }
            assert_eq!((feed.readings(), feed.next().await), (100, Ok(None)));
            Ok((sum, batches))
        })
    }

    #[test]
    fn all_that_is_there_is_one_batch_and_what_is_not_there_yet_another() {
        assert_eq!(sum(&bytes(), 1 << 20), Ok((4950, 1)));
        assert_eq!(sum(&bytes(), 0), Ok((4950, 100)));
        let (sum, batches) = sum(&bytes(), 100).expect("no fault");
        assert!(sum == 4950 && (10..30).contains(&batches), "{batches}");
    }

    #[test]
    fn a_feed_without_its_end_is_interrupted_and_says_how_much_came() {
        let bytes = bytes();
        let end = bytes.len() - 16;
        assert_eq!(sum(&bytes[..end], 1 << 20), Err(Error::Interrupted { readings: 100 }));
        assert_eq!(sum(&bytes[..end - 8], 1 << 20), Err(Error::Interrupted { readings: 99 }));
        assert_eq!(sum(&[], 0), Err(Error::Interrupted { readings: 0 }));
    }

    #[test]
    fn a_feed_that_is_wrong_is_an_error_each_time() {
        let bytes = [&MAGIC[..], &[9; 8]].concat();
        let mut feed = Feed::new(Drops { bytes: &bytes, here: 0, drop: 0 });
        for _ in 0..2 {
            assert_eq!(block_on(feed.next()), Err(Error::Fault(Fault::Kind(9))));
        }
    }
}
