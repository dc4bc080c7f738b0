//! Why a broker refuses, in words.
//!
//! Source: OASIS MQTT Version 5.0, section 2.4; MQTT 3.1.1, table 3.1, whose five codes have the same meanings.

use core::fmt;

/// A reason code of MQTT 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason(pub u8);

/// Reason codes from here on are refusals.
const FIRST_REFUSAL: u8 = 0x80;

impl Reason {
    /// The broker does not know the version of MQTT that we speak.
    pub const VERSION: Self = Self(0x84);
    /// Another client has connected with our name.
    pub const TAKEN_OVER: Self = Self(0x8e);
    /// The broker takes no messages that it has to acknowledge.
    pub const QOS: Self = Self(0x9b);
    /// The message is larger than the broker takes.
    pub const PACKET_TOO_LARGE: Self = Self(0x95);

    /// The reason of a code that MQTT 5 sends: `None` when it is no refusal.
    pub fn of(code: u8) -> Option<Self> {
        (code >= FIRST_REFUSAL).then_some(Self(code))
    }

    /// The reason of an answer to a CONNECT, in which brokers that know MQTT 3.1.1 alone use its codes.
    pub fn of_connect(code: u8) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::VERSION),
            2 => Some(Self(0x85)),
            3 => Some(Self(0x88)),
            4 => Some(Self(0x86)),
            5 => Some(Self(0x87)),
            code => Some(Self(code)),
        }
    }

    /// Whether the same message may be taken another time: the broker is busy, has no room, or does not say why not.
    pub fn may_pass(self) -> bool {
        matches!(self.0, 0x80 | 0x83 | 0x88 | 0x89 | 0x91 | 0x93 | 0x96 | 0x97)
    }

    fn words(self) -> &'static str {
        match self.0 {
            0x81 => "malformed packet",
            0x82 => "protocol error",
            0x83 => "a reason of the broker's own",
            0x84 => "MQTT version not supported",
            0x85 => "client name not valid",
            0x86 => "bad user name or password",
            0x87 => "not authorized",
            0x88 => "server unavailable",
            0x89 => "server busy",
            0x8a => "banned",
            0x8b => "server shutting down",
            0x8c => "bad authentication method",
            0x8d => "keepalive timeout",
            0x8e => "another client with the same name has taken the session over",
            0x8f => "topic filter not valid",
            0x90 => "topic not valid",
            0x91 => "packet number in use",
            0x92 => "packet number not found",
            0x93 => "more messages at once than it takes",
            0x94 => "topic alias not valid",
            0x95 => "packet too large",
            0x96 => "message rate too high",
            0x97 => "quota exceeded",
            0x98 => "administrative action",
            0x99 => "payload format not valid",
            0x9a => "retained messages not supported",
            0x9b => "QoS not supported",
            0x9c => "use another server",
            0x9d => "server moved",
            0x9e => "shared subscriptions not supported",
            0x9f => "connection rate exceeded",
            0xa0 => "maximum connection time",
            0xa1 => "subscription identifiers not supported",
            0xa2 => "wildcards not supported",
            _ => "no reason given",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02x})", self.words(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::Reason;

    #[test]
    fn codes_of_both_versions_have_words() {
        assert_eq!(Reason::of(0x10), None);
        assert_eq!(Reason::of(0x97).unwrap().to_string(), "quota exceeded (0x97)");
        assert_eq!(Reason::of_connect(5).unwrap().to_string(), "not authorized (0x87)");
        assert_eq!(Reason::of_connect(1), Some(Reason::VERSION));
        assert_eq!(Reason::of_connect(0), None);
        assert_eq!(Reason::of(0xff).unwrap().to_string(), "no reason given (0xff)");
    }

    #[test]
    fn every_code_of_the_standard_has_words_of_its_own() {
        let words: Vec<_> = (0x81..=0xa2).map(|code| Reason(code).words()).collect();
        for (index, words_of_one) in words.iter().enumerate() {
            assert!(*words_of_one != Reason(0x80).words() && !words[..index].contains(words_of_one), "{words_of_one}");
        }
    }
}
