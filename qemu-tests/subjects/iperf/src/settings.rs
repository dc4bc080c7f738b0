//! The client's parameters: a JSON object, read member by member without keeping it.

use nanojson::{Deserialize, ParseError, ParseErrorKind, Parser};

use crate::failure::Failure;

/// The most streams in each direction.
pub const MOST_STREAMS: usize = 16;

/// iperf3's limits of what is written at once.
const LARGEST_TCP_BLOCK_BYTES: usize = 1 << 20;
const LARGEST_DATAGRAM_BYTES: usize = 65_507;

/// A datagram has room for the time and a number of 64 bits.
const SMALLEST_DATAGRAM_BYTES: usize = 16;

/// What is written at once if the client does not say.
const DEFAULT_TCP_BLOCK_BYTES: usize = 128 * 1024;
const DEFAULT_DATAGRAM_BYTES: usize = 1448;

/// Room for the name of a member.
const NAME_BYTES: usize = 64;

/// What a test is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// UDP instead of TCP.
    pub udp: bool,
    /// Streams on which the client sends.
    pub incoming: usize,
    /// Streams on which the server sends.
    pub outgoing: usize,
    /// What is written at once; a datagram's data.
    pub block_bytes: usize,
    /// Bits a second of each stream that the server sends; 0 for as many as possible.
    pub bits_per_second: u64,
    /// Seconds; 0 if something else ends the test.
    pub time_s: u64,
    /// Seconds at the beginning that do not count.
    pub omit_s: u64,
    /// The numbers of datagrams have 64 bits.
    pub wide_counters: bool,
}

/// The members that matter here.
#[derive(Default)]
struct Members {
    udp: bool,
    sctp: bool,
    reverse: bool,
    bidirectional: bool,
    wide_counters: bool,
    parallel: Option<u64>,
    length: Option<u64>,
    bandwidth: u64,
    time_s: u64,
    omit_s: u64,
}

impl Settings {
    /// Reads a client's parameters.
    pub fn read(json: &[u8]) -> Result<Self, Failure> {
        Members::read(json).map_err(|_| Failure::Parameters)?.settings()
    }
}

impl Members {
    fn read(json: &[u8]) -> Result<Self, ParseError> {
        let mut name = [0; NAME_BYTES];
        let mut parser = Parser::new(json, &mut name);
        let mut members = Self::default();
        parser.object_begin()?;
        while let Some(name) = parser.member()? {
            let value = value(&mut parser)?;
            // As iperf3 does: a flag is set by being there.
            match name {
                "udp" => members.udp = true,
                "sctp" => members.sctp = true,
                "reverse" => members.reverse = true,
                "bidirectional" => members.bidirectional = true,
                "udp_counters_64bit" => members.wide_counters = true,
                "parallel" => members.parallel = Some(value),
                "len" => members.length = Some(value),
                "bandwidth" => members.bandwidth = value,
                "time" => members.time_s = value,
                "omit" => members.omit_s = value,
                _ => {}
            }
        }
        parser.object_end()?;
        parser.finish()?;
        Ok(members)
    }

    fn settings(self) -> Result<Settings, Failure> {
        if self.sctp {
            return Err(Failure::Unimplemented("SCTP"));
        }
        if self.udp && self.bidirectional {
            return Err(Failure::Unimplemented("datagrams both ways at once"));
        }
        let streams = usize::try_from(self.parallel.unwrap_or(1)).unwrap_or(usize::MAX);
        if !(1..=MOST_STREAMS).contains(&streams) {
            return Err(Failure::Streams);
        }
        let (default, sizes) = match self.udp {
            true => (DEFAULT_DATAGRAM_BYTES, SMALLEST_DATAGRAM_BYTES..=LARGEST_DATAGRAM_BYTES),
            false => (DEFAULT_TCP_BLOCK_BYTES, 1..=LARGEST_TCP_BLOCK_BYTES),
        };
        let block_bytes = self.length.map_or(default, |length| usize::try_from(length).unwrap_or(usize::MAX));
        if !sizes.contains(&block_bytes) {
            return Err(Failure::BlockSize);
        }
        Ok(Settings {
            udp: self.udp,
            incoming: if self.reverse && !self.bidirectional { 0 } else { streams },
            outgoing: if self.reverse || self.bidirectional { streams } else { 0 },
            block_bytes,
            bits_per_second: self.bandwidth,
            time_s: self.time_s,
            omit_s: self.omit_s,
            wide_counters: self.wide_counters,
        })
    }
}

