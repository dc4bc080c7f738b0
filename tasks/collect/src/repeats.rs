//! Tells messages that a broker delivers a second time.
//!
//! With QoS 1 a broker sends a message again after a reconnect when its acknowledgement did not arrive. These repeats
//! are the first messages of the resumed session, in their old order; the first message that is none of them ends
//! them. MQTT's own mark is no help: brokers also set it on messages that never left them. So, until something new has
//! come:
//!
//! - a message that equals one of the last few received, in their order, is a repeat. That finds readings that do not
//!   say when they were taken;
//! - a reading that says it, and is not newer than what is counted of its sensor, is a repeat ([`crate::window`]).
//!   That holds however many acknowledgements were lost: mosquitto 2.0.11 sends more than it was told to, so no number
//!   is safe.
//!
//! At any other time a sensor that sends the same text twice is believed.

/// How many messages are remembered: more than the 8 that we ask for and the 20 that mosquitto sends by itself.
const REMEMBERED: usize = 32;

/// The last messages, and whether the next ones may be repeats of them.
#[derive(Debug)]
pub struct Repeats {
    /// Hashes of the last messages, a ring; the oldest is at `oldest`.
    recent: [u64; REMEMBERED],
    oldest: usize,
    /// How many of the remembered messages, from the oldest on, cannot come again: a later one has.
    passed: usize,
    /// How many, from the newest on, have come since the session was resumed: they do not come again either.
    fresh: usize,
    expected: bool,
}

impl Repeats {
    /// No messages yet.
    pub fn new() -> Self {
        Self { recent: [0; REMEMBERED], oldest: 0, passed: 0, fresh: 0, expected: false }
    }

    /// Notes that the session was resumed on a new connection.
    pub fn resumed(&mut self) {
        self.expected = true;
        self.passed = 0;
        self.fresh = 0;
    }

    /// Notes that something new has come.
    pub fn ended(&mut self) {
        self.expected = false;
    }

    /// Whether the next messages may be repeats.
    pub fn are_expected(&self) -> bool {
        self.expected
    }

    /// Whether this message is one of the last few again; remembers it if not.
    pub fn is_repeat(&mut self, topic: &str, payload: &[u8]) -> bool {
        let hash = hash(topic, payload);
        if self.expected {
            let again = |age: &usize| self.recent[(self.oldest + age) % REMEMBERED] == hash;
            if let Some(age) = (self.passed..REMEMBERED.saturating_sub(self.fresh)).find(again) {
                self.passed = age + 1;
                return true;
            }
        }
        self.recent[self.oldest] = hash;
        self.oldest = (self.oldest + 1) % REMEMBERED;
        self.passed = self.passed.saturating_sub(1);
        self.fresh = self.fresh.saturating_add(1);
        false
    }
}

/// FNV-1a over topic and payload with a byte between them that a topic cannot have. It need not resist an attacker, who
/// could as well send wrong readings.
fn hash(topic: &str, payload: &[u8]) -> u64 {
    let bytes = topic.bytes().chain([0xff]).chain(payload.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
