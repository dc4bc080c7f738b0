//! What the task reports at its end.

use alloc::vec::Vec;

use postcard_schema::Schema;
use readings::SensorReport;
use serde::{Deserialize, Serialize};

/// Totals of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// Numeric readings, late ones and those of sensors above the limit included, repeats not.
    pub readings: u64,
    /// Of these, the ones whose window was already closed: in no window and in no total.
    pub late: u64,
    /// Of these, the ones of sensors above the limit: in no window and in no total.
    pub over_limit: u64,
    /// Records with a string, a truth value, data or a sum alone.
    pub not_numeric: u64,
    /// Records that could not be used, and packs of which the rest could not be read, each once.
    pub malformed: u64,
    /// Repeated readings, and repeated messages, each once.
    pub duplicates: u64,
    /// Windows closed: summaries that were to be published.
    pub windows: u64,
    /// Summaries that the cloud has acknowledged.
    pub published: u64,
    /// Summaries that were lost: pushed out of a full queue, refused by the cloud, or undelivered at the end.
    pub dropped: u64,
    /// Connections to the source broker after the first.
    pub source_reconnects: u32,
    /// Connections to the cloud broker after the first.
    pub cloud_reconnects: u32,
    /// The sensors, in the order in which they were first seen.
    pub sensors: Vec<SensorReport>,
}
