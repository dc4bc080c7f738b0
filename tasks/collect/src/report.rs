//! What the task counts, and reports at its end.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use postcard_schema::Schema;
use readings::SensorReport;
use serde::{Deserialize, Serialize};

/// Totals of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// Numeric readings, those of the next three counts included, repeats not.
    pub readings: u64,
    /// Of these, the ones whose window was already closed: in no window and in no total.
    pub late: u64,
    /// Of these, the ones too far in the future: in no window and in no total.
    pub ahead: u64,
    /// Of these, the ones of series above the limit: in no window and in no total.
    pub over_limit: u64,
    /// Values that are texts, truth values or data.
    pub not_numeric: u64,
    /// Records that could not be used, and messages of which the rest could not be read, each once.
    pub malformed: u64,
    /// Messages that were too large to be looked at.
    pub too_large: u64,
    /// Messages that the broker delivered again.
    pub duplicates: u64,
    /// Messages that came a second time because they fit two subscriptions.
    pub copies: u64,
    /// Messages that the broker had kept from before the subscription.
    pub retained: u64,
    /// Messages on the topics of summaries, which wildcards do not reach.
    pub own: u64,
    /// Messages on topics that nobody has asked for.
    pub unasked: u64,
    /// Windows closed: summaries that were to be published.
    pub windows: u64,
    /// Summaries that the cloud has acknowledged.
    pub published: u64,
    /// Answers of the cloud that refuse a summary, those included that were sent again later.
    pub refused: u64,
    /// Summaries that were lost: pushed out of a full queue, given up after a refusal, or undelivered at the end.
    pub dropped: u64,
    /// Connections to the source broker after the first.
    pub source_reconnects: u32,
    /// Connections to the cloud broker after the first.
    pub cloud_reconnects: u32,
    /// The series, in the order in which they were first seen.
    pub sensors: Vec<SensorReport>,
}

impl Report {
    /// The counts that stand for something that was left out or lost, with their names.
    pub(crate) fn losses(&self) -> [(&'static str, u64); 13] {
        [
            ("late", self.late),
            ("ahead", self.ahead),
            ("over_limit", self.over_limit),
            ("not_numeric", self.not_numeric),
            ("malformed", self.malformed),
            ("too_large", self.too_large),
            ("duplicates", self.duplicates),
            ("copies", self.copies),
            ("retained", self.retained),
            ("own", self.own),
            ("unasked", self.unasked),
            ("refused", self.refused),
            ("dropped", self.dropped),
        ]
    }

    /// Appends the counts as `name=count ...`; of the losses only those that there are.
    pub(crate) fn write(&self, series: usize, waiting: usize, out: &mut String) {
        let always = [
            ("readings", self.readings),
            ("series", series as u64),
            ("windows", self.windows),
            ("published", self.published),
            ("waiting", waiting as u64),
        ];
        let losses = self.losses().into_iter().filter(|(_, count)| *count != 0);
        for (number, (name, count)) in always.into_iter().chain(losses).enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(out, "{}{name}={count}", if number == 0 { "" } else { " " });
        }
    }
}
