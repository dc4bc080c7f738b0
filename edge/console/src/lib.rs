//! A guest's console as lines: plain text and defmt frames, which share it, told apart and decoded.
//!
//! A frame is the byte 0xFE, which never occurs in UTF-8, then rzCOBS data, then a zero byte, which never occurs in
//! rzCOBS (kernel/src/console.rs). The format strings are in the image's ELF file, and in the config of the artifact that
//! is made of it ([`strings`]). Bytes may come in pieces of any size.

use std::fmt;

use anyhow::{Context, Result};
use defmt_decoder::Table;

/// The byte that starts a frame.
const FRAME_START: u8 = 0xfe;

/// A frame longer than this is none: its end was lost. The kernel's own frames have some hundred bytes at most.
const LONGEST_FRAME: usize = 4096;

/// One line of a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Plain text, without its line end.
    Text(String),
    /// A decoded log message.
    Log {
        /// "info" and the like; none for `defmt::println!`.
        level: Option<&'static str>,
        /// Time since the guest's start, as the guest's timestamp format has it.
        timestamp: Option<String>,
        /// The message.
        message: String,
    },
    /// A frame that cannot be decoded: damaged, cut off, or of another image than the ELF file's.
    Undecoded {
        /// How long it is.
        bytes: usize,
        /// What in it reads like text: a crash in the middle of a log message may have printed over it.
        text: String,
    },
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Text(text) => f.write_str(text),
            Line::Log { level, timestamp, message } => {
                if let Some(timestamp) = timestamp {
                    write!(f, "{timestamp} ")?;
                }
                match level {
                    Some(level) => write!(f, "{level:<5} {message}"),
                    None => f.write_str(message),
                }
            }
            Line::Undecoded { bytes, text } if text.is_empty() => {
                write!(f, "(a log frame of {bytes} bytes, not decoded)")
            }
            Line::Undecoded { bytes, text } => write!(f, "(a log frame of {bytes} bytes, not decoded) {text}"),
        }
    }
}

/// The log strings in an image's ELF file, as text that [`LogStream::with_strings`] takes; none when it has none.
///
/// # Errors
/// They are damaged, of a version of defmt that is not understood, or have flags of `defmt::bitflags`, for which that text
/// has no form.
pub fn strings(elf: &[u8]) -> Result<Option<String>> {
    let table = table(elf)?.filter(|table| !table.is_empty());
    table.map(|table| serde_json::to_string(&table).context("the log strings cannot be written as text")).transpose()
}

fn table(elf: &[u8]) -> Result<Option<Table>> {
    Table::parse(elf).context("the log strings in the ELF file cannot be read")
}

/// Takes a console's bytes and gives its lines.
pub struct LogStream {
    table: Option<Table>,
    text: Vec<u8>,
    frame: Option<Vec<u8>>,
}

impl LogStream {
    /// For a guest whose image has this ELF file.
    ///
    /// # Errors
    /// The file's log strings are damaged or of a version of defmt that is not understood.
    pub fn new(elf: &[u8]) -> Result<Self> {
        Ok(Self::with_table(table(elf)?))
    }

    /// For a guest whose image has these log strings, as [`strings`] gives them.
    ///
    /// # Errors
    /// They are none, or those of another version of the decoder.
    pub fn with_strings(strings: &str) -> Result<Self> {
        let table = serde_json::from_str(strings).context("the log strings cannot be read")?;
        Ok(Self::with_table(Some(table)))
    }

    /// Without log strings: frames are counted, not decoded.
    #[must_use]
    pub fn without_strings() -> Self {
        Self::with_table(None)
    }

    fn with_table(table: Option<Table>) -> Self {
        Self { table, text: Vec::new(), frame: None }
    }

