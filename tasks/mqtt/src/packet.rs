//! What a broker sends, byte by byte, in MQTT 3.1.1 and 5.
//!
//! Everything is checked; what does not fit is [`Malformed`], never a panic.

use alloc::string::String;
use core::ops::Range;

use super::reason::Reason;

/// What a broker sent is not MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What is known of a message that was too large for the buffer, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The first byte of its packet.
    pub first: u8,
    /// The packet's length in bytes.
    pub length: usize,
    /// The number to acknowledge, if its QoS has one.
    pub id: u16,
    /// The beginning of its topic.
    pub topic: String,
}

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

// Properties, by their number in section 2.2.2.2 of MQTT 5.
pub(super) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
pub(super) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(super) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(super) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
const MAXIMUM_QOS: u8 = 0x24;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;

/// The answer to a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnAck {
    /// The broker has kept the session.
    pub resumed: bool,
    /// Why the broker does not let us in.
    pub refused: Option<Reason>,
    /// How many messages may be under way to it.
    pub receive_maximum: u16,
    /// It takes messages that it has to acknowledge.
    pub acknowledges: bool,
    /// The largest packet that it takes.
    pub packet_bytes: u32,
    /// The keepalive that it wants instead of ours.
    pub keepalive_s: Option<u16>,
    /// It can say which subscription a message belongs to.
    pub subscription_ids: bool,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The topic.
    pub topic: &'a str,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The number to acknowledge, 0 with QoS 0.
    pub id: u16,
    /// DUP: it may have been sent before.
    pub again: bool,
    /// It was published before the subscription, and kept.
    pub retained: bool,
    /// A bit for each subscription that it belongs to, the lowest for number 1; none when the broker does not say.
    pub subscriptions: u64,
    /// The message.
    pub payload: &'a [u8],
}

/// What a broker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// CONNACK.
    ConnAck(ConnAck),
    /// PUBLISH.
    Publish(Publish<'a>),
    /// PUBACK.
    PubAck {
        /// The number of the message.
        id: u16,
        /// Why the broker will not have the message.
        refused: Option<Reason>,
    },
    /// PUBREL.
    PubRel {
        /// The number of the message.
        id: u16,
    },
    /// SUBACK of a subscription to one filter.
    SubAck {
        /// The number of the subscription.
        id: u16,
        /// The QoS with which messages come, or why none do.
        granted: Result<u8, Reason>,
    },
    /// UNSUBACK.
    UnsubAck,
    /// PINGRESP.
    PingResp,
    /// DISCONNECT: the broker is about to close the connection, for a reason if it is not an ordinary end.
    Disconnect(Option<Reason>),
}

/// How long the packet is that begins with these bytes; `None` when there are too few of them to tell.
///
/// # Errors
/// They are no packet.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some((_, rest)) = bytes.split_first() else { return Ok(None) };
    let mut reader = Reader(rest);
    match reader.variable() {
        Ok(remaining) => Ok(Some(bytes.len() - reader.0.len() + remaining)),
        // Four bytes without an end are wrong; fewer are too few.
        Err(Malformed) if rest.len() >= 4 => Err(Malformed),
        Err(Malformed) => Ok(None),
    }
}

/// What is known of a message that is not looked at, of `length` bytes in all, and where its number is; `None` when too
/// little of it is here to tell.
///
/// # Errors
/// It is no message, or one whose topic does not fit its packet.
pub(super) fn unread(
    bytes: &[u8],
    length: usize,
    topic_bytes: usize,
) -> Result<Option<(Unread, Range<usize>)>, Malformed> {
    let mut reader = Reader(bytes);
    let first = reader.byte()?;
    let id_bytes = match (first >> 4, first >> 1 & 3) {
        (3, 0) => 0,
        (3, 1 | 2) => 2,
        _ => return Err(Malformed),
    };
    reader.variable()?;
    let Ok(topic) = reader.word() else { return Ok(None) };
    let id = bytes.len() - reader.0.len() + usize::from(topic);
    if id + id_bytes > length {
        return Err(Malformed);
    }
    let Ok(topic) = reader.take(topic_bytes.min(topic.into())) else { return Ok(None) };
    let topic = String::from_utf8_lossy(topic).into_owned();
    Ok(Some((Unread { first, length, id: 0, topic }, id..id + id_bytes)))
}

