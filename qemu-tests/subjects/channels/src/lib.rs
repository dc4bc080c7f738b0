//! Channels: a subject for the scenarios. The guest serves channels to itself and is their client, through xenstore, with
//! pages that it has granted and that Xen maps a second time: so every build of Xen allows it.

#![no_std]

extern crate alloc;

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

#[cfg(target_os = "none")]
mod loopback;

#[cfg(target_os = "none")]
pub use loopback::run;

/// There is nothing to tell it.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub struct Parameters {}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// Channels that were made, one after the other.
    pub channels: u32,
    /// Bytes that arrived, and were those that were sent.
    pub bytes: u64,
    /// Pages that a client had still mapped after it was closed.
    pub kept: u32,
    /// Places that were not to be had and were refused, as they must be.
    pub refused: u32,
}