    /// Takes the next bytes and returns the lines that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for byte in bytes {
            match (&mut self.frame, *byte) {
                (Some(_), 0) => lines.extend(self.end_of_frame()),
                (Some(frame), byte) => {
                    frame.push(byte);
                    if frame.len() > LONGEST_FRAME {
                        lines.extend(self.end_of_frame());
                    }
                }
                (None, FRAME_START) => self.frame = Some(Vec::new()),
                (None, b'\n') => lines.push(Line::Text(text(&std::mem::take(&mut self.text)))),
                (None, byte) => self.text.push(byte),
            }
        }
        lines
    }

    /// What is left when no more bytes come: a line without its end, a frame that was cut off.
    pub fn finish(&mut self) -> Vec<Line> {
        let cut_off = self.frame.take().map(|frame| undecoded(&frame));
        let rest = std::mem::take(&mut self.text);
        (!rest.is_empty()).then(|| Line::Text(text(&rest))).into_iter().chain(cut_off).collect()
    }

    /// The lines of a console that is here as a whole, without empty ones.
    #[must_use]
    pub fn lines(mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = self.push(bytes);
        lines.extend(self.finish());
        lines.iter().map(ToString::to_string).filter(|line| !line.is_empty()).collect()
    }

    fn end_of_frame(&mut self) -> Option<Line> {
        let frame = self.frame.take()?;
        Some(self.decode(&frame).unwrap_or_else(|| undecoded(&frame)))
    }

    fn decode(&self, frame: &[u8]) -> Option<Line> {
        let mut decoder = self.table.as_ref()?.new_stream_decoder();
        decoder.received(frame);
        decoder.received(&[0]);
        let decoded = decoder.decode().ok()?;
        Some(Line::Log {
            level: decoded.level().map(|level| level.as_str()),
            timestamp: decoded.display_timestamp().map(|timestamp| timestamp.to_string()),
            message: decoded.display_message().to_string(),
        })
    }
}

/// A line's bytes as text, without the carriage return that a terminal wants.
fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

/// Keeps those lines of a broken frame that a person can read.
fn undecoded(frame: &[u8]) -> Line {
    let readable = |part: &&[u8]| part.len() >= 8 && part.iter().all(|byte| *byte == b' ' || byte.is_ascii_graphic());
    let parts: Vec<_> = frame.split(|byte| matches!(byte, b'\n' | b'\r')).filter(readable).map(text).collect();
    Line::Undecoded { bytes: frame.len(), text: parts.join(" / ") }
}

#[cfg(test)]
mod tests {
    use super::{Line, LogStream};

    /// Log strings as an ELF file would give them: number 1 takes a byte, 2 is a warning, 3 comes from println.
    fn strings() -> String {
        let entry = |tag: &str, string: &str| {
            let string = serde_json::json!({"tag": tag, "string": string});
            serde_json::json!({"string": string, "raw_symbol": "none"})
        };
        let table = serde_json::json!({
            "timestamp": entry("Timestamp", "{=u8:us}"),
            "entries": {
                "1": entry("Info", "port {=u8} is open"),
                "2": entry("Warn", "late"),
                "3": entry("Println", "as it is"),
            },
            "bitflags": {},
            "encoding": "Rzcobs",
        });
        table.to_string()
    }

    fn stream() -> LogStream {
        LogStream::with_strings(&strings()).unwrap()
    }

    /// A frame of at most six bytes: rzCOBS leaves the zeros out and marks their places in a last byte.
    fn frame(message: &[u8]) -> Vec<u8> {
        assert!(message.len() <= 6);
        let zero = |place: &usize| message.get(*place).is_none_or(|byte| *byte == 0);
        let marks = (0..7).filter(zero).fold(0, |marks, place| marks | 1 << place);
        let kept = message.iter().copied().filter(|byte| *byte != 0);
        std::iter::once(0xfe).chain(kept).chain([marks, 0]).collect()
    }

