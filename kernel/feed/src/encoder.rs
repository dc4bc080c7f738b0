//! From what a feed says to bytes.

use alloc::vec::Vec;

use crate::item::{Gap, Reading, Sensor};
use crate::{
    BATCH_MAX, END_BYTES, Fault, GAP_BYTES, LENGTHS_BYTES, MAGIC, READING_BYTES, SENSORS_MAX, SEVERAL, TEXT_BYTES, kind,
};

/// Writes a feed: each call appends to bytes that somebody carries away.
#[derive(Debug)]
pub struct Encoder {
    sensors: usize,
    readings: u64,
}

impl Encoder {
    /// Begins a feed.
    #[must_use]
    pub fn new(out: &mut Vec<u8>) -> Self {
        out.extend(MAGIC);
        Self { sensors: 0, readings: 0 }
    }

    /// How many readings there were until now.
    #[must_use]
    pub fn readings(&self) -> u64 {
        self.readings
    }

    /// Describes a sensor, and returns its number.
    ///
    /// # Errors
    /// [`Fault::Sensors`], [`Fault::Text`]; then nothing is written.
    pub fn sensor(&mut self, sensor: &Sensor<'_>, out: &mut Vec<u8>) -> Result<usize, Fault> {
        if self.sensors == SENSORS_MAX {
            return Err(Fault::Sensors);
        }
        let Sensor { name, kind, unit, place } = sensor.judged()?;
        let texts = [name, kind, unit, place];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        header(kind::SENSOR, self.sensors as u16, LENGTHS_BYTES + length, out);
        out.extend(texts.map(|text| text.len() as u8));
        texts.iter().for_each(|text| out.extend(text.as_bytes()));
        self.sensors += 1;
        Ok(self.sensors - 1)
    }

    /// Readings of a sensor, any number of them.
    ///
    /// # Panics
    /// When the sensor was not described.
    pub fn readings_of(&mut self, sensor: usize, readings: &[Reading], out: &mut Vec<u8>) {
        assert!(sensor < self.sensors, "sensor {sensor} was not described");
        for batch in readings.chunks(BATCH_MAX) {
            header(kind::READINGS, sensor as u16, batch.len() * READING_BYTES, out);
            batch.iter().for_each(|reading| out.extend_from_slice(&reading.to_bytes()));
        }
        self.readings += readings.len() as u64;
    }

    /// Says that readings are left out.
    ///
    /// # Panics
    /// When the sensor was not described.
    pub fn gap(&mut self, gap: &Gap, out: &mut Vec<u8>) {
        assert!(gap.sensor.is_none_or(|sensor| sensor < self.sensors), "the gap's sensor was not described");
        header(kind::GAP, gap.sensor.map_or(SEVERAL, |sensor| sensor as u16), GAP_BYTES, out);
        out.extend(gap.readings.to_le_bytes());
        out.extend([gap.reason.number(), 0, 0, 0, 0, 0, 0, 0]);
    }

    /// Says that the feed is complete.
    pub fn end(self, out: &mut Vec<u8>) {
        header(kind::END, 0, END_BYTES, out);
        out.extend(self.readings.to_le_bytes());
    }
}

fn header(kind: u8, sensor: u16, body: usize, out: &mut Vec<u8>) {
    out.extend([kind, 0]);
    out.extend(sensor.to_le_bytes());
    out.extend((body as u32).to_le_bytes());
}

const _: () = assert!(TEXT_BYTES <= u8::MAX as usize, "the length of a text is a byte");
