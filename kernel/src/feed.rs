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

mod names;

use ::feed::Decoder;
pub use ::feed::{Fault, Gap, Item, Reading, Readings, Reason, SENSORS_MAX, Sensor};
use names::Names;

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

    /// Whether there may be a new beginning when no more will come. Until then the feed remembers its sensors' names.
    fn may_begin_anew(&self) -> bool {
        false
    }

    /// Waits for the new beginning of a feed of which no more will come, in place of what is held; whether there is one.
    ///
    /// # Errors
    /// [`Error::None`], [`Error::Source`].
    async fn begin_anew(&mut self) -> Result<bool, Error> {
        Ok(false)
    }
}

/// The readings of a task.
#[derive(Debug)]
pub struct Feed<S> {
    source: S,
    decoder: Decoder,
    names: Names,
    /// Readings that came before the feed began anew.
    before: u64,
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
        Self { source, decoder: Decoder::new(), names: Names::default(), before: 0, lent: 0, ended: false }
    }

    /// The next item, as soon as there is one; `None` when the feed is complete.
    ///
    /// What an item refers to lies in the feed's buffer until the next call. A feed that goes on though who feeds the task was
    /// started anew says so by a gap ([`Reason::Restarted`]); sensors keep their numbers.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Fault`], [`Error::Source`]. What was said before stands.
    pub async fn next(&mut self) -> Result<Option<Item<'_>>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.source.consume(core::mem::take(&mut self.lent));
        loop {
            if !self.fill().await? {
                self.begin_anew().await?;
                return Ok(Some(Item::Gap(Gap { sensor: None, readings: 0, reason: Reason::Restarted })));
            }
            if !self.pass_over_known()? {
                break;
            }
        }
        let (bytes, item) = self.decoder.next(self.source.held()).map_err(Error::Fault)?;
        self.lent = bytes;
        self.ended = item.is_none();
        Ok(item.map(|item| self.names.renumber(item)))
    }

    /// How many readings came until now.
    pub fn readings(&self) -> u64 {
        self.before + self.decoder.readings()
    }

    /// Waits until the next item is held; whether it is: otherwise no more will come.
    async fn fill(&mut self) -> Result<bool, Error> {
        loop {
            let held = self.source.held();
            let wanted = self.decoder.wanted(held).map_err(Error::Fault)?;
            if held.len() >= wanted {
                return Ok(true);
            }
            if !self.source.fill(wanted).await? {
                return Ok(false);
            }
        }
    }

    /// Waits for the feed's new beginning.
    async fn begin_anew(&mut self) -> Result<(), Error> {
        if !self.source.begin_anew().await? {
            return Err(Error::Interrupted { readings: self.readings() });
        }
        self.before = self.readings();
        self.decoder = Decoder::new();
        self.names.begin_anew();
        Ok(())
    }

    /// Passes over what is held when it describes a sensor that the task knows from before the feed began anew; whether it
    /// was that.
    fn pass_over_known(&mut self) -> Result<bool, Error> {
        if !self.source.may_begin_anew() {
            return Ok(false);
        }
        let mut ahead = self.decoder.clone();
        let (bytes, item) = ahead.next(self.source.held()).map_err(Error::Fault)?;
        let Some(Item::Sensor(sensor)) = item else { return Ok(false) };
        if self.names.describe(&sensor).map_err(Error::Fault)? {
            return Ok(false);
        }
        self.decoder = ahead;
        self.source.consume(bytes);
        Ok(true)
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
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use ::feed::{Encoder, MAGIC, Sensor};
    use embassy_futures::block_on;

    use super::{Error, Fault, Feed, Gap, Item, Reading, Reason, SENSORS_MAX, Source};

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

    /// Feeds one after the other, of which each but the last ends before its end.
    struct Relay<'a>(Drops<'a>, Vec<&'a [u8]>);

    impl Source for Relay<'_> {
        fn held(&self) -> &[u8] {
            self.0.held()
        }

        async fn fill(&mut self, wanted: usize) -> Result<bool, Error> {
            self.0.fill(wanted).await
        }

        fn consume(&mut self, count: usize) {
            self.0.consume(count);
        }

        fn may_begin_anew(&self) -> bool {
            true
        }

        async fn begin_anew(&mut self) -> Result<bool, Error> {
            let next = self.1.pop();
            self.0 = Drops { bytes: next.unwrap_or_default(), here: 0, drop: self.0.drop };
            Ok(next.is_some())
        }
    }

    /// What a relay of feeds comes to, in words.
    fn told(feeds: &[&[u8]]) -> (Vec<String>, Option<Error>) {
        let mut rest: Vec<_> = feeds.iter().rev().copied().collect();
        let first = Drops { bytes: rest.pop().unwrap_or_default(), here: 0, drop: 1 };
        let (mut feed, mut told) = (Feed::new(Relay(first, rest)), Vec::new());
        let ended = block_on(async {
            loop {
                match feed.next().await {
                    Ok(Some(Item::Sensor(sensor))) => told.push(sensor.name.to_string()),
                    Ok(Some(Item::Readings(sensor, readings))) => {
                        told.extend(readings.iter().map(|reading| format!("{sensor}: {}", reading.value)));
                    }
                    Ok(Some(Item::Gap(gap))) => told.push(format!("{:?} {:?}", gap.sensor, gap.reason)),
                    Ok(None) => return None,
                    Err(error) => return Some(error),
                }
            }
        });
        (told, ended)
    }

    /// A feed without an end: of each of these sensors a reading, and a gap.
    fn described(names: &[&str], value: f64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes);
        for name in names {
            let sensor = encoder.sensor(&Sensor { name, ..Sensor::default() }, &mut bytes).expect("a name");
            encoder.readings_of(sensor, &[Reading { time_ns: 0, value }], &mut bytes);
            encoder.gap(&Gap { sensor: Some(sensor), readings: 1, reason: Reason::Rate }, &mut bytes);
        }
        bytes
    }

    #[test]
    fn a_feed_that_begins_anew_says_so_and_sensors_keep_their_numbers() {
        let (first, second) = (described(&["a", "b"], 1.0), described(&["b", "c", "a"], 2.0));
        let cut = &first[..first.len() - 5];
        let (told, ended) = told(&[cut, &second, &second[..9]]);
        let expected = [
            "a",
            "0: 1",
            "Some(0) Rate",
            "b",
            "1: 1",
            "None Restarted",
            "1: 2",
            "Some(1) Rate",
            "c",
            "2: 2",
            "Some(2) Rate",
            "0: 2",
            "Some(0) Rate",
            "None Restarted",
        ];
        assert_eq!(told, expected);
        assert_eq!(ended, Some(Error::Interrupted { readings: 5 }));
    }

    #[test]
    fn a_task_is_told_of_no_more_sensors_than_there_may_be_however_often_its_feed_begins_anew() {
        let names: Vec<_> = (0..SENSORS_MAX).map(|number| number.to_string()).collect();
        let names: Vec<_> = names.iter().map(|name| &**name).collect();
        let (all, again) = (described(&names, 1.0), described(&["0", "new"], 2.0));
        let (told, ended) = told(&[&all, &again]);
        assert_eq!(
            (told.last().map(|last| &**last), ended),
            (Some("Some(0) Rate"), Some(Error::Fault(Fault::Sensors)))
        );
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
