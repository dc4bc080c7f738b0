//! The drivers of an image, and the one place that knows which it has.
//!
//! A driver whose feature the task does not name is not in the image; then nothing here is left of it.

use alloc::string::String;
#[cfg(any(feature = "netfront", feature = "vchan"))]
use core::cell::OnceCell;

use embassy_executor::Spawner;
use kernel::parameters::Parameters;

use super::Platform;
use crate::event_channel::Events;
use crate::xen::Xen;

#[cfg(feature = "vchan")]
mod channels;
#[cfg(feature = "vchan")]
mod feed;
#[cfg(feature = "vchan")]
mod feeding;
#[cfg(any(feature = "netfront", feature = "vchan"))]
mod grants;
#[cfg(feature = "netfront")]
mod network;

#[cfg(feature = "vchan")]
pub use channels::Channels;

/// What the drivers are driven by.
pub(super) struct Devices {
    #[cfg(any(feature = "netfront", feature = "vchan"))]
    events: Events<Xen>,
    #[cfg(feature = "vchan")]
    channels: OnceCell<Channels>,
    #[cfg(feature = "netfront")]
    network: OnceCell<network::Interface>,
}

impl Devices {
    /// No driver runs yet.
    pub(super) fn new(events: Events<Xen>) -> Self {
        #[cfg(not(any(feature = "netfront", feature = "vchan")))]
        let _ = events;
        Self {
            #[cfg(any(feature = "netfront", feature = "vchan"))]
            events,
            #[cfg(feature = "vchan")]
            channels: OnceCell::new(),
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
    #[cfg(any(feature = "netfront", feature = "vchan"))]
    let grants = grants::table()?;
    #[cfg(feature = "vchan")]
    {
        let (events, store) = (platform.devices.events, platform.toolstack.store);
        // This runs once, so the cell is empty.
        let _ = platform.devices.channels.set(Channels::new(events, grants.clone(), store));
    }
    #[cfg(feature = "netfront")]
    {
        let network = network::start(platform, &grants, spawner, line)?;
        // This runs once, so the cell is empty.
        let _ = platform.devices.network.set(network);
    }
    Ok(())
}

#[cfg(feature = "vchan")]
impl Platform {
    /// Channels to other domains.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        match self.devices.channels.get() {
            Some(channels) => channels,
            // `Platform::prepare` makes them before the task.
            None => panic!("channels are there before the task"),
        }
    }
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
