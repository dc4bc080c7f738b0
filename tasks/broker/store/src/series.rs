//! The readings of one sensor: a chain of chunks, the oldest first, and places in it.

use feed::Reading;

use crate::chunks::{Chunks, NONE, ROOM_BYTES};
use crate::packing::{Before, MOST_BYTES};

/// Readings in the order in which they came, each with a number, of which the first ones may be gone.
#[derive(Debug)]
pub struct Series {
    head: u32,
    tail: u32,
    chunks: u32,
    /// The number that the next one gets.
    next: u64,
    before: Before,
    last: Option<Reading>,
}

/// A place in a sensor's readings.
#[derive(Debug, Clone)]
pub struct Cursor {
    /// The number of the next reading.
    number: u64,
    /// Where that one lies, or will: only a hint, because chunks are used again.
    chunk: u32,
    chunk_first: u64,
    at: u16,
    before: Before,
}

impl Series {
    /// There are no readings yet.
    pub fn new() -> Self {
        Self { head: NONE, tail: NONE, chunks: 0, next: 0, before: Before::first(0), last: None }
    }

    /// The last reading that came, even if it is not kept any more.
    pub fn last(&self) -> Option<Reading> {
        self.last
    }

    /// How many chunks it has.
    pub fn chunks(&self) -> usize {
        self.chunks as usize
    }

    /// The number that the next reading gets: how many there were.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The number of the oldest reading that is kept.
    pub fn first_number(&self, chunks: &Chunks) -> u64 {
        chunks.get(self.head).map_or(self.next, |head| head.first_number)
    }

    /// The time of the last reading in the oldest chunk.
    pub fn oldest_ns(&self, chunks: &Chunks) -> Option<i64> {
        chunks.get(self.head).map(|head| head.last_ns)
    }

    /// Puts a reading behind the others, if the last chunk has room for it.
    pub fn push(&mut self, chunks: &mut Chunks, reading: Reading) -> bool {
        let Some(tail) = chunks.get_mut(self.tail) else { return false };
        let mut packed = [0; MOST_BYTES];
        let mut before = self.before.clone();
        let length = before.pack(reading, &mut packed);
        let used = usize::from(tail.used);
        if used + length > ROOM_BYTES {
            return false;
        }
        tail.bytes[used..used + length].copy_from_slice(&packed[..length]);
        tail.used += length as u16;
        tail.count += 1;
        tail.last_ns = reading.time_ns;
        (self.before, self.last) = (before, Some(reading));
        self.next += 1;
        true
    }

    /// Begins a chunk for this reading, if there is one; the reading is not in it yet.
    pub fn grow(&mut self, chunks: &mut Chunks, sensor: u32, reading: Reading) -> bool {
        let Some(new) = chunks.begin(sensor, self.next, reading.time_ns) else { return false };
        match chunks.get_mut(self.tail) {
            Some(tail) => tail.next = new,
            None => self.head = new,
        }
        (self.tail, self.before) = (new, Before::first(reading.time_ns));
        self.chunks += 1;
        true
    }

    /// Gives the oldest chunk back, and says how many readings went with it.
    pub fn shrink(&mut self, chunks: &mut Chunks) -> u64 {
        let Some(head) = chunks.get(self.head) else { return 0 };
        let (count, next) = (head.count.into(), head.next);
        chunks.free(self.head);
        self.head = next;
        self.chunks -= 1;
        if next == NONE {
            self.tail = NONE;
        }
        count
    }

    /// The place behind all readings.
    pub fn end(&self) -> Cursor {
        Cursor::at(self.next)
    }

    /// The place of the first reading that is kept and not before this time.
    pub fn since(&self, chunks: &Chunks, sensor: u32, from_ns: i64) -> Cursor {
        let mut number = self.head;
        while let Some(chunk) = chunks.get(number).filter(|chunk| chunk.last_ns < from_ns) {
            number = chunk.next;
        }
        let mut cursor = Cursor::at(chunks.get(number).map_or(self.next, |chunk| chunk.first_number));
        loop {
            let place = cursor.clone();
            match self.read(chunks, sensor, &mut cursor) {
                Some(reading) if reading.time_ns < from_ns => {}
                _ => return place,
            }
        }
    }

    /// How many readings left before this place came to them; it goes on behind them.
    pub fn skip_lost(&self, chunks: &Chunks, cursor: &mut Cursor) -> u64 {
        let first = self.first_number(chunks);
        let lost = first.saturating_sub(cursor.number);
        cursor.number += lost;
        lost
    }

    /// The reading at a place that is not lost, if it has come; the place moves behind it.
    pub fn read(&self, chunks: &Chunks, sensor: u32, cursor: &mut Cursor) -> Option<Reading> {
        if cursor.number >= self.next {
            return None;
        }
        let held = chunks.get(cursor.chunk);
        let held = held.filter(|chunk| chunk.sensor == sensor && chunk.first_number == cursor.chunk_first);
        match held {
            Some(chunk) if cursor.number < chunk.end() && cursor.number >= chunk.first_number => {}
            Some(chunk) if cursor.number == chunk.end() && chunk.next != NONE => cursor.enter(chunks, chunk.next),
            _ => self.find(chunks, cursor),
        }
        let chunk = chunks.get(cursor.chunk)?;
        let rest = chunk.from(cursor.at);
        let mut left = rest;
        let reading = cursor.before.unpack(&mut left)?;
        cursor.at += (rest.len() - left.len()) as u16;
        cursor.number += 1;
        Some(reading)
    }

    /// Looks for the chunk with the cursor's reading, and goes to its place there.
    fn find(&self, chunks: &Chunks, cursor: &mut Cursor) {
        let mut number = self.head;
        while let Some(chunk) = chunks.get(number).filter(|chunk| chunk.end() <= cursor.number) {
            number = chunk.next;
        }
        let wanted = cursor.number;
        cursor.enter(chunks, number);
        let Some(chunk) = chunks.get(number) else { return };
        let mut left = chunk.from(0);
        for _ in chunk.first_number..wanted {
            cursor.before.unpack(&mut left);
        }
        cursor.at = chunk.used - left.len() as u16;
        cursor.number = wanted.max(chunk.first_number);
    }
}

impl Cursor {
    fn at(number: u64) -> Self {
        Self { number, chunk: NONE, chunk_first: 0, at: 0, before: Before::first(0) }
    }

    /// The place of a sensor's first reading.
    pub fn beginning() -> Self {
        Self::at(0)
    }

    /// The number of the next reading.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Goes to a chunk's first reading; nowhere, when there is no such chunk.
    fn enter(&mut self, chunks: &Chunks, number: u32) {
        self.chunk = number;
        self.at = 0;
        if let Some(chunk) = chunks.get(number) {
            (self.number, self.chunk_first) = (chunk.first_number, chunk.first_number);
            self.before = Before::first(chunk.first_ns);
        }
    }
}
