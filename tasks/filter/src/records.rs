//! Lines of which each is read by a decoder of `readings`: SenML, JSON objects, InfluxDB's line protocol, plain numbers.
//!
//! A line is kept until it is whole, in a buffer of fixed size, and nothing else is kept but the sensors.

use alloc::string::String;
use alloc::vec::Vec;

use lines::sensors::Value;
use lines::tally::Tally;
use readings::object::Device;
use readings::time::Precision;
use readings::{Item, Reading, influx, number, object, plain, senml};

/// The longest line in bytes.
pub const LINE_BYTES: usize = 32 * 1024;

/// Between a sensor's name and its unit where both are one key: a character that neither may have.
pub const UNIT_MARK: char = '\0';

/// The name of the sensor that numbers alone come from.
const NUMBERS: &str = "value";

/// How a line is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoding {
    /// A SenML pack (RFC 8428).
    Senml,
    /// A JSON object whose numbers are readings, with the time under this key.
    Object(Option<String>),
    /// InfluxDB's line protocol.
    Influx,
    /// A number.
    Number,
}

/// The reader of lines.
pub struct Records {
    encoding: Encoding,
    /// The time that dates what says none, in seconds since 1970.
    now: f64,
    /// The line that has begun.
    begun: Vec<u8>,
    /// Of it, so many bytes did not fit.
    beyond: usize,
    /// The number of lines before it.
    lines: u64,
    found: Found,
}

/// What was found.
pub struct Found {
    /// The sensors; those with a unit have it behind their name and [`UNIT_MARK`].
    pub tally: Tally,
    /// Values that are no numbers.
    pub not_numeric: u64,
    /// The time of the first reading that has one, and of the last one, in seconds since 1970.
    pub times: Option<(f64, f64)>,
    /// A key as it is put together.
    key: String,
}

impl Records {
    /// Nothing yet, for so many sensors.
    pub fn new(encoding: Encoding, now: f64, most_sensors: u16) -> Self {
        let found = Found { tally: Tally::new(most_sensors), not_numeric: 0, times: None, key: String::new() };
        Self { encoding, now, begun: Vec::with_capacity(LINE_BYTES), beyond: 0, lines: 0, found }
    }

    /// Reads the next piece.
    pub fn push(&mut self, mut piece: &[u8]) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.begin(&piece[..end]);
            self.end();
            piece = &piece[end + 1..];
        }
        self.begin(piece);
    }

    /// Reads the line that has begun as if it were whole.
    pub fn end(&mut self) {
        self.lines += 1;
        let line = self.begun.trim_ascii();
        let found = &mut self.found;
        if self.beyond > 0 {
            found.tally.malformed(self.lines, line);
        } else if !line.is_empty() {
            let mut bad = false;
            let read = decode(&self.encoding, line, self.now, &mut |item| bad |= !found.take(item));
            if bad || !read {
                found.tally.malformed(self.lines, line);
            }
        }
        self.begun.clear();
        self.beyond = 0;
    }

    /// What was found.
    pub fn found(self) -> Found {
        self.found
    }

    /// Keeps a part of a line, or what of it there is room for.
    fn begin(&mut self, part: &[u8]) {
        let kept = part.len().min(LINE_BYTES - self.begun.len());
        self.begun.extend_from_slice(&part[..kept]);
        self.beyond += part.len() - kept;
    }
}

