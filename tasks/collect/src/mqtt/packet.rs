//! The packets' bytes.
//!
//! Everything that comes from a broker is checked; what does not fit is [`Malformed`], never a panic.

use alloc::vec::Vec;

/// What a broker sent is not MQTT 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Reason codes from here on are refusals.
const FIRST_REFUSAL: u8 = 0x80;

// Properties, by their number in section 2.2.2.2.
const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
const SERVER_KEEP_ALIVE: u8 = 0x13;
const RECEIVE_MAXIMUM: u8 = 0x21;
const MAXIMUM_QOS: u8 = 0x24;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;

/// The answer to a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnAck {
    /// The broker has kept the session.
    pub resumed: bool,
    /// The broker does not let us in, or takes no QoS 1.
    pub refused: bool,
    /// How many messages may be under way to it.
    pub receive_maximum: u16,
    /// The largest packet that it takes.
    pub packet_bytes: u32,
    /// The keepalive that it wants instead of ours.
    pub keepalive_s: Option<u16>,
}

/// What a broker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// CONNACK.
    ConnAck(ConnAck),
    /// PUBLISH with QoS 0 (without a number) or 1.
    Publish {
        /// The topic.
        topic: &'a str,
        /// The number to acknowledge.
        id: Option<u16>,
        /// The message.
        payload: &'a [u8],
    },
    /// PUBACK.
    PubAck {
        /// The number of the message.
        id: u16,
        /// The broker will not have the message.
        refused: bool,
    },
    /// SUBACK.
    SubAck {
        /// The broker refuses a subscription.
        refused: bool,
    },
    /// PINGRESP.
    PingResp,
    /// DISCONNECT: the broker is about to close the connection.
    Disconnect,
}

/// How long the packet is that begins with these bytes; `None` when there are too few of them to tell.
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

/// Decodes one whole packet.
pub fn decode(packet: &[u8]) -> Result<Packet<'_>, Malformed> {
    let mut reader = Reader(packet);
    let first = reader.byte()?;
    if reader.variable()? != reader.0.len() {
        return Err(Malformed);
    }
    match (first >> 4, first & 0x0f) {
        (2, 0) => reader.conn_ack().map(Packet::ConnAck),
        (3, flags) => reader.publish(flags),
        (4, 0) => {
            let id = reader.word()?;
            // Without a reason it was taken.
            let refused = reader.0.first().is_some_and(|reason| *reason >= FIRST_REFUSAL);
            Ok(Packet::PubAck { id, refused })
        }
        (9, 0) => {
            reader.word()?;
            reader.skip_properties()?;
            Ok(Packet::SubAck { refused: reader.0.iter().any(|reason| *reason >= FIRST_REFUSAL) })
        }
        (13, 0) => Ok(Packet::PingResp),
        (14, 0) => Ok(Packet::Disconnect),
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

    fn skip_properties(&mut self) -> Result<(), Malformed> {
        let length = self.variable()?;
        self.take(length).map(drop)
    }

    fn conn_ack(&mut self) -> Result<ConnAck, Malformed> {
        let flags = self.byte()?;
        let refused = self.byte()? >= FIRST_REFUSAL;
        let mut ack = ConnAck {
            resumed: flags & 1 != 0,
            refused,
            receive_maximum: u16::MAX,
            packet_bytes: u32::MAX,
            keepalive_s: None,
        };
        let length = self.variable()?;
        let mut properties = Reader(self.take(length)?);
        while !properties.0.is_empty() {
            match properties.byte()? {
                RECEIVE_MAXIMUM => ack.receive_maximum = properties.word()?,
                MAXIMUM_PACKET_SIZE => ack.packet_bytes = properties.number(4)?,
                SERVER_KEEP_ALIVE => ack.keepalive_s = Some(properties.word()?),
                MAXIMUM_QOS => ack.refused |= properties.byte()? == 0,
                other => properties.skip_property(other)?,
            }
        }
        Ok(ack)
    }

    /// Skips the value of a property that a CONNACK may have.
    fn skip_property(&mut self, property: u8) -> Result<(), Malformed> {
        let length = match property {
            SESSION_EXPIRY_INTERVAL => 4,
            // Topic alias maximum.
            0x22 => 2,
            // What is available: retained messages, wildcards, subscription identifiers, shared subscriptions.
            0x25 | 0x28..=0x2a => 1,
            // Strings: assigned client, authentication method and data, response information, server reference, reason.
            0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => self.word()?.into(),
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

    fn publish(&mut self, flags: u8) -> Result<Packet<'a>, Malformed> {
        let topic = self.word()?;
        let topic = core::str::from_utf8(self.take(topic.into())?).map_err(|_| Malformed)?;
        let id = match flags >> 1 & 3 {
            0 => None,
            1 => Some(self.word()?),
            // We have not subscribed with QoS 2, and there is no 3.
            _ => return Err(Malformed),
        };
        self.skip_properties()?;
        Ok(Packet::Publish { topic, id, payload: self.0 })
    }
}

/// What a CONNECT says.
#[derive(Debug, Clone, Copy)]
pub struct Connect<'a> {
    /// The client identifier.
    pub client: &'a str,
    /// Forget what was before.
    pub clean_start: bool,
    /// How long to keep the session without a connection.
    pub session_s: u32,
    /// How long we may be silent.
    pub keepalive_s: u16,
    /// The largest packet that we take.
    pub packet_bytes: u32,
    /// How many messages may be under way to us.
    pub receive_maximum: u16,
}

