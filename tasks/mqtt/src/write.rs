//! What we send, byte by byte, in MQTT 3.1.1 and 5.

use alloc::vec::Vec;

use super::packet::{RECEIVE_MAXIMUM, SESSION_EXPIRY_INTERVAL, SUBSCRIPTION_IDENTIFIER, Version};

/// What a CONNECT says.
#[derive(Debug, Clone, Copy)]
pub struct Connect<'a> {
    /// The version that we speak.
    pub version: Version,
    /// The client identifier.
    pub client: &'a str,
    /// User name and password.
    pub login: Option<(&'a str, Option<&'a str>)>,
    /// Topic and text of the message that the broker publishes and retains when we disappear.
    pub will: Option<(&'a str, &'a str)>,
    /// Forget what was before.
    pub clean_start: bool,
    /// How long to keep the session without a connection; MQTT 3.1.1 keeps it for ever, unless the start is clean.
    pub session_s: u32,
    /// How long we may be silent.
    pub keepalive_s: u16,
    /// How many messages may be under way to us, which MQTT 3.1.1 cannot say.
    pub receive_maximum: u16,
}

impl Connect<'_> {
    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        packet(out, 0x10, |out| {
            string(out, b"MQTT");
            let level = if self.version == Version::V5 { 5 } else { 4 };
            out.extend([level, self.flags()]);
            out.extend(self.keepalive_s.to_be_bytes());
            if self.version == Version::V5 {
                out.push(8);
                out.push(SESSION_EXPIRY_INTERVAL);
                out.extend(self.session_s.to_be_bytes());
                out.push(RECEIVE_MAXIMUM);
                out.extend(self.receive_maximum.to_be_bytes());
            }
            string(out, self.client.as_bytes());
            if let Some((topic, text)) = self.will {
                if self.version == Version::V5 {
                    out.push(0);
                }
                string(out, topic.as_bytes());
                string(out, text.as_bytes());
            }
            if let Some((user, password)) = self.login {
                string(out, user.as_bytes());
                if let Some(password) = password {
                    string(out, password.as_bytes());
                }
            }
        });
    }

    fn flags(&self) -> u8 {
        let clean = u8::from(self.clean_start) << 1;
        // QoS 1, retained.
        let will = if self.will.is_some() { 0x04 | 0x08 | 0x20 } else { 0 };
        let login = match self.login {
            None => 0,
            Some((_, None)) => 0x80,
            Some((_, Some(_))) => 0xc0,
        };
        clean | will | login
    }
}

/// Appends a SUBSCRIBE to one topic filter, under a number that is the packet's and, where the broker can say it, the
/// subscription's: it comes back with each message. Messages come with the QoS that they were published with, retained
/// ones not at all; MQTT 3.1.1 cannot say that.
pub fn subscribe(out: &mut Vec<u8>, version: Version, with_id: bool, id: u8, filter: &str) {
    /// At most this QoS.
    const QOS: u8 = 2;
    /// No retained messages.
    const RETAIN: u8 = 2 << 4;
    packet(out, 0x82, |out| {
        out.extend([0, id]);
        match version {
            Version::V311 => {}
            Version::V5 if with_id => out.extend([2, SUBSCRIPTION_IDENTIFIER, id]),
            Version::V5 => out.push(0),
        }
        string(out, filter.as_bytes());
        out.push(if version == Version::V5 { QOS | RETAIN } else { QOS });
    });
}

/// Appends an UNSUBSCRIBE from topic filters, in MQTT 3.1.1.
pub fn unsubscribe<'t>(out: &mut Vec<u8>, filters: impl Iterator<Item = &'t str>) {
    packet(out, 0xa2, |out| {
        out.extend([0, 1]);
        filters.for_each(|filter| string(out, filter.as_bytes()));
    });
}

/// Appends a PUBLISH with QoS 1.
pub fn publish(out: &mut Vec<u8>, version: Version, topic: &str, id: u16, payload: &[u8]) {
    message(out, version, 0x32, topic, Some(id), payload);
}

/// Appends a PUBLISH that the broker retains, with QoS 0.
pub fn publish_retained(out: &mut Vec<u8>, version: Version, topic: &str, payload: &[u8]) {
    message(out, version, 0x31, topic, None, payload);
}

fn message(out: &mut Vec<u8>, version: Version, first: u8, topic: &str, id: Option<u16>, payload: &[u8]) {
    packet(out, first, |out| {
        string(out, topic.as_bytes());
        out.extend(id.into_iter().flat_map(u16::to_be_bytes));
        if version == Version::V5 {
            out.push(0);
        }
        out.extend(payload);
    });
}

/// Appends a PUBACK.
pub fn pub_ack(out: &mut Vec<u8>, id: u16) {
    with_id(out, 0x40, id);
}

/// Appends a PUBREC.
pub fn pub_rec(out: &mut Vec<u8>, id: u16) {
    with_id(out, 0x50, id);
}

/// Appends a PUBCOMP.
pub fn pub_comp(out: &mut Vec<u8>, id: u16) {
    with_id(out, 0x70, id);
}

/// What each of the three has.
pub const ACKNOWLEDGEMENT_BYTES: usize = 4;

fn with_id(out: &mut Vec<u8>, first: u8, id: u16) {
    out.extend([first, 2]);
    out.extend(id.to_be_bytes());
}

/// Appends a PINGREQ.
pub fn ping(out: &mut Vec<u8>) {
    out.extend([0xc0, 0]);
}

/// Appends a DISCONNECT. With it MQTT 5 can also end the session.
pub fn disconnect(out: &mut Vec<u8>, version: Version, end_session: bool) {
    if version == Version::V5 && end_session {
        out.extend([0xe0, 7, 0, 5, SESSION_EXPIRY_INTERVAL, 0, 0, 0, 0]);
    } else {
        out.extend([0xe0, 0]);
    }
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
fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
}
