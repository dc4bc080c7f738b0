//! Channels: a subject for the scenarios. Alone, the guest serves channels to itself and is their client, through xenstore,
//! with pages that it has granted and that Xen maps a second time: so every build of Xen allows it. With somebody else it
//! is one end.

#![no_std]

extern crate alloc;

use alloc::vec::Vec;

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

#[cfg(target_os = "none")]
mod loopback;
#[cfg(target_os = "none")]
mod pattern;
#[cfg(target_os = "none")]
mod peers;

/// Which ends the guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Role {
    /// Both, of channels of every size.
    Both,
    /// The server. The node `data/channel` says to which domain; the channel of order 12 is shown at
    /// `data/vchan/<domain>/12`, and so on.
    Server,
    /// The client. The node `data/channel` says below which path the channels are.
    Client,
}

/// What it is told.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// Which ends it is.
    pub role: Role,
    /// How many bytes go each way through each channel of a server or client.
    pub bytes: Option<u64>,
    /// The orders of the rings from the server to the client.
    pub orders: Option<Vec<u16>>,
}

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

/// Moves bytes through channels.
///
/// # Errors
/// What went wrong, in words.
#[cfg(target_os = "none")]
pub async fn run(
    parameters: Parameters,
    platform: &'static xen_pv::platform::Platform,
) -> Result<Report, alloc::string::String> {
    match parameters.role {
        Role::Both => loopback::run(platform).await,
        role => {
            let orders = parameters.orders.unwrap_or_default();
            peers::run(role, parameters.bytes.unwrap_or(0), &orders, platform).await
        }
    }
}
