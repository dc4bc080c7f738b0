//! A connection to a broker: keeps it alive, acknowledges what comes, and notices when the broker has gone.

use alloc::vec::Vec;

use embassy_time::{Duration, Instant, with_deadline};
use embedded_io_async::{Read, Write};

use super::packet::{self, ConnAck, Connect, Malformed, Packet};
use crate::link::{Fault, UNDER_WAY};

/// What a broker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A message; it will have been acknowledged once the next event is asked for.
    Message {
        /// Its topic.
        topic: &'a str,
        /// Its text.
        payload: &'a [u8],
    },
    /// A message of ours was taken, or refused.
    Published {
        /// Its number.
        id: u16,
        /// The broker will not have it.
        refused: bool,
    },
    /// The subscriptions were accepted.
    Subscribed,
}

/// A connection.
pub(crate) struct Connection<'b, IO> {
    io: IO,
    /// What came and has not been looked at is at `received`; before that is the packet of the last event.
    input: &'b mut [u8],
    received: core::ops::Range<usize>,
    output: Vec<u8>,
    /// Whether what was written has still to be flushed.
    unflushed: bool,
    keepalive: Duration,
    /// When something was last sent, and when something was last heard.
    sent: Instant,
    heard: Instant,
    asked: bool,
    answer: ConnAck,
    under_way: u16,
}

impl<'b, IO: Read + Write> Connection<'b, IO> {
    /// Greets the broker; `input` takes the largest packet that may come.
    pub(crate) async fn open(io: IO, input: &'b mut [u8], greeting: Connect<'_>) -> Result<Self, Fault> {
        let now = Instant::now();
        let mut output = Vec::new();
        greeting.write(&mut output);
        let answer = ConnAck { resumed: false, refused: true, receive_maximum: 0, packet_bytes: 0, keepalive_s: None };
        let mut connection = Self {
            io,
            input,
            received: 0..0,
            output,
            unflushed: false,
            keepalive: Duration::from_secs(greeting.keepalive_s.into()),
            sent: now,
            heard: now,
            asked: false,
            answer,
            under_way: 0,
        };
        let packet = connection.next_packet().await?;
        match packet::decode(&connection.input[packet])? {
            Packet::ConnAck(answer) if answer.refused => return Err(Fault::Refused),
            Packet::ConnAck(answer) => connection.answer = answer,
            _ => return Err(Fault::Protocol),
        }
        // 0 switches the broker's watch off, not ours.
        if let Some(keepalive_s) = connection.answer.keepalive_s.filter(|seconds| *seconds != 0) {
            connection.keepalive = Duration::from_secs(keepalive_s.into());
        }
        Ok(connection)
    }

    /// Whether the broker has kept the session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.answer.resumed
    }

    /// Asks for messages on these topics.
    pub(crate) fn subscribe<'t>(&mut self, filters: impl Iterator<Item = &'t str>) {
        packet::subscribe(&mut self.output, filters);
    }

    /// Whether another message may go out now.
    pub(crate) fn may_publish(&self) -> bool {
        self.under_way < UNDER_WAY.min(self.answer.receive_maximum)
    }

    /// Sends a message with a number that none under way has; it goes out when the next event is asked for. Returns
    /// whether the broker takes messages of its size.
    pub(crate) fn publish(&mut self, topic: &str, id: u16, payload: &[u8]) -> bool {
        let before = self.output.len();
        packet::publish(&mut self.output, topic, id, payload);
        let fits = self.output.len() - before <= self.answer.packet_bytes as usize;
        if fits {
            self.under_way += 1;
        } else {
            self.output.truncate(before);
        }
        fits
    }

    /// Sends what is to be sent and waits for the next event.
    ///
    /// Dropping the future loses nothing, as long as that is so for the reads and writes below it.
    pub(crate) async fn next(&mut self) -> Result<Event<'_>, Fault> {
        loop {
            let packet = self.next_packet().await?;
            let (id, refused) = match packet::decode(&self.input[packet.clone()])? {
                Packet::Publish { id, .. } => {
                    if let Some(id) = id {
                        packet::pub_ack(&mut self.output, id);
                    }
                    break self.message(packet);
                }
                Packet::PubAck { id, refused } => (id, refused),
                Packet::SubAck { refused: true } => return Err(Fault::Refused),
                Packet::SubAck { refused: false } => return Ok(Event::Subscribed),
                Packet::PingResp => continue,
                Packet::Disconnect => return Err(Fault::Closed),
                Packet::ConnAck(_) => return Err(Fault::Protocol),
            };
            self.under_way = self.under_way.saturating_sub(1);
            return Ok(Event::Published { id, refused });
        }
    }

    /// Ends the connection and the session; the broker need not keep anything.
    pub(crate) async fn close(mut self) {
        packet::disconnect(&mut self.output);
        // Whether the broker hears it or not, we are done.
        let _ = with_deadline(Instant::now() + Duration::from_secs(1), self.send()).await;
    }

    fn message(&self, packet: core::ops::Range<usize>) -> Result<Event<'_>, Fault> {
        match packet::decode(&self.input[packet])? {
            Packet::Publish { topic, payload, .. } => Ok(Event::Message { topic, payload }),
            _ => Err(Fault::Protocol),
        }
    }

    /// Waits for a whole packet and says where in the input it is. It stays there until the next call.
    async fn next_packet(&mut self) -> Result<core::ops::Range<usize>, Fault> {
        loop {
            // A broker must give us up after one and a half keepalives of silence; so do we with it, and ask before.
            let limit = self.heard + self.keepalive * 3 / 2;
            let ask = self.sent + self.keepalive * 3 / 4;
            let deadline = if self.asked || !self.output.is_empty() { limit } else { limit.min(ask) };
            match with_deadline(deadline, self.step()).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(packet))) => return Ok(packet),
                Ok(Err(fault)) => return Err(fault),
                Err(_) if deadline == limit => return Err(Fault::Silent),
                Err(_) => {
                    packet::ping(&mut self.output);
                    self.asked = true;
                }
            }
        }
    }

    /// Sends what is to be sent; then takes a packet that has come, or reads once.
    async fn step(&mut self) -> Result<Option<core::ops::Range<usize>>, Fault> {
        self.send().await?;
        let waiting = &self.input[self.received.clone()];
        if let Some(length) = packet::length(waiting)? {
            if length <= waiting.len() {
                let packet = self.received.start..self.received.start + length;
                self.received.start = packet.end;
                return Ok(Some(packet));
            }
            if length > self.input.len() {
                return Err(Fault::Protocol);
            }
        }
        self.input.copy_within(self.received.clone(), 0);
        self.received = 0..self.received.len();
        let count = self.io.read(&mut self.input[self.received.end..]).await.map_err(|_| Fault::Closed)?;
        if count == 0 {
            return Err(Fault::Closed);
        }
        self.received.end += count;
        self.heard = Instant::now();
        self.asked = false;
        Ok(None)
    }

    async fn send(&mut self) -> Result<(), Fault> {
        while !self.output.is_empty() {
            let count = self.io.write(&self.output).await.map_err(|_| Fault::Closed)?;
            if count == 0 {
                return Err(Fault::Closed);
            }
            self.output.drain(..count);
            self.sent = Instant::now();
            self.unflushed = true;
        }
        if self.unflushed {
            self.io.flush().await.map_err(|_| Fault::Closed)?;
            self.unflushed = false;
        }
        Ok(())
    }
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Protocol
    }
}

#[cfg(test)]
mod tests;