    fn shown(lines: &[Line]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    fn mixed() -> Vec<u8> {
        let open = frame(&[1, 0, 5, 80]);
        let late = frame(&[2, 0, 9]);
        let plain = frame(&[3, 0, 10]);
        [b"booted\r\n".as_slice(), &open, b"h\xc3\xa4lf a ", &late, b"line\n", &plain, b"end"].concat()
    }

    const MIXED: [&str; 6] =
        ["booted", "0.000005 info  port 80 is open", "0.000009 warn  late", "hälf a line", "0.000010 as it is", "end"];

    #[test]
    fn text_and_frames_are_told_apart() {
        let mut stream = stream();
        let mut lines = stream.push(&mixed());
        lines.extend(stream.finish());
        assert_eq!(shown(&lines), MIXED);
        assert_eq!(stream.finish(), []);
    }

    #[test]
    fn a_whole_console_has_its_lines_and_strings_of_another_format_are_refused() {
        assert_eq!(stream().lines(&[b"\n".as_slice(), &mixed()].concat()), MIXED);
        assert!(LogStream::with_strings("{}").is_err());
    }

    #[test]
    fn bytes_may_be_split_anywhere() {
        let bytes = mixed();
        for split in 0..=bytes.len() {
            let mut stream = stream();
            let mut lines = stream.push(&bytes[..split]);
            lines.extend(stream.push(&bytes[split..]));
            lines.extend(stream.finish());
            assert_eq!(shown(&lines), MIXED, "split at {split}");
        }
        let mut stream = stream();
        let mut lines: Vec<Line> = bytes.chunks(1).flat_map(|byte| stream.push(byte)).collect();
        lines.extend(stream.finish());
        assert_eq!(shown(&lines), MIXED);
    }

    #[test]
    fn the_frame_start_may_occur_within_a_frame() {
        let lines = stream().push(&frame(&[1, 0, 5, 0xfe]));
        assert_eq!(shown(&lines), ["0.000005 info  port 254 is open"]);
    }

    #[test]
    fn a_frame_of_another_image_is_counted_and_the_next_one_is_decoded() {
        let mut stream = stream();
        let lines = stream.push(&[frame(&[77, 0, 5]), frame(&[2, 0, 9])].concat());
        assert_eq!(shown(&lines), ["(a log frame of 3 bytes, not decoded)", "0.000009 warn  late"]);
    }

    #[test]
    fn a_crash_within_a_frame_stays_readable() {
        let mut stream = stream();
        let lines = stream.push(b"\xfe\x01\x80panic: index out of bounds\nat src/lib.rs:7\n\0after\n");
        // The panic's first line begins with the frame's own bytes, so only what follows is sure to be text.
        assert_eq!(shown(&lines)[0], "(a log frame of 45 bytes, not decoded) at src/lib.rs:7");
        assert_eq!(shown(&lines)[1], "after");
    }

    #[test]
    fn a_frame_without_end_is_given_up() {
        let mut stream = stream();
        assert_eq!(stream.push(b"\xfe\x01\x02"), []);
        assert_eq!(shown(&stream.finish()), ["(a log frame of 2 bytes, not decoded)"]);
        let lines = stream.push(&[&[0xfe], [1; 5000].as_slice(), b"\n"].concat());
        assert!(matches!(lines[0], Line::Undecoded { bytes: 4097, .. }), "{:?}", lines[0]);
    }

    #[test]
    fn without_log_strings_frames_are_counted() {
        let lines = LogStream::without_strings().push(&mixed());
        assert_eq!(shown(&lines)[..2], ["booted", "(a log frame of 4 bytes, not decoded)"]);
    }

    #[test]
    fn garbage_never_panics() {
        let mut state = 1u32;
        let garbage: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 | if state & 0x700 == 0 { 0xfe } else { 0 }
        })
        .take(50_000)
        .collect();
        let mut stream = stream();
        let lines = garbage.chunks(7).map(|part| stream.push(part).len()).sum::<usize>();
        assert!(lines > 100, "{lines}");
    }
}
