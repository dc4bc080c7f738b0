//! What was written to a console that does not take it yet.
//!
//! Nobody waits for a console: what it does not take is kept, up to a limit, beyond which the oldest is lost and
//! counted. Lost are whole lines and whole defmt frames, so that what follows can still be told apart (see
//! `kernel::console`).

use core::fmt::{self, Write};

use kernel::console::FRAME_START;

/// Where a stream of lines and frames stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between two of them.
    Between,
    /// In a line, which ends with a line feed, or where a frame begins.
    Line,
    /// In a frame, which ends with a zero byte.
    Frame,
}

impl Place {
    /// Where it stands after another byte.
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Frame, 0) | (Self::Line | Self::Between, b'\n') => Self::Between,
            (Self::Frame, _) | (_, FRAME_START) => Self::Frame,
            _ => Self::Line,
        }
    }
}

/// The length of what is left of the line or frame in which `place` is, if its end is among these bytes.
fn unit(place: Place, bytes: &[u8]) -> Option<usize> {
    let mut place = place;
    for (index, byte) in bytes.iter().enumerate() {
        // A line without an end, as a panic may leave it.
        if place == Place::Line && *byte == FRAME_START {
            return Some(index);
        }
        place = place.after(*byte);
        if place == Place::Between {
            return Some(index + 1);
        }
    }
    None
}

/// The bytes that wait, at most `SIZE` of them.
#[derive(Debug)]
pub(crate) struct Backlog<const SIZE: usize> {
    bytes: [u8; SIZE],
    length: usize,
    /// Where the stream stood when the first of them came.
    place: Place,
    /// Bytes lost so far.
    lost: u64,
    /// Bytes lost since that was said last.
    unsaid: u64,
}

impl<const SIZE: usize> Backlog<SIZE> {
    /// Nothing waits.
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; SIZE], length: 0, place: Place::Between, lost: 0, unsaid: 0 }
    }

    /// Bytes lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds bytes behind those that wait. Where there is no room, the oldest lines and frames make some.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        while SIZE - self.length < bytes.len() && self.lose_oldest() {}
        let fitting = bytes.len().min(SIZE - self.length);
        self.bytes[self.length..self.length + fitting].copy_from_slice(&bytes[..fitting]);
        self.length += fitting;
        // What is left of a line longer than all the room.
        self.count(bytes.len() - fitting);
    }

    /// Has `send` take bytes, oldest first, until it takes no more; it returns how many it took. Without bytes it
    /// returns how many it would take.
    pub(crate) fn drain(&mut self, mut send: impl FnMut(&[u8]) -> usize) {
        if self.unsaid > 0 {
            // The rest of what is being sent comes first.
            let rest = if self.place == Place::Between { 0 } else { unit(self.place, self.waiting()).unwrap_or(0) };
            self.send(rest, &mut send);
            self.say_lost(&mut send);
        }
        self.send(self.length, &mut send);
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn send(&mut self, length: usize, send: &mut impl FnMut(&[u8]) -> usize) {
        if length == 0 {
            return;
        }
        let sent = send(&self.bytes[..length]);
        for byte in &self.bytes[..sent] {
            self.place = self.place.after(*byte);
        }
        self.bytes.copy_within(sent..self.length, 0);
        self.length -= sent;
    }

    /// Says in a line of its own how much was lost, where a line can stand. A part of it that is not taken is not said
    /// again.
    fn say_lost(&mut self, send: &mut impl FnMut(&[u8]) -> usize) {
        if self.place != Place::Between {
            return;
        }
        let mut line = Line { bytes: [0; 64], length: 0 };
        // The line has room for the largest number.
        let _ = writeln!(line, "console: {} bytes were lost here", self.unsaid);
        if send(&[]) >= line.length {
            send(&line.bytes[..line.length]);
            self.unsaid = 0;
        }
    }

    /// Loses the oldest line or frame of which no part was sent; false if there is none that is whole.
    fn lose_oldest(&mut self) -> bool {
        let bytes = self.waiting();
        // The rest of what is being sent stays.
        let start = if self.place == Place::Between { Some(0) } else { unit(self.place, bytes) };
        let Some(start) = start else { return false };
        let Some(length) = unit(Place::Between, &bytes[start..]) else { return false };
        self.bytes.copy_within(start + length..self.length, start);
        self.length -= length;
        self.count(length);
        true
    }

    fn count(&mut self, bytes: usize) {
        self.lost += bytes as u64;
        self.unsaid += bytes as u64;
    }
}

