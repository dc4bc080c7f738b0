//! What the broker counts, and reports at its end.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Totals of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// Messages that were read.
    pub messages: u64,
    /// Messages that the source delivered again, or a second time for another subscription.
    pub repeated: u64,
    /// Messages that the source had kept from before the subscription: not read.
    pub retained: u64,
    /// Messages on topics that nobody has asked for.
    pub unasked: u64,
    /// Messages that were too large to be looked at.
    pub too_large: u64,
    /// Records that could not be used, and messages of which the rest could not be read, each once.
    pub malformed: u64,
    /// Values that are texts, truth values or data.
    pub not_numeric: u64,
    /// Connections to the source after the first.
    pub source_reconnects: u32,
    /// Sensors that have sent something.
    pub sensors: u32,
    /// Readings of sensors for which there is no room.
    pub no_sensor: u64,
    /// Readings that were taken.
    pub readings: u64,
    /// Readings that are the one before again.
    pub duplicates: u64,
    /// Readings that are not after the one before.
    pub late: u64,
    /// Readings that are older than what is kept.
    pub old: u64,
    /// Readings too far in the future.
    pub ahead: u64,
    /// Readings that are no number, or out of their sensor's range.
    pub out_of_range: u64,
    /// Readings that were more in a second than their sensor may have.
    pub too_often: u64,
    /// Readings that were taken and went for others' sake.
    pub displaced: u64,
    /// Readings that were taken and went because of their age.
    pub expired: u64,
    /// Readings that are kept.
    pub kept: u64,
    /// Bytes of the memory for readings that are in use.
    pub store_bytes: u64,
    /// The tasks that are fed, and before them those that were and went last.
    pub tasks: Vec<TaskReport>,
    /// Those that went earlier, together.
    pub forgotten: Forgotten,
}

/// Tasks of which nothing else is known any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Forgotten {
    /// How many.
    pub tasks: u64,
    /// Readings that they got.
    pub readings: u64,
    /// Readings that they did not get, lost or too many.
    pub left_out: u64,
}

/// What a task got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct TaskReport {
    /// Its number.
    pub task: u16,
    /// Sensors that were described to it.
    pub sensors: u32,
    /// Sensors for which its feed had no room.
    pub sensors_left_out: u32,
    /// Readings that it got.
    pub readings: u64,
    /// Of these, the ones that came from the database of what was before.
    pub fetched: u64,
    /// Readings that had left the store before it took them.
    pub lost: u64,
    /// Readings that were more in a second than it may have.
    pub too_many: u64,
    /// How its feed has ended: `complete` when the task had all, otherwise in words; empty while it goes on.
    pub ended: String,
}

impl Report {
    /// Appends the totals as `name=count ...`.
    pub(crate) fn write(&self, out: &mut String) {
        let counts = [
            ("messages", self.messages),
            ("repeated", self.repeated),
            ("retained", self.retained),
            ("unasked", self.unasked),
            ("too_large", self.too_large),
            ("malformed", self.malformed),
            ("not_numeric", self.not_numeric),
            ("source_reconnects", self.source_reconnects.into()),
            ("sensors", self.sensors.into()),
            ("no_sensor", self.no_sensor),
            ("readings", self.readings),
            ("duplicates", self.duplicates),
            ("late", self.late),
            ("old", self.old),
            ("ahead", self.ahead),
            ("out_of_range", self.out_of_range),
            ("too_often", self.too_often),
            ("displaced", self.displaced),
            ("expired", self.expired),
            ("kept", self.kept),
            ("store_bytes", self.store_bytes),
            ("tasks_fed", self.tasks.iter().filter(|task| task.sensors > 0 && task.ended.is_empty()).count() as u64),
            (
                "tasks_gone",
                self.forgotten.tasks + self.tasks.iter().filter(|task| !task.ended.is_empty()).count() as u64,
            ),
            ("readings_given", self.forgotten.readings + self.tasks.iter().map(|task| task.readings).sum::<u64>()),
            (
                "readings_left_out",
                self.forgotten.left_out + self.tasks.iter().map(|task| task.lost + task.too_many).sum::<u64>(),
            ),
        ];
        for (place, (name, count)) in counts.iter().enumerate() {
            // A string takes what it is given.
            let _ = write!(out, "{}{name}={count}", if place == 0 { "" } else { " " });
        }
    }
}
