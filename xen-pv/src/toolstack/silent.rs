//! The toolstack of an image without xenstore: it says nothing and hears nothing.

use core::future::pending;

use alloc::string::String;
use embassy_executor::Spawner;
use kernel::{Restored, Stop, checkpoint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event_channel::Events;
use crate::shared_ring::SharedRing;
use crate::xen::Xen;

/// The other end of nothing.
pub(crate) struct Toolstack;

impl Toolstack {
    /// Leaves the ring alone.
    pub(crate) fn connect(_ring: SharedRing, _events: &Events<Xen>) -> Self {
        Self
    }

    /// Starts nothing.
    pub(crate) fn start(&self, _spawner: Spawner, _counters: impl Fn() -> String) {}

    /// None but those of the command line.
    pub(crate) fn parameters<P: DeserializeOwned>(&self) -> Result<Option<P>, String> {
        Ok(None)
    }

    /// Nobody keeps anything.
    pub(crate) async fn restored(&self) -> Restored {
        Restored::Unkept
    }

    /// Saves nothing.
    pub(crate) async fn checkpoint(&self, _state: &[u8]) -> Result<(), checkpoint::Error> {
        Ok(())
    }

    /// Leaves the report to the console.
    pub(crate) fn report<R: Serialize>(&self, _report: &R) {}

    /// Leaves the status to the console.
    pub(crate) fn status(&self, _outcome: &Result<(), String>) {}

    /// What distinguishes this boot: nothing that comes from here.
    pub(crate) fn seed(&self) -> u64 {
        0
    }

    /// No request.
    pub(crate) fn stop(&self) -> Option<Stop> {
        None
    }

    /// Waits for ever.
    pub(crate) async fn stop_requested(&self) -> Stop {
        pending().await
    }
}
