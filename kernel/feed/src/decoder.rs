//! From bytes to what they say.

use crate::item::{Gap, Item, Readings, Reason, Sensor};
use crate::{
    BATCH_MAX, END_BYTES, Fault, GAP_BYTES, HEADER_BYTES, LENGTHS_BYTES, MAGIC, READING_BYTES, SENSORS_MAX, SEVERAL,
    TEXT_BYTES, kind,
};

/// Reads a feed. Who holds its bytes asks how many must lie in one piece, and then for what they say:
///
/// ```
/// # fn read(feed: &[u8]) -> Result<u64, feed::Fault> {
/// let (mut decoder, mut held, mut readings) = (feed::Decoder::new(), feed, 0);
/// while held.len() >= decoder.wanted(held)? {
///     let (bytes, item) = decoder.next(held)?;
///     match item {
///         Some(feed::Item::Readings(_, batch)) => readings += batch.len() as u64,
///         Some(_) => {}
///         None => break,
///     }
///     held = &held[bytes..];
/// }
/// # Ok(readings)
/// # }
/// # assert!(matches!(read(b"no feed."), Err(feed::Fault::Magic(_))));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    begun: bool,
    ended: bool,
    /// How many were described.
    sensors: usize,
    /// How many came.
    readings: u64,
    /// Readings of this sensor are still to come in the frame that has begun, so many.
    open: Option<(usize, usize)>,
}

/// What a frame begins with, judged.
struct Header {
    kind: u8,
    sensor: u16,
    body: usize,
}

impl Decoder {
    /// At the beginning of a feed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many readings came until now.
    #[must_use]
    pub fn readings(&self) -> u64 {
        self.readings
    }

    /// How many bytes must lie in one piece for the next item, judged by those that are `held`: never more than 600. When
    /// there are as many, the answer stays the same.
    ///
    /// # Errors
    /// What is wrong with those that are held.
    pub fn wanted(&self, held: &[u8]) -> Result<usize, Fault> {
        if self.ended {
            return Err(Fault::AfterEnd);
        }
        if self.open.is_some() {
            return Ok(READING_BYTES);
        }
        let begin = self.begin(held)?;
        let Some(header) = held.get(begin..).and_then(<[u8]>::first_chunk) else { return Ok(begin + HEADER_BYTES) };
        let Header { kind, body, .. } = self.header(*header)?;
        // The readings of a frame are taken as they come.
        let body = if kind == kind::READINGS { READING_BYTES } else { body };
        Ok(begin + HEADER_BYTES + body)
    }

