//! What has come and has not been looked at: cut into packets, in a buffer of a fixed size.
//!
//! A message that does not fit the buffer costs itself alone: of it only the number is kept, so that it can be
//! acknowledged, and the beginning of its topic, so that it can be named. Brokers are not told of a largest size: they
//! would keep larger messages to themselves without a word (section 3.1.2.11.4).

use core::ops::Range;

use super::packet::{self, Malformed, Unread};

/// How much of a topic is kept.
const TOPIC_BYTES: usize = 64;

/// The buffer.
pub struct Input<'b> {
    buffer: &'b mut [u8],
    /// Where in the buffer is what has come; before that is the packet that was found last.
    received: Range<usize>,
    passing: Option<Passing>,
}

/// What there is.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole packet, which stays where it is until there is room made for more.
    Packet(Range<usize>),
    /// A message that was too large, and has passed.
    TooLarge(Unread),
    /// Less than a packet.
    Nothing,
}

/// A message that is too large, on its way.
struct Passing {
    message: Unread,
    /// How much of it has passed.
    passed: usize,
    /// Where in it the number is.
    id: Range<usize>,
}

impl<'b> Input<'b> {
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, received: 0..0, passing: None }
    }

    /// What a range that was found stands for.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// What is known of a message that was found and cannot be read; `None` if it is another packet, or nothing can be
    /// known of it.
    pub fn unread(&self, range: Range<usize>) -> Option<Unread> {
        let bytes = self.bytes(range);
        let (message, id) = packet::unread(bytes, bytes.len(), TOPIC_BYTES).ok().flatten()?;
        // Two bytes, or none.
        let id = bytes.get(id)?.try_into().map_or(0, u16::from_be_bytes);
        Some(Unread { id, ..message })
    }

    /// What has come and has not been found to be a packet.
    pub fn waiting(&self) -> &[u8] {
        &self.buffer[self.received.clone()]
    }

    /// The first bytes of all, before room is made for more.
    pub fn first(&self) -> &[u8] {
        &self.buffer[..self.received.end]
    }

    /// Takes the next packet, if it is there.
    ///
    /// # Errors
    /// What has come is no packet, or too large a one that is no message.
    pub fn next(&mut self) -> Result<Found, Malformed> {
        if self.passing.is_some() {
            return Ok(self.pass());
        }
        let waiting = &self.buffer[self.received.clone()];
        let Some(length) = packet::length(waiting)? else { return Ok(Found::Nothing) };
        if length <= waiting.len() {
            let packet = self.received.start..self.received.start + length;
            self.received.start = packet.end;
            return Ok(Found::Packet(packet));
        }
        if length <= self.buffer.len() {
            return Ok(Found::Nothing);
        }
        // What is kept must fit the buffer, behind a first byte, a length and the topic's length.
        let kept = TOPIC_BYTES.min(self.buffer.len().saturating_sub(1 + 4 + 2));
        let Some((message, id)) = packet::unread(waiting, length, kept)? else { return Ok(Found::Nothing) };
        self.passing = Some(Passing { message, passed: 0, id });
        Ok(self.pass())
    }

    /// Lets what has come of a message that is too large pass.
    fn pass(&mut self) -> Found {
        let Some(passing) = &mut self.passing else { return Found::Nothing };
        let waiting = &self.buffer[self.received.clone()];
        let count = waiting.len().min(passing.message.length - passing.passed);
        for place in passing.id.clone() {
            if let Some(byte) = place.checked_sub(passing.passed).and_then(|place| waiting[..count].get(place)) {
                passing.message.id = passing.message.id << 8 | u16::from(*byte);
            }
        }
        passing.passed += count;
        self.received.start += count;
        if passing.passed < passing.message.length {
            return Found::Nothing;
        }
        self.passing.take().map_or(Found::Nothing, |passing| Found::TooLarge(passing.message))
    }

    /// Where to put what comes next, after what has come.
    pub fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.received.clone(), 0);
        self.received = 0..self.received.len();
        &mut self.buffer[self.received.end..]
    }

    /// Notes that so many bytes were put there.
    pub fn came(&mut self, count: usize) {
        self.received.end += count;
    }
}
