//! The drivers of an image, and the one place that knows which it has.
//!
//! A driver whose feature the task does not name is not in the image; then nothing here is left of it.

use alloc::string::String;
#[cfg(feature = "netfront")]
use core::cell::OnceCell;

use embassy_executor::Spawner;
use kernel::parameters::Parameters;

use super::Platform;
use crate::event_channel::Events;
use crate::xen::Xen;

#[cfg(feature = "netfront")]
mod network;

/// What the drivers are driven by.
pub(super) struct Devices {
    #[cfg(feature = "netfront")]
    events: Events<Xen>,
    #[cfg(feature = "netfront")]
    network: OnceCell<network::Interface>,
}

impl Devices {
    /// No driver runs yet.
    pub(super) fn new(events: Events<Xen>) -> Self {
        #[cfg(not(feature = "netfront"))]
        let _ = events;
        Self {
            #[cfg(feature = "netfront")]
            events,
            #[cfg(feature = "netfront")]
            network: OnceCell::new(),
        }
    }

    /// Waits until what the task has left to the drivers is done, or too long.
    pub(super) async fn settle(&self) {
        #[cfg(feature = "netfront")]
        if let Some(network) = self.network.get() {
            network.settle().await;
        }
    }

    /// Adds what the drivers have counted, as `name=count ...`.
    pub(super) fn count(&self, text: &mut String) {
        #[cfg(not(feature = "netfront"))]
        let _ = text;
        #[cfg(feature = "netfront")]
        if let Some(network) = self.network.get() {
            network.count(text);
        }
    }
}

/// Starts the drivers, with their keys of the command line.
pub(super) fn start(platform: &Platform, spawner: Spawner, line: &mut Parameters<'_>) -> Result<(), String> {
    #[cfg(not(feature = "netfront"))]
    let _ = (platform, spawner, line);
    #[cfg(feature = "netfront")]
    {
        let network = network::start(platform, spawner, line)?;
        // This runs once, so the cell is empty.
        let _ = platform.devices.network.set(network);
    }
    Ok(())
}

#[cfg(feature = "netfront")]
impl kernel::Networked for Platform {
    type Network = kernel::net::Stack;

    fn network(&self) -> &Self::Network {
        match self.devices.network.get() {
            Some(network) => network.stack(),
            // `Platform::prepare` starts the network before the task.
            None => panic!("the network is up before the task"),
        }
    }
}