    /// What the bytes say first, and how many of them that is. Nothing is said at the end, behind which there may be no
    /// more.
    ///
    /// # Errors
    /// What is wrong with them.
    ///
    /// # Panics
    /// When fewer are held than are [`wanted`](Self::wanted).
    pub fn next<'a>(&mut self, held: &'a [u8]) -> Result<(usize, Option<Item<'a>>), Fault> {
        assert!(held.len() >= self.wanted(held)?, "less than is wanted");
        if let Some((sensor, left)) = self.open {
            return Ok(self.take(0, held, sensor, left));
        }
        let begin = self.begin(held)?;
        self.begun = true;
        let Some((header, rest)) = held[begin..].split_first_chunk() else { unreachable!("as much is held") };
        let Header { kind, sensor, body: length } = self.header(*header)?;
        let start = begin + HEADER_BYTES;
        if kind == kind::READINGS {
            return Ok(self.take(start, rest, sensor.into(), length / READING_BYTES));
        }
        let body = &rest[..length];
        let item = match kind {
            kind::SENSOR => {
                let described = sensor_of(body)?;
                self.sensors += 1;
                Some(Item::Sensor(described))
            }
            kind::GAP => Some(Item::Gap(gap_of(sensor, body)?)),
            _ => self.end(number(body)).map(|()| None)?,
        };
        Ok((start + length, item))
    }

    /// Where the first frame begins, or the next one.
    fn begin(&self, held: &[u8]) -> Result<usize, Fault> {
        match held.first_chunk() {
            _ if self.begun => Ok(0),
            Some(found) if *found != MAGIC => Err(Fault::Magic(*found)),
            _ => Ok(MAGIC.len()),
        }
    }

    /// Judges all of a header.
    fn header(&self, bytes: [u8; HEADER_BYTES]) -> Result<Header, Fault> {
        let [kind, zero, low, high, length @ ..] = bytes;
        let sensor = u16::from_le_bytes([low, high]);
        let body = u32::from_le_bytes(length) as usize;
        let (possible, due) = match kind {
            kind::SENSOR => {
                let possible = LENGTHS_BYTES + 1..=LENGTHS_BYTES + 4 * TEXT_BYTES;
                (possible.contains(&body), usize::from(sensor) == self.sensors)
            }
            kind::READINGS => {
                let possible = body.is_multiple_of(READING_BYTES) && (1..=BATCH_MAX).contains(&(body / READING_BYTES));
                (possible, usize::from(sensor) < self.sensors)
            }
            kind::GAP => (body == GAP_BYTES, sensor == SEVERAL || usize::from(sensor) < self.sensors),
            kind::END => (body == END_BYTES, sensor == 0),
            kind => return Err(Fault::Kind(kind)),
        };
        match (zero, possible, due) {
            (1.., ..) => Err(Fault::NotZero),
            (0, false, _) => Err(Fault::Length { kind, bytes: body }),
            (0, true, false) => Err(Fault::Sensor(sensor.into())),
            (0, true, true) if kind == kind::SENSOR && self.sensors == SENSORS_MAX => Err(Fault::Sensors),
            (0, true, true) => Ok(Header { kind, sensor, body }),
        }
    }

    /// As many of a sensor's readings as are there.
    fn take<'a>(&mut self, start: usize, bytes: &'a [u8], sensor: usize, left: usize) -> (usize, Option<Item<'a>>) {
        let (readings, _) = bytes.as_chunks();
        let readings = &readings[..readings.len().min(left)];
        self.readings += readings.len() as u64;
        self.open = Some((sensor, left - readings.len())).filter(|(_, left)| *left > 0);
        (start + size_of_val(readings), Some(Item::Readings(sensor, Readings(readings))))
    }

    fn end(&mut self, said: u64) -> Result<(), Fault> {
        if said != self.readings {
            return Err(Fault::Count { said, came: self.readings });
        }
        self.ended = true;
        Ok(())
    }
}

/// The number at the beginning of a body.
fn number(body: &[u8]) -> u64 {
    body.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn gap_of(sensor: u16, body: &[u8]) -> Result<Gap, Fault> {
    let [reason, zeroes @ ..] = &body[8..] else { unreachable!("the length was judged") };
    if zeroes.iter().any(|byte| *byte != 0) {
        return Err(Fault::NotZero);
    }
    let reason = Reason::of(*reason).ok_or(Fault::Reason(*reason))?;
    let sensor = (sensor != SEVERAL).then_some(usize::from(sensor));
    Ok(Gap { sensor, readings: number(body), reason })
}

fn sensor_of(body: &[u8]) -> Result<Sensor<'_>, Fault> {
    let (lengths, mut rest) = body.split_at(LENGTHS_BYTES);
    let mut texts = [""; LENGTHS_BYTES];
    for (text, length) in texts.iter_mut().zip(lengths) {
        let bytes;
        (bytes, rest) = rest.split_at_checked(usize::from(*length)).ok_or(Fault::Text)?;
        *text = core::str::from_utf8(bytes).map_err(|_| Fault::Text)?;
    }
    let [name, kind, unit, place] = texts;
    let sensor = Sensor { name, kind, unit, place };
    if rest.is_empty() { sensor.judged() } else { Err(Fault::Text) }
}

impl Sensor<'_> {
    /// The same, if it can be described.
    pub(crate) fn judged(self) -> Result<Self, Fault> {
        let texts = [self.name, self.kind, self.unit, self.place];
        let fits = |text: &&str| text.len() <= TEXT_BYTES && !text.chars().any(char::is_control);
        if !self.name.is_empty() && texts.iter().all(fits) { Ok(self) } else { Err(Fault::Text) }
    }
}
