//! A gateway outside of the interface's own network, as hosters give it with an address of 32 bits ("vif-route").
//!
//! `smoltcp` listens to the ARP of hosts of its own network alone. So for `smoltcp` such a gateway has our own address,
//! which is in each network of ours, and is told apart at the device's boundary: a question for ourselves becomes one
//! for the gateway, and what the gateway says is said by ourselves.

use core::net::Ipv4Addr;

use smoltcp::wire::{ArpPacket, EthernetFrame, EthernetProtocol};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DistantGateway {
    pub(crate) own: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
}

impl DistantGateway {
    /// Changes a frame that `smoltcp` has written.
    pub(crate) fn leave(self, frame: &mut [u8]) {
        if let Some(mut arp) = arp(frame)
            && arp.target_protocol_addr() == self.own.octets()
        {
            arp.set_target_protocol_addr(&self.gateway.octets());
        }
    }

    /// Changes a frame that arrived.
    pub(crate) fn arrive(self, frame: &mut [u8]) {
        if let Some(mut arp) = arp(frame) {
            // Whoever claims our address must not be taken for the gateway: 0.0.0.0 is ignored.
            let said_by = match arp.source_protocol_addr() {
                source if source == self.gateway.octets() => self.own,
                source if source == self.own.octets() => Ipv4Addr::UNSPECIFIED,
                _ => return,
            };
            arp.set_source_protocol_addr(&said_by.octets());
        }
    }
}

/// The ARP packet in a frame.
fn arp(frame: &mut [u8]) -> Option<ArpPacket<&mut [u8]>> {
    let start = EthernetFrame::<&[u8]>::header_len();
    if EthernetFrame::new_checked(&*frame).ok()?.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    ArpPacket::new_checked(frame.get_mut(start..)?).ok()
}
