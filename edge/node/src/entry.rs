//! What the journal knows of a command.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use artifact::Config;
use protocol::{Command, CommandId, Digest, Document, State, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A command's name on this board.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Key {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its name among theirs.
    pub id: CommandId,
}

impl Key {
    /// Whether it is this command's name.
    #[must_use]
    pub fn names(&self, command: &Command) -> bool {
        self.tenant == command.tenant && self.id == command.id
    }
}

impl Display for Key {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.tenant, self.id)
    }
}

/// Text that is no command's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{}\" is not a tenant's name, / and a command's id", .0.escape_debug())]
pub struct NoKey(String);

impl TryFrom<String> for Key {
    type Error = NoKey;

    fn try_from(text: String) -> Result<Self, NoKey> {
        let key = text.split_once('/').and_then(|(tenant, id)| Some((tenant.parse().ok()?, id.parse().ok()?)));
        key.map(|(tenant, id)| Self { tenant, id }).ok_or(NoKey(text))
    }
}

/// A task as it was found, fetched and verified for a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    /// What the task takes, gives and needs.
    pub config: Config,
    /// The image for this board's CPU.
    pub image: Digest,
    /// The guest's memory, from the command or computed from its contract.
    pub memory_mib: u32,
}

/// A command and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Counts the commands of this board: the order in which they came.
    pub number: u64,
    /// The command.
    pub command: Command,
    /// The signed bytes' digest.
    pub command_digest: Digest,
    /// Its task, from the moment on in which its image is here.
    pub prepared: Option<Prepared>,
    /// How far it is.
    pub state: State,
    /// Which guest this is: counts the guests that were made for it, the first is 1.
    pub attempt: u32,
    /// How many of them crashed.
    pub crashes: u32,
    /// How many of them could not be made.
    pub failed_starts: u32,
    /// The board's boot during which the guest was started.
    pub boot: String,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When the guest was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// It is not started again before this.
    pub not_before: Option<Timestamp>,
    /// What the task wrote, as base64, once it has finished.
    pub result: Option<String>,
    /// The last lines of its last guest's console, once that has ended.
    pub console: Vec<String>,
    /// Someone has removed what it left.
    pub removed: bool,
}

impl Document for Entry {
    const NAME: &'static str = "journal's entry";
    const MOST_BYTES: usize = 8 * 1024 * 1024;
}

impl Entry {
    /// Its name.
    #[must_use]
    pub fn key(&self) -> Key {
        Key { tenant: self.command.tenant.clone(), id: self.command.id.clone() }
    }

    /// The guest's memory; 0 before its task was fetched.
    #[must_use]
    pub fn memory_mib(&self) -> u32 {
        self.prepared.as_ref().map_or(0, |prepared| prepared.memory_mib)
    }

    /// Whether this is its name.
    #[must_use]
    pub fn is(&self, key: &Key) -> bool {
        key.names(&self.command)
    }

    /// The guest of this attempt.
    #[must_use]
    pub fn guest(&self) -> GuestId {
        GuestId::of(&self.key(), self.command_digest, self.attempt)
    }

    /// The same, in another state.
    ///
    /// # Panics
    /// The table of states has no such step: the caller's rules are wrong.
    #[must_use]
    pub fn into_state(mut self, state: State) -> Self {
        self.state = match self.state.become_next(state) {
            Ok(state) => state,
            Err(error) => panic!("{}: {error}", self.key()),
        };
        self
    }

    /// The same, at its end.
    ///
    /// # Panics
    /// As [`Entry::into_state`].
    #[must_use]
    pub fn into_end(self, state: State, now: Timestamp) -> Self {
        let mut entry = self.into_state(state);
        entry.ended = Some(now);
        entry
    }

    /// The same, waiting for another try after a pause.
    ///
    /// # Panics
    /// As [`Entry::into_state`].
    #[must_use]
    pub fn into_waiting(self, now: Timestamp, pause: Duration) -> Self {
        let mut entry = self.into_state(State::Queued);
        entry.not_before = Some(now.after(pause));
        entry
    }
}

/// The first bytes of every guest's id.
const MARK: [u8; 4] = *b"spor";

/// A guest's uuid: derived from command and attempt, so that the same attempt is never made twice, and marked as a
/// node's, so that guests of others are never touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestId([u8; 16]);

impl GuestId {
    /// That of an attempt.
    #[must_use]
    pub fn of(key: &Key, command: Digest, attempt: u32) -> Self {
        let hash = Sha256::digest(format!("{key} {command} {attempt}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        bytes[..4].copy_from_slice(&MARK);
        // RFC 9562: version 8, "custom", variant 10.
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// That of a domain's uuid; none when it is no node's.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes[..4] == MARK).then_some(Self(bytes))
    }

    /// The uuid.
    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Display for GuestId {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if [4, 6, 8, 10].contains(&position) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for GuestId {
    type Err = ();

    /// Reads a uuid; one that is no node's is none.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits: Vec<u32> =
            text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16).ok_or(())).collect::<Result<_, _>>()?;
        let mut bytes = [0; 16];
        if digits.len() != 32 {
            return Err(());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(pair[0] << 4 | pair[1]).map_err(|_| ())?;
        }
        Self::from_bytes(bytes).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use protocol::Digest;

    use super::{GuestId, Key};

    #[test]
    fn a_guests_id_tells_commands_and_attempts_apart_and_survives_text() {
        let key = |tenant: &str| Key { tenant: tenant.parse().unwrap(), id: "one".parse().unwrap() };
        let id = GuestId::of(&key("acme"), Digest::of(b""), 1);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with("73706f72-"), "{id}");
        assert_eq!(id, GuestId::of(&key("acme"), Digest::of(b""), 1));
        for other in [
            GuestId::of(&key("other"), Digest::of(b""), 1),
            GuestId::of(&key("acme"), Digest::of(b"x"), 1),
            GuestId::of(&key("acme"), Digest::of(b""), 2),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn guests_of_others_are_none_of_a_nodes() {
        assert!("6f1e1d4c-8a3b-4c5d-9e0f-112233445566".parse::<GuestId>().is_err());
        assert!("".parse::<GuestId>().is_err());
    }
}
