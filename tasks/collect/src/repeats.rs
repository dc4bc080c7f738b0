//! Tells messages that a broker delivers a second time.
//!
//! With QoS 1 a broker sends a message again after a reconnect when its acknowledgement did not arrive. These repeats are
//! the first messages of the resumed session, in their old order, and they are among the last few that were received:
//! no more than the client lets be unacknowledged at once. So hashes of these few are enough, however many readings a
//! message has, and a sensor that happens to send the same text twice is believed at any other time.

/// How many messages minimq lets a broker send without an acknowledgement (the receive maximum in its CONNECT).
const UNACKNOWLEDGED: usize = 8;

/// The last messages, and how many of the next ones may be repeats of them.
#[derive(Debug, Default)]
pub struct Repeats {
    recent: [u64; UNACKNOWLEDGED],
    next: usize,
    suspects: usize,
}

impl Repeats {
    /// Notes that the session was resumed on a new connection.
    pub fn resumed(&mut self) {
        self.suspects = UNACKNOWLEDGED;
    }

    /// Whether this message is a repeat; notes it if not.
    pub fn is_repeat(&mut self, topic: &str, payload: &[u8]) -> bool {
        let hash = hash(topic, payload);
        if self.suspects > 0 {
            if self.recent.contains(&hash) {
                self.suspects -= 1;
                return true;
            }
            // Repeats come first: after a new message there are none.
            self.suspects = 0;
        }
        self.recent[self.next] = hash;
        self.next = (self.next + 1) % UNACKNOWLEDGED;
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
