//! What the stack does to frames before `smoltcp` sees them. Those for the DHCP client go there.
//!
//! `smoltcp` has one socket for each connection that may come, and answers a SYN that finds none with a reset: for a
//! client, "connection refused". A listener whose backlog is full must be silent instead, so that the client asks again
//! a moment later. Hence such a SYN is dropped here.

use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket};

use super::dhcp::Client;

/// A device that hides SYNs to ports whose listener has no room, and messages for the DHCP client.
pub(super) struct Filter<'f, D> {
    pub(super) device: &'f mut D,
    /// The ports without room.
    pub(super) full_ports: &'f [u16],
    pub(super) dhcp: Option<&'f mut Client>,
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
        let verify = self.device.capabilities().checksum.udp.rx();
        let (token, reply) = self.device.receive(timestamp)?;
        let dhcp = self.dhcp.as_deref_mut();
        Some((Filtered { token, full_ports: self.full_ports, dhcp, verify, now: timestamp }, reply))
    }

    fn transmit(&mut self, timestamp: Instant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(timestamp)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A received frame that may turn out to be hidden.
pub(super) struct Filtered<'a, T> {
    token: T,
    full_ports: &'a [u16],
    dhcp: Option<&'a mut Client>,
    /// Checksums of UDP are for the stack to verify.
    verify: bool,
    now: Instant,
}

impl<T: RxToken> RxToken for Filtered<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let Self { token, full_ports, dhcp, verify, now } = self;
        token.consume(|frame| {
            let hide = is_ipv6(frame)
                || !full_ports.is_empty() && opens_connection_to(frame, full_ports) == Some(true)
                || dhcp.is_some_and(|client| client.receive(frame, verify, now));
            // smoltcp ignores an empty frame.
            f(if hide { &[] } else { frame })
        })
    }

    fn meta(&self) -> PacketMeta {
        self.token.meta()
    }
}

/// Whether the frame is of IPv6, which `smoltcp` may have compiled in (Cargo.toml, `segmentation-offload`).
fn is_ipv6(frame: &[u8]) -> bool {
    cfg!(feature = "segmentation-offload") && frame.get(12..14) == Some(&[0x86, 0xdd])
}

/// Whether the frame is a SYN, and not the answer to one, for one of `ports`.
fn opens_connection_to(frame: &[u8], ports: &[u16]) -> Option<bool> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Tcp || ip.frag_offset() != 0 {
        return None;
    }
    let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
    Some(tcp.syn() && !tcp.ack() && ports.contains(&tcp.dst_port()))
}
