//! Which command goes first.

use std::cmp::Reverse;

use protocol::Timestamp;

use crate::Entry;

/// Sorts waiting commands: the higher priority first; of the same, the earlier deadline, and one with a deadline
/// before one without; then the one that came first.
pub fn sort(waiting: &mut [&Entry]) {
    let no_deadline = Timestamp::from_milliseconds(u64::MAX);
    waiting.sort_by_key(|entry| {
        (Reverse(entry.command.priority), entry.command.deadline.unwrap_or(no_deadline), entry.number)
    });
}

/// Whether a command came too late: its result is worth nothing any more.
#[must_use]
pub fn is_expired(entry: &Entry, now: Timestamp) -> bool {
    entry.command.deadline.is_some_and(|deadline| deadline <= now)
}
