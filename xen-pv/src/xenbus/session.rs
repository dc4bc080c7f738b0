//! What a frontend knows of each device that the store lists, and how far it is with it.

use alloc::string::String;
use alloc::vec::Vec;

use xen_sys::io::xenbus::XenbusState;

use super::driver::Key;
use super::values::{Backend, join};
use super::{Action, Ours};
use crate::decimal;
use crate::hypervisor::Hypervisor;
use crate::xenstore::Watch;

/// The directory of all kinds of devices.
pub(super) const DEVICES: &str = "device";

/// An exchange with the store about one device. They follow each other in this order, as far as there is something to
/// do; after a device was found, or an old connection has ended, comes another look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Read the device's settings and, of one that is known, what its backend shows.
    Look,
    /// Write what belongs to the new state.
    Keys,
    /// Show the new state: last, so that the backend finds all that belongs to it.
    State,
    /// Wait until the events of what was written before have come.
    Settle,
}

/// A device that the store lists.
pub(super) struct Session<H: Hypervisor, S> {
    pub(super) number: u32,
    /// Once the toolstack has written all that is needed.
    pub(super) known: Option<Known<H, S>>,
    pub(super) ours: Ours,
    /// What is being done, and is done once the store has taken it.
    pub(super) action: Action,
    /// What belongs to it, until it is written.
    pub(super) keys: Vec<Key>,
    /// Which exchange comes next, if any.
    pub(super) next: Option<Phase>,
    /// Something was offered and is not released yet.
    pub(super) holds: bool,
    /// What was found in this round cannot be used.
    pub(super) faulty: bool,
    /// It could be used now, but another one is.
    pub(super) waits: bool,
    /// It was said that it is not used.
    pub(super) said: bool,
}

/// What is known of a device.
pub(super) struct Known<H: Hypervisor, S> {
    pub(super) settings: S,
    pub(super) backend: Backend,
    /// Of the backend's state.
    pub(super) watch: Watch<H>,
    /// The store knows of the watch.
    pub(super) watched: bool,
}

impl<H: Hypervisor, S> Session<H, S> {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            known: None,
            ours: Ours::Initialising,
            action: Action::Wait,
            keys: Vec::new(),
            next: Some(Phase::Look),
            holds: false,
            faulty: false,
            waits: false,
            said: false,
        }
    }

    /// The device's directory.
    pub(super) fn directory(&self, kind: &str) -> String {
        join(&join(DEVICES, kind), &decimal::text(self.number))
    }

    /// Whether the store shows, as far as is known, that rings are there.
    pub(super) fn shows_connected(&self) -> bool {
        self.ours.shown() == XenbusState::Connected
    }
}

/// The devices of one round, and how often our own requests have changed something below the watched directory.
pub(super) struct Round<H: Hypervisor, S> {
    pub(super) sessions: Vec<Session<H, S>>,
    pub(super) own_changes: u32,
    /// Something failed in this round.
    pub(super) failed: bool,
}