impl Connect<'_> {
    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        packet(out, 0x10, |out| {
            string(out, "MQTT");
            out.extend([5, u8::from(self.clean_start) << 1]);
            out.extend(self.keepalive_s.to_be_bytes());
            let properties = [
                (SESSION_EXPIRY_INTERVAL, &self.session_s.to_be_bytes()[..]),
                (RECEIVE_MAXIMUM, &self.receive_maximum.to_be_bytes()),
                (MAXIMUM_PACKET_SIZE, &self.packet_bytes.to_be_bytes()),
            ];
            out.push(properties.iter().map(|(_, value)| value.len() as u8 + 1).sum());
            for (property, value) in properties {
                out.push(property);
                out.extend(value);
            }
            string(out, self.client);
        });
    }
}

/// Appends a SUBSCRIBE with QoS 1 to all of these topic filters, without retained messages.
pub fn subscribe<'t>(out: &mut Vec<u8>, filters: impl Iterator<Item = &'t str>) {
    /// QoS 1 at most; retained messages never.
    const OPTIONS: u8 = 1 | 2 << 4;
    packet(out, 0x82, |out| {
        // The only SUBSCRIBE of a connection is number 1; no properties.
        out.extend([0, 1, 0]);
        for filter in filters {
            string(out, filter);
            out.push(OPTIONS);
        }
    });
}

/// Appends a PUBLISH with QoS 1.
pub fn publish(out: &mut Vec<u8>, topic: &str, id: u16, payload: &[u8]) {
    packet(out, 0x32, |out| {
        string(out, topic);
        out.extend(id.to_be_bytes());
        out.push(0);
        out.extend(payload);
    });
}

/// Appends a PUBACK.
pub fn pub_ack(out: &mut Vec<u8>, id: u16) {
    out.extend([0x40, 2]);
    out.extend(id.to_be_bytes());
}

/// Appends a PINGREQ.
pub fn ping(out: &mut Vec<u8>) {
    out.extend([0xc0, 0]);
}

/// Appends a DISCONNECT that also ends the session.
pub fn disconnect(out: &mut Vec<u8>) {
    out.extend([0xe0, 7, 0, 5, SESSION_EXPIRY_INTERVAL, 0, 0, 0, 0]);
}

/// Appends a packet. Its length stands before its body, but is known only after it.
fn packet(out: &mut Vec<u8>, first: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(first);
    body(out);
    let mut length = out.len() - start - 1;
    let mut place = start + 1;
    loop {
        let more = length > 0x7f;
        out.insert(place, (length & 0x7f) as u8 | u8::from(more) << 7);
        if !more {
            break;
        }
        length >>= 7;
        place += 1;
    }
}

/// Appends a string of at most 65,535 bytes, which the parameters' check and a sensor's longest name make sure of.
fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests;