/// Decodes one whole packet.
///
/// # Errors
/// It is none of this version, or none that a broker may send.
pub fn decode(packet: &[u8], version: Version) -> Result<Packet<'_>, Malformed> {
    let mut reader = Reader(packet);
    let first = reader.byte()?;
    if reader.variable()? != reader.0.len() {
        return Err(Malformed);
    }
    match (first >> 4, first & 0x0f) {
        (2, 0) => reader.conn_ack().map(Packet::ConnAck),
        (3, flags) => reader.publish(flags, version).map(Packet::Publish),
        (4, 0) => {
            let id = reader.word()?;
            // Without a reason it was taken.
            Ok(Packet::PubAck { id, refused: reader.0.first().and_then(|code| Reason::of(*code)) })
        }
        (6, 2) => Ok(Packet::PubRel { id: reader.word()? }),
        (9, 0) => {
            let id = reader.word()?;
            if version == Version::V5 {
                let mut properties = reader.properties()?;
                while !properties.0.is_empty() {
                    let property = properties.byte()?;
                    properties.skip_property(property)?;
                }
            }
            let [code] = reader.0 else { return Err(Malformed) };
            Ok(Packet::SubAck { id, granted: Reason::of(*code).map_or(Ok(*code), Err) })
        }
        (11, 0) => Ok(Packet::UnsubAck),
        (13, 0) => Ok(Packet::PingResp),
        (14, 0) => Ok(Packet::Disconnect(reader.0.first().and_then(|code| Reason::of(*code)))),
        _ => Err(Malformed),
    }
}

/// What is left of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A big-endian number of some bytes.
    fn number(&mut self, bytes: usize) -> Result<u32, Malformed> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.number(1)? as u8)
    }

    fn word(&mut self) -> Result<u16, Malformed> {
        Ok(self.number(2)? as u16)
    }

    /// A variable byte integer (section 1.5.5).
    fn variable(&mut self) -> Result<usize, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn properties(&mut self) -> Result<Self, Malformed> {
        let length = self.variable()?;
        self.take(length).map(Self)
    }

    fn conn_ack(&mut self) -> Result<ConnAck, Malformed> {
        let flags = self.byte()?;
        let mut ack = ConnAck {
            resumed: flags & 1 != 0,
            refused: Reason::of_connect(self.byte()?),
            receive_maximum: u16::MAX,
            acknowledges: true,
            packet_bytes: u32::MAX,
            keepalive_s: None,
            subscription_ids: true,
        };
        // A broker that knows MQTT 3.1.1 alone answers in that, without properties.
        if self.0.is_empty() {
            return Ok(ack);
        }
        let mut properties = self.properties()?;
        while !properties.0.is_empty() {
            match properties.byte()? {
                RECEIVE_MAXIMUM => ack.receive_maximum = properties.word()?,
                MAXIMUM_PACKET_SIZE => ack.packet_bytes = properties.number(4)?,
                SERVER_KEEP_ALIVE => ack.keepalive_s = Some(properties.word()?),
                SUBSCRIPTION_IDENTIFIERS_AVAILABLE => ack.subscription_ids = properties.byte()? != 0,
                MAXIMUM_QOS => ack.acknowledges = properties.byte()? != 0,
                other => properties.skip_property(other)?,
            }
        }
        Ok(ack)
    }

    /// Skips the value of a property.
    fn skip_property(&mut self, property: u8) -> Result<(), Malformed> {
        let length = match property {
            SESSION_EXPIRY_INTERVAL => 4,
            // How long a message holds.
            0x02 => 4,
            // Topic alias maximum; and topic alias, which we do not ask for: brokers have passed on that of another client,
            // beside the topic.
            0x22 | 0x23 => 2,
            // A payload's format; what is available: retained messages, wildcards, shared subscriptions.
            0x01 | 0x25 | 0x28 | 0x2a => 1,
            // Strings and data: a payload's type, where to answer, assigned client, authentication method and data,
            // response information, server reference, reason.
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => self.word()?.into(),
            // User property: two strings.
            0x26 => {
                let key = self.word()?;
                self.take(key.into())?;
                self.word()?.into()
            }
            _ => return Err(Malformed),
        };
        self.take(length).map(drop)
    }

    fn publish(&mut self, flags: u8, version: Version) -> Result<Publish<'a>, Malformed> {
        let topic = self.word()?;
        let topic = core::str::from_utf8(self.take(topic.into())?).map_err(|_| Malformed)?;
        let qos = flags >> 1 & 3;
        let id = match qos {
            0 => 0,
            1 | 2 => self.word()?,
            _ => return Err(Malformed),
        };
        let subscriptions = if version == Version::V5 { self.subscriptions()? } else { 0 };
        let (again, retained) = (flags & 8 != 0, flags & 1 != 0);
        Ok(Publish { topic, qos, id, again, retained, subscriptions, payload: self.0 })
    }

    /// The subscriptions in a message's properties.
    fn subscriptions(&mut self) -> Result<u64, Malformed> {
        let mut properties = self.properties()?;
        let mut subscriptions = 0;
        while !properties.0.is_empty() {
            match properties.byte()? {
                SUBSCRIPTION_IDENTIFIER => {
                    // What is no number of ours belongs to a subscription of an earlier run.
                    if let number @ 1..=64 = properties.variable()? {
                        subscriptions |= 1 << (number - 1);
                    }
                }
                other => properties.skip_property(other)?,
            }
        }
        Ok(subscriptions)
    }
}

#[cfg(test)]
mod tests;
