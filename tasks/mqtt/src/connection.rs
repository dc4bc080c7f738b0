//! A connection to a broker: keeps it alive, acknowledges what comes, and notices when the broker has gone.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use embassy_time::{Duration, Instant, with_deadline};
use embedded_io_async::{Read, Write};

use super::fault::Fault;
use super::input::{Found, Input};
use super::packet::{self, ConnAck, Packet, Publish, Unread, Version};
use super::reason::Reason;
use super::session::{self, Session};
use super::tls;
use super::watch::{Due, Watch};
use super::write::{self, Connect};

/// How many messages may be under way in one direction.
pub const UNDER_WAY: u16 = 8;

/// What a broker says.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A new message; it will have been acknowledged once the next event is asked for, unless that is held back.
    Message(Publish<'a>),
    /// A message that was taken before.
    Repeat,
    /// A message that does not fit the buffer; it is acknowledged, so that it does not come again.
    TooLarge {
        /// The beginning of its topic.
        topic: String,
        /// Its packet's length.
        length: usize,
    },
    /// A message that is not as MQTT has it; it is acknowledged, so that it does not come again.
    Malformed {
        /// The beginning of its topic.
        topic: String,
    },
    /// A message of ours was taken, or refused.
    Published {
        /// Its number.
        id: u16,
        /// Why the broker will not have it.
        refused: Option<Reason>,
    },
    /// A subscription was granted with this QoS, or refused.
    Subscribed {
        /// Its number.
        id: u16,
        /// How.
        granted: Result<u8, Reason>,
    },
    /// The broker is there.
    Alive,
}

/// A connection.
pub struct Connection<'b, IO> {
    io: IO,
    version: Version,
    session: &'b mut Session,
    input: Input<'b>,
    output: Vec<u8>,
    /// Acknowledgements that are held back; none where they are not.
    held: Option<Vec<u8>>,
    /// Whether what was written has still to be flushed.
    unflushed: bool,
    watch: Watch,
    answer: ConnAck,
    under_way: u16,
}

/// What has come.
enum Incoming {
    Packet(Range<usize>),
    TooLarge(Unread),
}

impl<'b, IO: Read + Write> Connection<'b, IO> {
    /// Greets the broker; `buffer` takes the largest packet that is looked at.
    pub async fn open(
        io: IO,
        buffer: &'b mut [u8],
        session: &'b mut Session,
        greeting: Connect<'_>,
    ) -> Result<Self, Fault> {
        let mut output = Vec::new();
        greeting.write(&mut output);
        let mut connection = Self {
            io,
            version: greeting.version,
            session,
            input: Input::new(buffer),
            output,
            held: None,
            unflushed: false,
            watch: Watch::new(Duration::from_secs(greeting.keepalive_s.into()), Instant::now()),
            answer: ConnAck {
                resumed: false,
                refused: None,
                receive_maximum: 0,
                acknowledges: false,
                packet_bytes: 0,
                keepalive_s: None,
                subscription_ids: false,
            },
            under_way: 0,
        };
        match connection.greet().await {
            Ok(answer) => connection.answer = answer,
            Err(fault) => return Err(connection.unanswered(fault)),
        }
        connection.session.connected(connection.answer.resumed);
        // 0 switches the broker's watch off, not ours.
        if let Some(keepalive_s) = connection.answer.keepalive_s.filter(|seconds| *seconds != 0) {
            connection.watch.set_keepalive(Duration::from_secs(keepalive_s.into()));
        }
        Ok(connection)
    }

    async fn greet(&mut self) -> Result<ConnAck, Fault> {
        match self.incoming().await? {
            Incoming::Packet(range) => match packet::decode(self.input.bytes(range), self.version)? {
                Packet::ConnAck(ConnAck { refused: Some(reason), .. }) => Err(Fault::Refused(reason)),
                Packet::ConnAck(answer) => Ok(answer),
                _ => Err(Fault::Protocol),
            },
            Incoming::TooLarge(_) => Err(Fault::Protocol),
        }
    }

