//! Ethernet frames made by hand, right ones and wrong ones, to be sent to a guest from dom0.
//!
//! Every function here makes the same frames each time. What a frame says about lengths and checksums may be wrong on
//! purpose, so nothing here trusts it.

mod damage;

pub use damage::{corrupted, cut, fragments, noise, stretched};

use std::net::Ipv4Addr;

/// Bytes of the Ethernet header, and where the IPv4 packet begins.
pub const ETHERNET_BYTES: usize = 14;
/// Bytes of an IPv4 header without options.
pub const IPV4_BYTES: usize = 20;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Every station.
pub const BROADCAST: Mac = [0xff; 6];

/// Flags of a TCP segment.
pub mod tcp_flags {
    /// No more data comes.
    pub const FIN: u8 = 1;
    /// A connection begins.
    pub const SYN: u8 = 2;
    /// A connection is given up.
    pub const RST: u8 = 4;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 16;
}

/// Who a frame is from, as it says, and to whom.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// The sender's and the receiver's Ethernet address.
    pub macs: [Mac; 2],
    /// The sender's and the receiver's Internet address.
    pub addresses: [Ipv4Addr; 2],
}

impl Path {
    /// A UDP datagram.
    #[must_use]
    pub fn udp(&self, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
        let mut datagram: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
        datagram.extend((8 + payload.len() as u16).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(payload);
        self.ipv4(UDP, &datagram)
    }

    /// A TCP segment without options.
    #[must_use]
    pub fn tcp(&self, ports: [u16; 2], flags: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut segment: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
        segment.extend(sequence.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend([5 << 4, flags]);
        segment.extend(u16::MAX.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(payload);
        self.ipv4(TCP, &segment)
    }

    /// An echo request.
    #[must_use]
    pub fn ping(&self, payload: &[u8]) -> Vec<u8> {
        self.ipv4(ICMP, &[&[8, 0, 0, 0, 0, 1, 0, 1], payload].concat())
    }

    /// An ARP packet: operation 1 asks for the second address, 2 answers that the first address is at the first
    /// Ethernet address.
    #[must_use]
    pub fn arp(&self, operation: u8) -> Vec<u8> {
        let [from, to] = self.macs;
        let [sender, target] = self.addresses.map(|address| address.octets());
        [&to[..], &from, &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation], &from, &sender, &to, &target].concat()
    }

    /// An IPv4 packet with right lengths and checksums.
    #[must_use]
    pub fn ipv4(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let [from, to] = self.macs;
        let mut frame = [&to[..], &from, &[8, 0], &[0x45, 0]].concat();
        frame.extend(((IPV4_BYTES + payload.len()) as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
        frame.extend(self.addresses.iter().flat_map(|address| address.octets()));
        frame.extend(payload);
        repair(&mut frame);
        frame
    }
}

/// Makes the checksums of IPv4, ICMP, UDP and TCP right for what the frame says now, as far as it can be read.
pub fn repair(frame: &mut [u8]) {
    let Some(packet) = frame.get_mut(ETHERNET_BYTES..).filter(|packet| packet.len() >= IPV4_BYTES) else { return };
    let header_bytes = usize::from(packet[0] & 15) * 4;
    if header_bytes < IPV4_BYTES || header_bytes > packet.len() {
        return;
    }
    packet[10..12].fill(0);
    let sum = checksum(&[&packet[..header_bytes]]);
    packet[10..12].copy_from_slice(&sum);
    let total_bytes = usize::from(u16::from_be_bytes([packet[2], packet[3]])).clamp(header_bytes, packet.len());
    let (header, payload) = packet[..total_bytes].split_at_mut(header_bytes);
    let at = match header[9] {
        ICMP => 2,
        TCP => 16,
        UDP => 6,
        _ => return,
    };
    let length = (payload.len() as u16).to_be_bytes();
    let Some(place) = payload.get_mut(at..at + 2) else { return };
    place.fill(0);
    let pseudo = [&header[12..20], &[0, header[9]], &length].concat();
    let pseudo = if header[9] == ICMP { &[] } else { &pseudo[..] };
    let sum = checksum(&[pseudo, payload]);
    payload[at..at + 2].copy_from_slice(&sum);
}

/// The Internet checksum (RFC 1071) over parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PATH: Path = Path {
        macs: [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]],
        addresses: [Ipv4Addr::new(10, 0, 2, 200), Ipv4Addr::new(10, 0, 2, 50)],
    };

    #[test]
    fn checksums_are_right_at_every_layer() {
        // The example of RFC 1071.
        assert_eq!(checksum(&[&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]]), (!0xddf2_u16).to_be_bytes());
        for (frame, protocol) in [(PATH.udp([9, 7], b"odd"), UDP), (PATH.tcp([9, 7], tcp_flags::SYN, 1, b""), TCP)] {
            let (header, payload) = frame[ETHERNET_BYTES..].split_at(IPV4_BYTES);
            assert_eq!(checksum(&[header]), [0, 0]);
            let pseudo = [&header[12..20], &[0, protocol], &(payload.len() as u16).to_be_bytes()].concat();
            assert_eq!(checksum(&[&pseudo, payload]), [0, 0]);
        }
        assert_eq!(checksum(&[&PATH.ping(b"data")[ETHERNET_BYTES + IPV4_BYTES..]]), [0, 0]);
    }

    #[test]
    fn a_repair_survives_every_length_and_header() {
        let whole = PATH.tcp([9, 7], tcp_flags::SYN, 1, b"payload");
        for end in 0..=whole.len() {
            for first in [0x00, 0x40, 0x45, 0x4f, 0xff] {
                let mut frame = whole[..end].to_vec();
                if let Some(byte) = frame.get_mut(ETHERNET_BYTES) {
                    *byte = first;
                }
                repair(&mut frame);
            }
        }
    }
}
