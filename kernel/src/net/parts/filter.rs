//! What the stack does to frames before `smoltcp` sees them. Those for the DHCP client go there; those of which nothing can
//! be made, which `smoltcp` would drop without a word, are counted by reason and dropped here.
//!
//! `smoltcp` has one socket for each connection that may come, and answers a SYN that finds none with a reset: for a
//! client, "connection refused". A listener whose backlog is full must be silent instead, so that the client asks again
//! a moment later. Hence such a SYN is dropped here.

use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, PacketMeta, RxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    self, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv4Packet, IpProtocol, Ipv4Packet, TcpPacket,
    UdpPacket,
};

use super::dhcp::Client;

/// Frames that the stack has dropped, by reason. A count that is full begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DropCounters {
    /// Shorter than they say, contradicting themselves, or with a wrong checksum of IPv4 or ICMP. Those of TCP and UDP are
    /// left to who verifies them, which is the device or `smoltcp`.
    pub malformed: u32,
    /// Parts of a larger IPv4 packet.
    pub fragments: u32,
    /// Neither ARP nor IPv4; IPv6 too, which `smoltcp` may have compiled in (Cargo.toml, `segmentation-offload`).
    pub foreign: u32,
    /// Requests for a connection to a listener without room for one more.
    pub backlog_full: u32,
}

/// A device that hides drops frames and messages for the DHCP client.
pub(crate) struct Filter<'f, D> {
    pub(crate) device: &'f mut D,
    /// The ports without room.
    pub(crate) full_ports: &'f [u16],
    pub(crate) drops: &'f mut DropCounters,
    pub(crate) dhcp: Option<&'f mut Client>,
}

impl<D: Device> Device for Filter<'_, D> {
    type RxToken<'a>
        = Filtered<'a, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, timestamp: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let verify = self.device.capabilities().checksum;
        let (token, reply) = self.device.receive(timestamp)?;
        let dhcp = self.dhcp.as_deref_mut();
        Some((Filtered { token, full_ports: self.full_ports, drops: self.drops, dhcp, verify, now: timestamp }, reply))
    }

    fn transmit(&mut self, timestamp: Instant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(timestamp)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A received frame that may turn out to be hidden.
pub(crate) struct Filtered<'a, T> {
    token: T,
    full_ports: &'a [u16],
    drops: &'a mut DropCounters,
    dhcp: Option<&'a mut Client>,
    /// Checksums that are for the stack to verify.
    verify: ChecksumCapabilities,
    now: Instant,
}

impl<T: RxToken> RxToken for Filtered<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let Self { token, full_ports, drops, dhcp, verify, now } = self;
        token.consume(|frame| {
            let hide = match judge(frame, full_ports, &verify) {
                Ok(()) => dhcp.is_some_and(|client| client.receive(frame, verify.udp.rx(), now)),
                Err(reason) => {
                    let count = drops.count(reason);
                    *count = count.wrapping_add(1);
                    true
                }
            };
            // smoltcp ignores an empty frame.
            f(if hide { &[] } else { frame })
        })
    }

    fn meta(&self) -> PacketMeta {
        self.token.meta()
    }
}

/// Why a frame is dropped; see [`DropCounters`].
enum Reason {
    Malformed,
    Fragment,
    Foreign,
    BacklogFull,
}

impl From<wire::Error> for Reason {
    fn from(_: wire::Error) -> Self {
        Self::Malformed
    }
}

impl DropCounters {
    fn count(&mut self, reason: Reason) -> &mut u32 {
        match reason {
            Reason::Malformed => &mut self.malformed,
            Reason::Fragment => &mut self.fragments,
            Reason::Foreign => &mut self.foreign,
            Reason::BacklogFull => &mut self.backlog_full,
        }
    }
}

/// Says why a frame is to be dropped, if it is. Apart from the backlog it is by `smoltcp`'s own rules.
fn judge(frame: &[u8], full_ports: &[u16], verify: &ChecksumCapabilities) -> Result<(), Reason> {
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
            if tcp.syn() && !tcp.ack() && full_ports.contains(&tcp.dst_port()) {
                return Err(Reason::BacklogFull);
            }
        }
        _ => {}
    }
    Ok(())
}
