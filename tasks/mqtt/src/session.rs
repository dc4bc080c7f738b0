//! What of a session outlives its connections: which messages have been taken, and need not be taken again.
//!
//! With QoS 1 a broker sends a message again when it has not seen the acknowledgement before the connection ended. By
//! the protocol, that message has DUP set, the number it had before, and the same bytes; it comes in a session that the
//! broker has kept. The opposite does not hold: brokers also set DUP on messages that never left them. So a message is
//! a repeat if, and only if, it has DUP set and is the very message whose acknowledgement may not have arrived.
//! Readings that merely look alike are never taken for one.
//!
//! An acknowledgement has arrived when the answer to a question that was sent behind it comes, because a broker handles
//! packets in their order; a few questions more than keeping the connection alive needs keep the list of open ones
//! short.
//!
//! Where the state is kept for a run that goes on after a crash, acknowledgements are held back until it has been saved
//! with the messages that they stand for. So after a crash the broker sends again what is not in it, and what is in it
//! is found here. What cannot be told apart: a message of the very same bytes for which a broker takes the number of one
//! whose acknowledgement has just arrived, and a crash before the next state is saved; they count as one.
//!
//! With QoS 2 the protocol tells: between a message and its release, its number stands for it (section 4.3.3).
//!
//! Source: OASIS MQTT Version 5.0, sections 3.3.1.1, 4.3, 4.4 and 4.6.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// With so many acknowledgements whose arrival is not known, the broker is asked.
const ASK_AT: usize = 32;

/// The most that are remembered: a broker that sends so much before it answers has stopped counting.
const REMEMBERED: usize = 256;

/// A message that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    id: u16,
    hash: u32,
}

/// The session, as far as it is ours.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Session {
    /// Messages with QoS 1 whose acknowledgement may not have arrived, in the order of the acknowledgements.
    unconfirmed: Vec<Taken>,
    /// How many of these, from the first on, were acknowledged before the question that is under way.
    asked: usize,
    /// Messages with QoS 2 that were taken and not yet released.
    held: Vec<u16>,
}

/// More messages than a client has to remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Session {
    /// Notes a new connection, and whether the broker has kept the session.
    pub fn connected(&mut self, resumed: bool) {
        self.asked = 0;
        if !resumed {
            self.unconfirmed.clear();
            self.held.clear();
        }
    }

    /// Takes a message with QoS 1 that is about to be acknowledged; whether it is new. `again` is its DUP flag.
    pub fn take(&mut self, id: u16, again: bool, hash: u32) -> bool {
        let taken = Taken { id, hash };
        let known = self.unconfirmed.iter().position(|other| other.id == id);
        let repeated = again && known.is_some_and(|place| self.unconfirmed[place] == taken);
        // Its number stands for one message: with another one the broker has seen the acknowledgement of the first.
        if let Some(place) = known {
            self.forget(place);
        }
        if self.unconfirmed.len() == REMEMBERED {
            self.forget(0);
        }
        self.unconfirmed.push(taken);
        !repeated
    }

    /// Takes a message with QoS 2 that is about to be confirmed; whether it is new.
    ///
    /// # Errors
    /// The broker has more under way than it was asked for, by far.
    pub fn hold(&mut self, id: u16) -> Result<bool, TooMany> {
        if self.held.contains(&id) {
            return Ok(false);
        }
        if self.held.len() == REMEMBERED {
            return Err(TooMany);
        }
        self.held.push(id);
        Ok(true)
    }

    /// Notes that the broker releases a message with QoS 2: its number may stand for another one from now on.
    pub fn release(&mut self, id: u16) {
        self.held.retain(|held| *held != id);
    }

    /// Whether the broker should be asked, so that not too much is remembered.
    pub fn should_ask(&self) -> bool {
        self.unconfirmed.len() >= ASK_AT
    }

    /// Notes a question behind all acknowledgements up to now but those that are held back, the last ones: no more than so
    /// many.
    pub fn asked(&mut self, held_back: usize) {
        self.asked = self.unconfirmed.len().saturating_sub(held_back);
    }

    /// Notes the answer to that question: these acknowledgements have arrived.
    pub fn answered(&mut self) {
        self.unconfirmed.drain(..self.asked);
        self.asked = 0;
    }

    fn forget(&mut self, place: usize) {
        self.unconfirmed.remove(place);
        self.asked -= usize::from(place < self.asked);
    }
}

/// FNV-1a over topic and payload with a byte between them that a topic cannot have. It need not resist an attacker, who
/// could as well send wrong readings.
pub fn hash(topic: &[u8], payload: &[u8]) -> u32 {
    let bytes = topic.iter().chain(&[0xff]).chain(payload);
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests;
