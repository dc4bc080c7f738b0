//! The memory for readings: chunks of fixed size, made once and used again and again.

use alloc::vec::Vec;

/// Bytes of a chunk. A sensor that has said little leaves half of one unused; each costs 40 bytes and one reading at full
/// length.
pub const CHUNK_BYTES: usize = 1024;
/// Of these, for readings.
pub const ROOM_BYTES: usize = CHUNK_BYTES - 40;

/// In place of a chunk: none.
pub const NONE: u32 = u32::MAX;

/// Readings of one sensor that came one after the other.
#[derive(Debug)]
#[repr(C)]
pub struct Chunk {
    /// How many readings of the sensor came before the first of these.
    pub first_number: u64,
    /// The times of the first and the last.
    pub first_ns: i64,
    pub last_ns: i64,
    /// Whose they are; nobody's while the chunk is free.
    pub sensor: u32,
    /// The chunk behind this one: the sensor's next, or the next free one.
    pub next: u32,
    pub count: u16,
    pub used: u16,
    padding: u32,
    pub bytes: [u8; ROOM_BYTES],
}

const _: () = assert!(size_of::<Chunk>() == CHUNK_BYTES, "a chunk is as large as it is counted");

impl Chunk {
    /// The packed readings from a place on.
    pub fn from(&self, at: u16) -> &[u8] {
        self.bytes.get(at.into()..self.used.into()).unwrap_or_default()
    }

    /// The number of the reading behind the last one.
    pub fn end(&self) -> u64 {
        self.first_number + u64::from(self.count)
    }
}

/// All chunks there are.
#[derive(Debug)]
pub struct Chunks {
    all: Vec<Chunk>,
    most: usize,
    free: u32,
}

impl Chunks {
    /// Memory for so many, which is taken at once. `None` without it.
    pub fn new(most: usize) -> Option<Self> {
        let mut all = Vec::new();
        all.try_reserve_exact(most).ok()?;
        Some(Self { all, most, free: NONE })
    }

    /// How many there are at most.
    pub fn most(&self) -> usize {
        self.most
    }

    /// The chunk of this number.
    pub fn get(&self, number: u32) -> Option<&Chunk> {
        self.all.get(number as usize)
    }

    /// The chunk of this number, to be changed.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Chunk> {
        self.all.get_mut(number as usize)
    }

    /// A chunk that is not in use, for readings of this sensor.
    pub fn begin(&mut self, sensor: u32, first_number: u64, first_ns: i64) -> Option<u32> {
        let number = if self.free != NONE { self.free } else { self.all.len() as u32 };
        let new = (first_number, first_ns, sensor);
        if let Some(chunk) = self.all.get_mut(number as usize) {
            self.free = chunk.next;
            (chunk.first_number, chunk.first_ns, chunk.sensor) = new;
            (chunk.last_ns, chunk.next, chunk.count, chunk.used) = (first_ns, NONE, 0, 0);
            return Some(number);
        }
        if self.all.len() == self.most {
            return None;
        }
        let bytes = [0; ROOM_BYTES];
        let (next, last_ns, count, used, padding) = (NONE, first_ns, 0, 0, 0);
        self.all.push(Chunk { first_number, first_ns, last_ns, sensor, next, count, used, padding, bytes });
        Some(number)
    }

    /// Gives a chunk back.
    pub fn free(&mut self, number: u32) {
        if let Some(chunk) = self.all.get_mut(number as usize) {
            (chunk.sensor, chunk.next) = (NONE, self.free);
            self.free = number;
        }
    }
}
