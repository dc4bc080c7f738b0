//! What a kind of device adds to a frontend.

use alloc::vec::Vec;
use core::task::Waker;

use xen_sys::types::Domid;

use super::Error;
use super::values::Values;
use crate::event_channel::{EventChannel, Events};
use crate::grant_table::{Access, Grant, GrantTable};
use crate::hypervisor::Hypervisor;
use crate::memory::Page;

/// What a kind of device adds to the handshake.
pub trait Driver {
    /// The hypervisor.
    type Hypervisor: Hypervisor;
    /// What the toolstack says about a device.
    type Settings;

    /// Name of the directory of all devices of this kind.
    const KIND: &'static str;
    /// What messages call a device.
    const NAME: &'static str;
    /// What is read in the device's directory.
    const SETTINGS: &'static [&'static str];
    /// What is read in its backend's directory.
    const FEATURES: &'static [&'static str];

    /// The device that is likely to be there: it is asked for before the store has listed any, which saves an exchange.
    fn guess(&self) -> u32;

    /// Judges what the toolstack says about a device; `None` while not all of it is there.
    ///
    /// # Errors
    /// What makes no sense.
    fn settings(values: &Values<'_>) -> Result<Option<Self::Settings>, Error>;

    /// Whether this device may be the one that is used.
    fn wants(&self, number: u32, settings: &Self::Settings) -> bool;

    /// Says that the store lists no device.
    fn say_absent(&self);

    /// Makes what is to be shared with the backend.
    ///
    /// # Errors
    /// Why that is not possible; nothing is shared then.
    fn offer(
        &self,
        settings: &Self::Settings,
        features: &Values<'_>,
        offer: &mut Offer<'_, Self::Hypervisor>,
    ) -> Result<(), Error>;

    /// The backend has connected: data may flow.
    fn connected(&self);

    /// Data may flow no more. What is shared stays: the backend has yet to let go of it.
    fn stop(&self);

    /// Ends what is shared.
    fn release(&self);

    /// Whether the backend has broken the protocol since the last offer.
    fn is_broken(&self) -> bool;

    /// Has `waker` woken when the backend breaks the protocol.
    fn register_broken(&self, waker: &Waker);
}

/// What a driver needs to make an offer.
pub struct Offer<'a, H: Hypervisor> {
    pub(super) events: &'a Events<H>,
    pub(super) grants: &'a GrantTable<H>,
    pub(super) backend: Domid,
    pub(super) keys: Vec<Key>,
}

/// A change of a leaf in the device's directory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    Write(&'static str, u32),
    Remove(&'static str),
}

impl<H: Hypervisor> Offer<'_, H> {
    /// Has the backend find this number.
    pub fn write(&mut self, leaf: &'static str, number: u32) {
        self.keys.push(Key::Write(leaf, number));
    }

    /// Has the backend find nothing there.
    pub fn remove(&mut self, leaf: &'static str) {
        self.keys.push(Key::Remove(leaf));
    }

    /// A zeroed page, granted to the backend.
    ///
    /// # Errors
    /// [`Error::NoMemory`] and [`Error::Grant`].
    pub fn grant<A: Access>(&self) -> Result<Grant<A>, Error> {
        self.grant_page(Page::allocate().ok_or(Error::NoMemory)?)
    }

    /// Grants a page to the backend.
    ///
    /// # Errors
    /// [`Error::Grant`].
    pub fn grant_page<A: Access>(&self, page: Page) -> Result<Grant<A>, Error> {
        Ok(self.grants.grant(page, self.backend)?)
    }

    /// A new event channel to the backend.
    ///
    /// # Errors
    /// [`Error::Event`].
    pub fn channel(&self) -> Result<EventChannel<H>, Error> {
        Ok(self.events.allocate(self.backend)?)
    }
}