    /// What a fault means before there was an answer.
    fn unanswered(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Closed if self.input.waiting().is_empty() => Fault::Unanswered,
            Fault::Closed | Fault::Protocol if tls::is_answer(self.input.first()) => Fault::Tls,
            fault => fault,
        }
    }

    /// Whether the broker has kept the session.
    pub fn is_resumed(&self) -> bool {
        self.answer.resumed
    }

    /// Holds acknowledgements back from now on, until [`acknowledge`](Self::acknowledge) lets them go.
    pub fn hold_back(&mut self) {
        self.held = Some(Vec::new());
    }

    /// How many acknowledgements are held back.
    pub fn held_back(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.len() / write::ACKNOWLEDGEMENT_BYTES)
    }

    /// Lets the acknowledgements go that were held back.
    pub fn acknowledge(&mut self) {
        if let Some(held) = &mut self.held {
            self.output.append(held);
        }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        self.session
    }

    /// Whether messages say which subscription they belong to.
    pub fn has_subscription_ids(&self) -> bool {
        self.version == Version::V5 && self.answer.subscription_ids
    }

    /// The largest packet that the broker takes.
    pub fn packet_bytes(&self) -> u32 {
        self.answer.packet_bytes
    }

    /// Whether messages can be published that it acknowledges.
    pub fn acknowledges(&self) -> bool {
        self.answer.acknowledges
    }

    /// Asks for messages on these topics, each under a number from 1 on; no more than 64.
    pub fn subscribe<'t>(&mut self, filters: impl Iterator<Item = &'t str>) {
        let with_id = self.has_subscription_ids();
        for (id, filter) in (1..=64).zip(filters) {
            write::subscribe(&mut self.output, self.version, with_id, id, filter);
        }
    }

    /// Whether one more message may be under way.
    pub fn may_publish(&self) -> bool {
        self.under_way < self.answer.receive_maximum.min(UNDER_WAY)
    }

    /// Whether an acknowledgement is waited for.
    pub fn is_waiting(&self) -> bool {
        self.under_way > 0
    }

    /// Publishes a message that the broker acknowledges; false when it is larger than the broker takes.
    pub fn publish(&mut self, topic: &str, id: u16, payload: &[u8]) -> bool {
        let before = self.output.len();
        write::publish(&mut self.output, self.version, topic, id, payload);
        let fits = self.output.len() - before <= self.answer.packet_bytes as usize;
        if fits {
            self.under_way += 1;
        } else {
            self.output.truncate(before);
        }
        fits
    }

    /// Publishes a short message that the broker keeps for those who subscribe later.
    pub fn publish_retained(&mut self, topic: &str, payload: &str) {
        write::publish_retained(&mut self.output, self.version, topic, payload.as_bytes());
    }

    /// Sends what is to be sent and waits for the next event.
    ///
    /// Dropping the future loses nothing, as long as that is so for the reads and writes below it.
    pub async fn next(&mut self) -> Result<Event<'_>, Fault> {
        loop {
            let range = match self.incoming().await? {
                Incoming::Packet(range) => range,
                Incoming::TooLarge(message) => {
                    let new = self.accept_unread(&message)?;
                    let event = Event::TooLarge { topic: message.topic, length: message.length };
                    return Ok(if new { event } else { Event::Repeat });
                }
            };
            let packet = match packet::decode(self.input.bytes(range.clone()), self.version) {
                Ok(packet) => packet,
                Err(malformed) => {
                    let message = self.input.unread(range).ok_or(malformed)?;
                    let new = self.accept_unread(&message)?;
                    return Ok(if new { Event::Malformed { topic: message.topic } } else { Event::Repeat });
                }
            };
            match packet {
                Packet::Publish(Publish { qos, id, again, topic, payload, .. }) => {
                    let hash = if qos == 1 { session::hash(topic.as_bytes(), payload) } else { 0 };
                    if !self.accept(qos, id, again, hash)? {
                        return Ok(Event::Repeat);
                    }
                    return match packet::decode(self.input.bytes(range), self.version)? {
                        Packet::Publish(message) => Ok(Event::Message(message)),
                        _ => Err(Fault::Protocol),
                    };
                }
                Packet::PubRel { id } => {
                    self.session.release(id);
                    // Until it is said, the number stands for that message, also for a run that goes on after a crash.
                    write::pub_comp(self.acknowledgements(), id);
                    if self.held.is_some() {
                        return Ok(Event::Alive);
                    }
                }
                Packet::PubAck { id, refused } => {
                    self.under_way = self.under_way.saturating_sub(1);
                    return Ok(Event::Published { id, refused });
                }
                Packet::SubAck { id, granted } => return Ok(Event::Subscribed { id, granted }),
                Packet::PingResp => {
                    self.watch.answered();
                    self.session.answered();
                    return Ok(Event::Alive);
                }
                Packet::UnsubAck => {}
                Packet::Disconnect(reason) => return Err(reason.map_or(Fault::Closed, Fault::Ended)),
                Packet::ConnAck(_) => return Err(Fault::Protocol),
            }
        }
    }

    /// Acknowledges a message of which no more is known than this; whether it is new.
    fn accept_unread(&mut self, message: &Unread) -> Result<bool, Fault> {
        let (qos, again) = (message.first >> 1 & 3, message.first & 8 != 0);
        self.accept(qos, message.id, again, message.length as u32)
    }

    /// Acknowledges a message; whether it is new.
    fn accept(&mut self, qos: u8, id: u16, again: bool, hash: u32) -> Result<bool, Fault> {
        match qos {
            0 => Ok(true),
            1 => {
                write::pub_ack(self.acknowledgements(), id);
                Ok(self.session.take(id, again, hash))
            }
            _ => {
                write::pub_rec(self.acknowledgements(), id);
                self.session.hold(id).map_err(|_| Fault::Protocol)
            }
        }
    }

    /// Where acknowledgements go.
    fn acknowledgements(&mut self) -> &mut Vec<u8> {
        self.held.as_mut().unwrap_or(&mut self.output)
    }

    /// Ends the connection, and the session as well if its filters are given: the broker need not keep anything.
    pub async fn close(mut self, ends: Option<&[String]>) {
        if let Some(filters) = ends.filter(|filters| self.version == Version::V311 && !filters.is_empty()) {
            write::unsubscribe(&mut self.output, filters.iter().map(String::as_str));
        }
        write::disconnect(&mut self.output, self.version, ends.is_some());
        // Whether the broker hears it or not, we are done.
        let _ = with_deadline(Instant::now() + Duration::from_secs(1), self.send()).await;
    }

    /// Sends what is to be sent, and waits for something whole to come.
    async fn incoming(&mut self) -> Result<Incoming, Fault> {
        loop {
            if self.watch.is_quiet() && self.session.should_ask() {
                self.ask();
            }
            let limit = match self.watch.due(Instant::now()) {
                Due::Silent => return Err(Fault::Silent),
                Due::Ask => {
                    self.ask();
                    continue;
                }
                Due::Nothing(until) => until,
            };
            if !self.output.is_empty() || self.unflushed {
                // What is due is judged anew afterwards: an acknowledgement is a sign of life as well.
                if let Ok(sent) = with_deadline(limit, self.send()).await {
                    sent?;
                }
                if !self.output.is_empty() || self.unflushed {
                    continue;
                }
            }
            match self.input.next()? {
                Found::Packet(range) => return Ok(Incoming::Packet(range)),
                Found::TooLarge(message) => return Ok(Incoming::TooLarge(message)),
                Found::Nothing => {}
            }
            let Due::Nothing(limit) = self.watch.due(Instant::now()) else { continue };
            if let Ok(read) = with_deadline(limit, self.read()).await {
                read?;
            }
        }
    }

    fn ask(&mut self) {
        write::ping(&mut self.output);
        // Until it has been sent, too, it is a question like any other.
        self.watch.sent(Instant::now());
        if self.watch.asked() {
            self.session.asked(self.held_back());
        }
    }

    async fn read(&mut self) -> Result<(), Fault> {
        let count = self.io.read(self.input.room()).await.map_err(|_| Fault::Closed)?;
        if count == 0 {
            return Err(Fault::Closed);
        }
        self.input.came(count);
        self.watch.heard(Instant::now());
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Fault> {
        while !self.output.is_empty() {
            let count = self.io.write(&self.output).await.map_err(|_| Fault::Closed)?;
            if count == 0 {
                return Err(Fault::Closed);
            }
            self.output.drain(..count);
            self.watch.sent(Instant::now());
            self.unflushed = true;
        }
        if self.unflushed {
            self.io.flush().await.map_err(|_| Fault::Closed)?;
            self.unflushed = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
