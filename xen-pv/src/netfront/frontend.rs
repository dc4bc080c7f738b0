//! What a network card adds to the handshake: which card is used, and what is shared with its backend.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::Waker;

use kernel::net::CardChoice as Choice;

use super::rx::{self, Receiver};
use super::settings::{Abilities, Settings};
use super::tx::{self, FRAMES_PER_PAGE, Transmitter};
use super::{Buffers, Card, Queues};
use crate::grant_table::{Grant, ReadOnly, ReadWrite};
use crate::hypervisor::Hypervisor;
use crate::memory::Page;
use crate::xenbus::{self, Offer};
use crate::xenbus::{Error, Values};

/// The card as its frontend knows it.
#[derive(Debug)]
pub struct Vif<H: Hypervisor> {
    pub(super) card: &'static RefCell<Card<H>>,
    pub(super) buffers: Buffers,
    pub(super) choice: Choice,
}

impl<H: Hypervisor> Vif<H> {
    /// Pages for segments that leave in one piece, as many runs of them as are to be had: without any, frames alone
    /// leave.
    fn runs(&self, offer: &Offer<'_, H>) -> Vec<Grant<ReadOnly>> {
        let mut granted = Vec::new();
        for _ in 0..self.buffers.segments {
            let Some(run) = Page::allocate_adjacent(tx::RUN_PAGES) else { break };
            let run: Result<Vec<_>, _> = run.into_iter().map(|page| offer.grant_page(page)).collect();
            let Ok(run) = run else { break };
            granted.extend(run);
        }
        granted
    }
}

impl<H: Hypervisor> xenbus::Driver for Vif<H> {
    type Hypervisor = H;
    type Settings = Settings;

    const KIND: &'static str = "vif";
    const NAME: &'static str = "network card";
    const SETTINGS: &'static [&'static str] = &["mac", "mtu"];
    const FEATURES: &'static [&'static str] = &[
        "feature-rx-copy",
        "feature-split-event-channels",
        "feature-no-csum-offload",
        "feature-sg",
        "feature-gso-tcpv4",
    ];

    fn guess(&self) -> u32 {
        if let Choice::Number(number) = self.choice { number } else { 0 }
    }

    fn settings(values: &Values<'_>) -> Result<Option<Settings>, Error> {
        Settings::parse(values)
    }

    fn wants(&self, number: u32, settings: &Settings) -> bool {
        match self.choice {
            Choice::First => true,
            Choice::Number(wanted) => number == wanted,
            Choice::Address(wanted) => settings.address == wanted,
        }
    }

    fn say_absent(&self) {
        match self.choice {
            Choice::First => {
                kernel::println!("network: no card; does the xl config have a line such as vif = [\"bridge=xenbr0\"]?");
            }
            Choice::Number(number) => kernel::println!("network: no card {number}, which vif={number} asks for"),
            Choice::Address(address) => kernel::println!("network: no card {address}, which vif={address} asks for"),
        }
    }

    fn offer(&self, settings: &Settings, features: &Values<'_>, offer: &mut Offer<'_, H>) -> Result<(), Error> {
        let abilities = Abilities::judge(features)?;
        let rx_ring = offer.grant::<ReadWrite>()?;
        let tx_ring = offer.grant::<ReadWrite>()?;
        offer.write("rx-ring-ref", rx_ring.reference().0);
        offer.write("tx-ring-ref", tx_ring.reference().0);
        let receive_pages = usize::from(self.buffers.receive).min(rx::SLOTS);
        let mut buffers = Vec::with_capacity(receive_pages);
        for _ in 0..receive_pages {
            buffers.push(offer.grant::<ReadWrite>()?);
        }
        let transmit_pages = usize::from(self.buffers.transmit).min(tx::SLOTS).div_ceil(FRAMES_PER_PAGE);
        let mut pages = Vec::with_capacity(transmit_pages);
        for _ in 0..transmit_pages {
            pages.push(offer.grant::<ReadOnly>()?);
        }
        let runs = if abilities.segments && tx::OFFLOAD { self.runs(offer) } else { Vec::new() };
        let channel = offer.channel()?;
        let tx_channel = if abilities.split_event_channels { Some(offer.channel()?) } else { None };
        match &tx_channel {
            Some(tx_channel) => {
                offer.write("event-channel-rx", channel.port().0);
                offer.write("event-channel-tx", tx_channel.port().0);
            }
            None => {
                offer.write("event-channel", channel.port().0);
                // The backend would take the two channels of a former connection for those of this one.
                offer.remove("event-channel-rx");
                offer.remove("event-channel-tx");
            }
        }
        // The last two ask for the segments of a TCP stream in one piece, in a chain of slots.
        for leaf in &["request-rx-copy", "feature-rx-notify", "feature-sg", "feature-gso-tcpv4"] {
            offer.write(leaf, 1);
        }
        let mut card = self.card.borrow_mut();
        let large_frames = tx::limits(&card.pacing).large_frames.into();
        let mut queues = Queues {
            rx: Receiver::new(rx_ring, buffers),
            tx: Transmitter::new(tx_ring, pages, runs, abilities.blank_checksums, large_frames),
            channel,
            tx_channel,
        };
        // The backend finds buffers in place when it connects.
        queues.publish();
        card.address = settings.address;
        card.mtu = settings.mtu;
        card.queues = Some(queues);
        card.pacing.connect();
        card.broken = false;
        Ok(())
    }

    fn connected(&self) {
        let mut card = self.card.borrow_mut();
        if let Some(queues) = &card.queues {
            // The backend may have looked at the rings before it could be told of what is in them.
            queues.channel.notify();
            queues.tx_channel().notify();
        }
        card.counters.connections += 1;
        card.set_link(true);
    }

    fn stop(&self) {
        self.card.borrow_mut().set_link(false);
    }

    fn release(&self) {
        let mut card = self.card.borrow_mut();
        card.set_link(false);
        card.queues = None;
    }

    fn is_broken(&self) -> bool {
        self.card.borrow().broken
    }

    fn register_broken(&self, waker: &Waker) {
        self.card.borrow_mut().driver = Some(waker.clone());
    }
}
