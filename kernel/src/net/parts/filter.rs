//! Which frames are dropped before `smoltcp` sees them, and how many there were. Of most of these `smoltcp` could make
//! nothing either, and would drop them without a word.
//!
//! `smoltcp` has one socket for each connection that may come, and answers a SYN that finds none with a reset: for a
//! client, "connection refused". A listener whose backlog is full must be silent instead, so that the client asks again
//! a moment later. Hence such a SYN is dropped here.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    self, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv4Packet, IpProtocol, Ipv4Packet, TcpPacket,
    UdpPacket,
};

use super::backlog::Backlogs;

/// Frames that the stack has dropped, by reason. A count that is full begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DropCounters {
    /// Shorter than they say, contradicting themselves, or with a wrong checksum of IPv4 or ICMP. Those of TCP and UDP
    /// are left to who verifies them, which is the device or `smoltcp`.
    pub malformed: u32,
    /// Parts of a larger IPv4 packet.
    pub fragments: u32,
    /// Neither ARP nor IPv4; IPv6 too, which `smoltcp` may have compiled in (Cargo.toml, `segmentation-offload`).
    pub foreign: u32,
    /// Requests for a connection to a listener without room for one more.
    pub backlog_full: u32,
    /// Resets and SYNs of a connection that somebody else than its peer may have sent, or that say nothing new.
    pub unproven: u32,
    /// Not frames, but handshakes that were not finished and gave way to others.
    pub half_open: u32,
    /// Not frames, but connections that nobody used any more, which gave way to others before all was delivered.
    pub evicted: u32,
}

/// Why a frame is dropped; see [`DropCounters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Malformed,
    Fragment,
    Foreign,
    BacklogFull { port: u16 },
    Unproven,
}

impl From<wire::Error> for Reason {
    fn from(_: wire::Error) -> Self {
        Self::Malformed
    }
}

impl DropCounters {
    /// Counts a frame that was dropped.
    pub(crate) fn count(&mut self, reason: Reason) {
        let count = match reason {
            Reason::Malformed => &mut self.malformed,
            Reason::Fragment => &mut self.fragments,
            Reason::Foreign => &mut self.foreign,
            Reason::BacklogFull { .. } => &mut self.backlog_full,
            Reason::Unproven => &mut self.unproven,
        };
        *count = count.wrapping_add(1);
    }
}

/// Says why a frame is to be dropped, if it is. Apart from the backlog it is by `smoltcp`'s own rules.
pub(crate) fn judge(frame: &[u8], backlogs: &Backlogs, verify: &ChecksumCapabilities) -> Result<(), Reason> {
    let ethernet = EthernetFrame::new_checked(frame)?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {}
        EthernetProtocol::Arp => {
            ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload())?)?;
            return Ok(());
        }
        _ => return Err(Reason::Foreign),
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload())?;
    if ip.version() != 4 || verify.ipv4.rx() && !ip.verify_checksum() {
        return Err(Reason::Malformed);
    }
    if ip.more_frags() || ip.frag_offset() != 0 {
        return Err(Reason::Fragment);
    }
    match ip.next_header() {
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(ip.payload())?;
            if verify.icmpv4.rx() && !icmp.verify_checksum() {
                return Err(Reason::Malformed);
            }
        }
        IpProtocol::Udp => {
            UdpPacket::new_checked(ip.payload())?;
        }
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(ip.payload())?;
            // Not the answer to a SYN of ours.
            if tcp.syn() && !tcp.ack() && backlogs.is_full(tcp.dst_port()) {
                return Err(Reason::BacklogFull { port: tcp.dst_port() });
            }
        }
        _ => {}
    }
    Ok(())
}