/// Hands out what is in a line; whether it could be read to its end.
fn decode(encoding: &Encoding, line: &[u8], now: f64, take: &mut dyn FnMut(Item<'_>)) -> bool {
    match encoding {
        Encoding::Senml => senml::read(line, now, take).is_ok(),
        Encoding::Object(time) => {
            let device = Device { name: "", unit: "", time_key: time.as_deref() };
            object::read(line, device, now, take).is_ok()
        }
        Encoding::Influx => {
            influx::read(line, "", Precision::Nanoseconds, now, take);
            true
        }
        Encoding::Number => {
            let reading = Reading { name: NUMBERS, unit: "", time: now, dated: false, value: 0.0 };
            plain::read(line, reading, take).is_ok()
        }
    }
}

impl Found {
    /// Takes what is in a line; whether it can be used.
    fn take(&mut self, item: Item<'_>) -> bool {
        match item {
            Item::Reading(reading) => {
                self.key.clear();
                self.key.push_str(reading.name);
                if !reading.unit.is_empty() {
                    self.key.push(UNIT_MARK);
                    self.key.push_str(reading.unit);
                }
                self.tally.reading(self.key.as_bytes(), Value::Float(reading.value));
                if reading.dated {
                    self.times.get_or_insert((reading.time, reading.time)).1 = reading.time;
                }
                true
            }
            Item::Other => {
                self.not_numeric += 1;
                true
            }
            Item::Malformed => false,
        }
    }
}

/// A time as the report has it.
pub fn shown(time: f64) -> String {
    let mut text = String::new();
    number::write(time, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::format;

    use super::*;

    /// Name with unit, count and mean of each sensor.
    type Sensors = Vec<(String, u64, f64)>;

    fn read_in_parts(encoding: &Encoding, text: &str, part: usize) -> (Found, Sensors) {
        let mut records = Records::new(encoding.clone(), 1.7e9, 9);
        text.as_bytes().chunks(part).for_each(|piece| records.push(piece));
        records.end();
        let mut found = records.found();
        let sensors = core::mem::take(&mut found.tally.sensors).into_statistics();
        let sensors = sensors.map(|(name, found)| (name, found.count(), found.mean())).collect();
        (found, sensors)
    }

    /// Reads lines, whole and in parts, which must not matter.
    fn read(encoding: Encoding, text: &str) -> (Found, Sensors) {
        let whole = read_in_parts(&encoding, text, text.len().max(1));
        for part in 1..text.len().min(20) {
            let (found, sensors) = read_in_parts(&encoding, text, part);
            assert_eq!(sensors, whole.1, "in parts of {part}");
            let figures = |of: &Found| (of.tally.malformed, of.tally.sample.clone(), of.not_numeric, of.times);
            assert_eq!(figures(&found), figures(&whole.0), "in parts of {part}");
        }
        whole
    }

    fn sensor(name: &str, count: u64, mean: f64) -> (String, u64, f64) {
        (name.to_owned(), count, mean)
    }

    #[test]
    fn each_line_may_be_a_pack_of_senml() {
        let text = concat!(
            r#"[{"bn":"a/","bt":1700000000,"n":"t","u":"Cel","v":1},{"n":"h","v":5}]"#,
            "\n\n",
            r#"[{"n":"a/t","u":"Cel","t":1700000060,"v":2},{"n":"a/x","vs":"on"}]"#,
            "\r\nnonsense\n"
        );
        let (found, sensors) = read(Encoding::Senml, text);
        assert_eq!(sensors, [sensor("a/t\0Cel", 2, 1.5), sensor("a/h", 1, 5.0)]);
        assert_eq!((found.tally.malformed, found.not_numeric), (1, 1));
        assert_eq!(found.times, Some((1.7e9, 1.70000006e9)));
        let sample = found.tally.sample.expect("a sample");
        assert_eq!((sample.line, sample.text.as_str()), (4, "nonsense"));
    }

    #[test]
    fn each_line_may_be_an_object() {
        let text = "{\"time\":\"2023-11-14T22:13:20Z\",\"t\":1,\"state\":\"on\"}\n{\"t\":2,\"e\":{\"p\":.5}}\n{\"t\":4,\"e\":{\"p\":7}}";
        let (found, sensors) = read(Encoding::Object(Some("time".to_owned())), text);
        // The second line has a number that is none in JSON.
        assert_eq!(sensors, [sensor("t", 2, 2.5), sensor("e/p", 1, 7.0)]);
        assert_eq!((found.tally.malformed, found.not_numeric, found.times), (1, 1, Some((1.7e9, 1.7e9))));
    }

    #[test]
    fn each_line_may_be_one_of_influxdb() {
        let text =
            "# comment\nweather,place=north t=1,n=3i 1700000000000000000\nweather,place=north t=2\nweather t=x\n";
        let (found, sensors) = read(Encoding::Influx, text);
        assert_eq!(sensors, [sensor("weather/place:north/t", 2, 1.5), sensor("weather/place:north/n", 1, 3.0)]);
        assert_eq!((found.tally.malformed, found.times), (1, Some((1.7e9, 1.7e9))));
    }

    #[test]
    fn each_line_may_be_a_number() {
        let (found, sensors) = read(Encoding::Number, "1\n 2.5 \nnan\nwarm\n+.5");
        assert_eq!(sensors, [sensor("value", 3, 4.0 / 3.0)]);
        assert_eq!((found.tally.malformed, found.not_numeric), (1, 1));
    }

    #[test]
    fn a_line_that_is_too_long_costs_itself() {
        let (found, sensors) = read(Encoding::Number, &format!("1\n{}\n3\n", "2".repeat(LINE_BYTES + 1)));
        assert_eq!((found.tally.malformed, sensors), (1, [sensor("value", 2, 2.0)].to_vec()));
        assert_eq!(shown(1.7e9 + 0.5), "1700000000.5");
    }
}