/// Passes a value. A whole number is returned, one that is none or too large as the largest; anything else as 0.
///
/// There is nothing within the values of a client's parameters, so arrays and objects are refused.
fn value(parser: &mut Parser<'_, '_>) -> Result<u64, ParseError> {
    if parser.is_number_ahead() {
        return Ok(parser.number_str()?.parse().unwrap_or(u64::MAX));
    }
    if parser.is_string_ahead() {
        // Borrowed, a string needs no room however long it is; one with an escape has been passed, too.
        return match <&str>::deserialize(parser) {
            Err(error) if error.kind != ParseErrorKind::KeyHasEscapes => Err(error),
            _ => Ok(0),
        };
    }
    match parser.is_null_ahead() {
        true => parser.null()?,
        false => _ = parser.boolean()?,
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: Settings = Settings {
        udp: false,
        incoming: 1,
        outgoing: 0,
        block_bytes: 131_072,
        bits_per_second: 0,
        time_s: 10,
        omit_s: 0,
        wide_counters: false,
    };

    fn read(json: &str) -> Result<Settings, Failure> {
        Settings::read(json.as_bytes())
    }

    #[test]
    fn what_a_client_sends_by_default_is_one_stream_of_tcp_to_us() {
        let json = r#"{"tcp":true,"omit":0,"time":10,"num":0,"blockcount":0,"parallel":1,"len":131072,
            "pacing_timer":1000,"client_version":"3.12"}"#;
        assert_eq!(read(json), Ok(TCP));
    }

    #[test]
    fn streams_go_where_reverse_and_bidirectional_say() {
        assert_eq!(
            read(r#"{"parallel":4,"reverse":true,"time":10}"#),
            Ok(Settings { incoming: 0, outgoing: 4, ..TCP })
        );
        let both = Settings { incoming: 2, outgoing: 2, ..TCP };
        assert_eq!(read(r#"{"parallel":2,"bidirectional":true,"time":10}"#), Ok(both));
    }

    #[test]
    fn datagrams_have_a_size_a_rate_and_wide_numbers() {
        let json = r#"{"udp":true,"time":3,"omit":1,"len":64,"bandwidth":1048576,"udp_counters_64bit":1}"#;
        let expected = Settings {
            udp: true,
            block_bytes: 64,
            bits_per_second: 1_048_576,
            time_s: 3,
            omit_s: 1,
            wide_counters: true,
            ..TCP
        };
        assert_eq!(read(json), Ok(expected));
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        assert_eq!(read(r#"{"parallel":17}"#), Err(Failure::Streams));
        assert_eq!(read(r#"{"parallel":0}"#), Err(Failure::Streams));
        assert_eq!(read(r#"{"len":1048577}"#), Err(Failure::BlockSize));
        assert_eq!(read(r#"{"len":0}"#), Err(Failure::BlockSize));
        assert_eq!(read(r#"{"udp":true,"len":15}"#), Err(Failure::BlockSize));
        assert_eq!(read(r#"{"sctp":true}"#), Err(Failure::Unimplemented("SCTP")));
        assert!(matches!(read(r#"{"udp":true,"bidirectional":true}"#), Err(Failure::Unimplemented(_))));
    }

    #[test]
    fn texts_are_passed_whatever_their_length_and_nonsense_is_refused() {
        let long = "long \\\" ".repeat(500);
        assert_eq!(read(&alloc::format!(r#"{{"title":"{long}","time":10}}"#)), Ok(TCP));
        for json in ["", "[]", "{", r#"{"time":}"#, r#"{"time":[1]}"#, r#"{"time":{}}"#, "{} {}"] {
            assert_eq!(read(json), Err(Failure::Parameters), "{json}");
        }
    }

    #[test]
    fn a_number_out_of_range_is_a_large_one() {
        assert_eq!(read(r#"{"time":10,"bandwidth":1e+30}"#), Ok(Settings { bits_per_second: u64::MAX, ..TCP }));
        assert_eq!(read(r#"{"len":-1}"#), Err(Failure::BlockSize));
    }
}
