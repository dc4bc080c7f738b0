//! Points in time.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// The last millisecond of the year 9999, the last year that RFC 3339 can write.
const LAST: u64 = 253_402_300_799_999;

/// A point in time in whole milliseconds, UTC, between 1970 and 9999.
///
/// As text it is RFC 3339 with `Z`; offsets are refused, so that one point has one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    milliseconds: u64,
}

impl Timestamp {
    /// So many milliseconds after the beginning of 1970; the end of 9999 for what is later.
    #[must_use]
    pub fn from_milliseconds(milliseconds: u64) -> Self {
        Self { milliseconds: milliseconds.min(LAST) }
    }

    /// Milliseconds since the beginning of 1970.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        self.milliseconds
    }

    /// The point that is later by this much.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self::from_milliseconds(self.milliseconds.saturating_add(wait))
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock that is set before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        Self::from_milliseconds(0).after(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl Display for Timestamp {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.milliseconds)).fmt(formatter)
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let example = "a time is written as 2026-11-30T23:59:59Z, with up to three digits behind the second";
        let time = humantime::parse_rfc3339(text).map_err(|error| format!("\"{text}\": {error}; {example}"))?;
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| format!("\"{text}\" is before 1970"))?;
        if since.subsec_nanos() % 1_000_000 != 0 {
            return Err(format!("\"{text}\" is finer than a millisecond; {example}"));
        }
        Ok(Self::from(time))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 in UTC (Z), at most milliseconds",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn a_time_is_written_in_one_way() {
        let time: Timestamp = "2026-11-30T23:59:59Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-30T23:59:59.000Z");
        assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        assert_eq!(Timestamp::from_milliseconds(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn offsets_fractions_of_milliseconds_and_the_time_before_1970_are_refused() {
        for text in ["2026-11-30T23:59:59+01:00", "2026-11-30T23:59:59.0001Z", "1969-12-31T23:59:59Z", "yesterday", ""]
        {
            let error = text.parse::<Timestamp>().unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }
}
