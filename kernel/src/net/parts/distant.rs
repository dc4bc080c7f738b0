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

#[cfg(test)]
mod tests {
    use smoltcp::wire::{ArpOperation, ArpRepr, EthernetAddress, EthernetRepr};

    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 8);
    const DISTANT: DistantGateway = DistantGateway { own: OWN, gateway: GATEWAY };

    /// A frame with an ARP packet from somebody about somebody, and these two after a change.
    fn changed(from: Ipv4Addr, about: Ipv4Addr, change: impl Fn(&mut [u8])) -> [Ipv4Addr; 2] {
        let mut frame = [0; 42];
        let hardware = EthernetAddress([2, 0, 0, 0, 0, 1]);
        let ethernet =
            EthernetRepr { src_addr: hardware, dst_addr: EthernetAddress::BROADCAST, ethertype: EthernetProtocol::Arp };
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
        let said = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: hardware,
            source_protocol_addr: from,
            target_hardware_addr: EthernetAddress::BROADCAST,
            target_protocol_addr: about,
        };
        said.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
        change(&mut frame);
        let arp = ArpPacket::new_checked(&frame[14..]).unwrap();
        [arp.source_protocol_addr(), arp.target_protocol_addr()]
            .map(|bytes| Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap()))
    }

    #[test]
    fn a_question_for_ourselves_becomes_one_for_the_gateway_and_others_stay() {
        assert_eq!(changed(OWN, OWN, |frame| DISTANT.leave(frame)), [OWN, GATEWAY]);
        assert_eq!(changed(OWN, OTHER, |frame| DISTANT.leave(frame)), [OWN, OTHER]);
    }

    #[test]
    fn the_gateway_speaks_with_our_address_and_nobody_else_does() {
        for (from, becomes) in [(GATEWAY, OWN), (OWN, Ipv4Addr::UNSPECIFIED), (OTHER, OTHER)] {
            assert_eq!(changed(from, OWN, |frame| DISTANT.arrive(frame)), [becomes, OWN]);
        }
    }
}
