//! The feed of a task under test.

use feed::{Encoder, Gap, Reading, Sensor};
use kernel::feed::{Error, Source};

/// What a task is fed with, in order: a test says it before the task runs.
///
/// ```
/// use kernel::feed::{Reading, Sensor};
///
/// let mut feed = testing::Feeder::new();
/// let outdoors = feed.sensor(Sensor { name: "outdoors", unit: "Cel", ..Sensor::default() });
/// feed.values(outdoors, &[20.5, 21.5]);
/// feed.readings(outdoors, &[Reading { time_ns: 5, value: 20.0 }]);
/// let guest = testing::Guest::new();
/// guest.feed(feed);
/// ```
#[derive(Debug)]
pub struct Feeder {
    encoder: Encoder,
    bytes: Vec<u8>,
}

impl Default for Feeder {
    fn default() -> Self {
        Self::new()
    }
}

impl Feeder {
    /// A feed that says nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = Vec::new();
        Self { encoder: Encoder::new(&mut bytes), bytes }
    }

    /// Describes a sensor and returns its number.
    ///
    /// # Panics
    /// When it cannot be described.
    pub fn sensor(&mut self, sensor: Sensor<'_>) -> usize {
        self.encoder.sensor(&sensor, &mut self.bytes).unwrap_or_else(|fault| panic!("{sensor:?}: {fault}"))
    }

    /// Readings of a sensor.
    pub fn readings(&mut self, sensor: usize, readings: &[Reading]) {
        self.encoder.readings_of(sensor, readings, &mut self.bytes);
    }

    /// Readings of a sensor with these values, one a second.
    pub fn values(&mut self, sensor: usize, values: &[f64]) {
        let readings = (0..).zip(values).map(|(at, value)| Reading { time_ns: at * 1_000_000_000, value: *value });
        self.readings(sensor, &readings.collect::<Vec<_>>());
    }

    /// Readings that are left out.
    pub fn gap(&mut self, gap: Gap) {
        self.encoder.gap(&gap, &mut self.bytes);
    }

    /// The feed's bytes, without an end: who fed the task is gone.
    #[must_use]
    pub fn interrupted(self) -> Vec<u8> {
        self.bytes
    }

    /// The feed's bytes with its end.
    #[must_use]
    pub fn whole(mut self) -> Vec<u8> {
        self.encoder.end(&mut self.bytes);
        self.bytes
    }
}

/// All bytes of a feed, of which some are there at once.
#[derive(Debug)]
pub struct FeedBytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) here: std::ops::Range<usize>,
    /// Whether more may come after all of them.
    pub(crate) is_live: bool,
}

/// How much more comes at once: a task meets the end of a batch at any place.
const PORTION_BYTES: usize = 1000;

impl Source for FeedBytes {
    fn held(&self) -> &[u8] {
        &self.bytes[self.here.clone()]
    }

    async fn fill(&mut self, wanted: usize) -> Result<bool, Error> {
        let more = wanted.max(PORTION_BYTES);
        self.here.end = self.bytes.len().min(self.here.start + more);
        if self.is_live && self.here.len() < wanted {
            std::future::pending::<()>().await;
        }
        Ok(self.here.len() >= wanted)
    }

    fn consume(&mut self, count: usize) {
        self.here.start += count;
    }
}
