//! Times as others write them: numbers since 1970 in some unit, and RFC 3339.

/// The unit of a time that is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl Precision {
    /// The unit's name, as InfluxDB has it: `s`, `ms`, `us`, `ns`.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "s" => Self::Seconds,
            "ms" => Self::Milliseconds,
            "us" => Self::Microseconds,
            "ns" => Self::Nanoseconds,
            _ => return None,
        })
    }

    /// A time in seconds. Beyond 2^53 units a time loses digits, which is less than a microsecond.
    pub fn seconds(self, number: f64) -> f64 {
        match self {
            Self::Seconds => number,
            Self::Milliseconds => number / 1e3,
            Self::Microseconds => number / 1e6,
            Self::Nanoseconds => number / 1e9,
        }
    }

    /// The unit of a number that does not say it, by its size: the one in which it is a time from 1973 to 5138. Smaller
    /// numbers are taken for seconds.
    pub fn guess(number: f64) -> Self {
        match number.abs() {
            size if size < 1e11 => Self::Seconds,
            size if size < 1e14 => Self::Milliseconds,
            size if size < 1e17 => Self::Microseconds,
            _ => Self::Nanoseconds,
        }
    }
}

/// Seconds since 1970 of a time of RFC 3339, such as `2024-02-29T12:00:00.5+01:00`; a blank may stand for the `T`. A
/// time without a zone could be any of a day's, so it is none.
pub fn rfc3339(text: &str) -> Option<f64> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    let month = separated(&mut rest, b"-")?;
    let day = separated(&mut rest, b"-")?;
    let hour = separated(&mut rest, b"Tt ")?;
    let minute = separated(&mut rest, b":")?;
    let second = separated(&mut rest, b":")?;
    let fraction = fraction(&mut rest)?;
    let zone_s = zone_seconds(rest)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = 28 + u32::from(leap);
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = months.get(month.checked_sub(1)? as usize)?;
    // 60 is a leap second.
    if !(1..=*length).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let before: u32 = months.iter().take(month as usize - 1).sum();
    let days = days_before_year(year) + i64::from(before + day - 1);
    let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second) - zone_s;
    Some(seconds as f64 + fraction)
}

/// Days from 1970-01-01 to the year's first.
fn days_before_year(year: u32) -> i64 {
    // The Gregorian calendar, counted from the year 0, of which the year 0 itself is a leap year.
    let years = i64::from(year);
    let leaps = if year == 0 { 0 } else { (years - 1) / 4 - (years - 1) / 100 + (years - 1) / 400 + 1 };
    years * 365 + leaps - 719_528
}

/// A number of exactly so many digits.
fn digits(rest: &mut &[u8], count: usize) -> Option<u32> {
    let (text, after) = rest.split_at_checked(count)?;
    *rest = after;
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

/// Two digits behind one of the separators.
fn separated(rest: &mut &[u8], separators: &[u8]) -> Option<u32> {
    let (separator, after) = rest.split_first()?;
    *rest = after;
    separators.contains(separator).then(|| digits(rest, 2))?
}

/// The fraction of a second, 0 where there is none.
fn fraction(rest: &mut &[u8]) -> Option<f64> {
    let Some(mut after) = rest.strip_prefix(b".") else { return Some(0.0) };
    let (mut fraction, mut place) = (0.0, 1.0);
    let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (text, left) = after.split_at_checked(count)?;
    after = left;
    for digit in text {
        place /= 10.0;
        fraction += f64::from(digit - b'0') * place;
    }
    *rest = after;
    (count > 0).then_some(fraction)
}

/// How far a zone is ahead of UTC.
fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, mut rest) = match zone {
        b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let hours = digits(&mut rest, 2)?;
    let minutes = if rest.first() == Some(&b':') { separated(&mut rest, b":")? } else { digits(&mut rest, 2)? };
    (rest.is_empty() && hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::{Precision, rfc3339};

    #[test]
    fn times_of_rfc_3339() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("1985-04-12T23:20:50.52Z", 482_196_050.52),
            ("1996-12-19T16:39:57-08:00", 851_042_397.0),
            ("2024-02-29 12:00:00.5+0100", 1_709_204_400.5),
            ("2024-02-29T12:00:00+05:30", 1_709_188_200.0),
            ("2024-02-29T12:00:00-05:30", 1_709_227_800.0),
            ("2000-03-01t00:00:00z", 951_868_800.0),
            ("1900-01-01T00:00:00Z", -2_208_988_800.0),
            ("0000-01-01T00:00:00Z", -62_167_219_200.0),
            ("1990-12-31T23:59:60Z", 662_688_000.0),
        ] {
            assert_eq!(rfc3339(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_or_has_no_zone_is_none() {
        for text in [
            "",
            "2024-02-29T12:00:00",
            "2023-02-29T12:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+01",
            "2024-01-01T00:00:00Zx",
            "24-01-01T00:00:00Z",
            "2024-1-1T00:00:00Z",
            "\u{e9}024-01-01T00:00:00Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_tells_its_unit_by_its_size() {
        for unit in ["s", "ms", "us", "ns"] {
            let precision = Precision::of(unit).unwrap();
            let number = 1_700_000_000.5 / precision.seconds(1.0);
            assert_eq!(Precision::guess(number), precision);
            assert!((precision.seconds(number) - 1_700_000_000.5).abs() < 1e-6);
        }
        assert_eq!(Precision::of("m"), None);
    }
}