/// A line that is being made.
struct Line {
    bytes: [u8; 64],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::Backlog;

    /// A console that takes so many bytes.
    struct Taken {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Taken {
        fn take(&mut self, bytes: &[u8]) -> usize {
            if bytes.is_empty() {
                return self.room;
            }
            let length = bytes.len().min(self.room);
            self.bytes.extend_from_slice(&bytes[..length]);
            self.room -= length;
            length
        }
    }

    fn drain<const SIZE: usize>(backlog: &mut Backlog<SIZE>, taken: &mut Taken, room: usize) {
        taken.room = room;
        backlog.drain(|bytes| taken.take(bytes));
    }

    fn nothing() -> Taken {
        Taken { bytes: Vec::new(), room: 0 }
    }

    #[test]
    fn what_fits_comes_out_in_order_however_little_is_taken_at_once() {
        let mut backlog = Backlog::<64>::new();
        backlog.push(b"first line\n");
        backlog.push(b"second ");
        backlog.push(b"line\n");
        let mut taken = nothing();
        while !backlog.is_empty() {
            drain(&mut backlog, &mut taken, 3);
        }
        assert_eq!(taken.bytes, b"first line\nsecond line\n");
        assert_eq!(backlog.lost(), 0);
    }

    #[test]
    fn what_fills_all_the_room_is_not_lost() {
        let mut backlog = Backlog::<16>::new();
        backlog.push(b"first\n");
        backlog.push(b"and more.\n");
        let mut taken = nothing();
        drain(&mut backlog, &mut taken, 16);
        assert_eq!((taken.bytes.as_slice(), backlog.lost()), (&b"first\nand more.\n"[..], 0));
    }

    #[test]
    fn the_oldest_lines_are_lost_and_it_is_said_where() {
        let mut backlog = Backlog::<32>::new();
        for number in 0..10 {
            backlog.push((number.to_string() + " 3456789\n").as_bytes());
        }
        let mut taken = nothing();
        drain(&mut backlog, &mut taken, 1000);
        let text = String::from_utf8(taken.bytes).expect("text");
        assert_eq!(text, "console: 70 bytes were lost here\n7 3456789\n8 3456789\n9 3456789\n");
        assert_eq!(backlog.lost(), 70);
        backlog.push(b"later\n");
        let mut taken = nothing();
        drain(&mut backlog, &mut taken, 1000);
        assert_eq!(taken.bytes, b"later\n", "it is said once");
    }

    #[test]
    fn a_line_of_which_a_part_was_sent_is_finished_before_anything_is_lost() {
        let mut backlog = Backlog::<40>::new();
        backlog.push(b"half of this is sent\n");
        let mut taken = nothing();
        drain(&mut backlog, &mut taken, 8);
        for line in [&b"second\n"[..], b"third, which needs room\n"] {
            backlog.push(line);
        }
        drain(&mut backlog, &mut taken, 1000);
        let text = String::from_utf8(taken.bytes).expect("text");
        let (first, rest) = text.split_once('\n').expect("a line");
        assert_eq!(first, "half of this is sent");
        assert_eq!(rest, "console: 7 bytes were lost here\nthird, which needs room\n");
    }

    #[test]
    fn a_frame_is_lost_as_a_whole_though_it_holds_line_feeds() {
        let mut backlog = Backlog::<20>::new();
        backlog.push(b"\xfe\n\nab\n\ncd\0");
        backlog.push(b"text\n");
        backlog.push(b"\xfe\nxyz\n1\0");
        let mut taken = nothing();
        drain(&mut backlog, &mut taken, 1000);
        let mark = taken.bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        assert!(taken.bytes.starts_with(b"console: 10 bytes were lost here\n"), "{:?}", taken.bytes);
        assert_eq!(&taken.bytes[mark..], b"text\n\xfe\nxyz\n1\0");
    }

    #[test]
    fn a_line_longer_than_all_the_room_loses_its_end() {
        let mut backlog = Backlog::<16>::new();
        backlog.push(b"0123456789");
        backlog.push(b"0123456789\n");
        assert_eq!(backlog.lost(), 5);
        let mut taken = nothing();
        drain(&mut backlog, &mut taken, 1000);
        assert!(taken.bytes.ends_with(b"0123456789012345"), "{:?}", taken.bytes);
    }
}
