//! DHCP's messages on the wire (RFC 2131, section 2; options by RFC 2132 and RFC 3442).

use core::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpHardware, DhcpMessageType, DhcpOpCode, DhcpOption, DhcpPacket, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket,
};

use super::NameServers;
use crate::net::parameters::is_host;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const ETHERNET_BYTES: usize = 14;
const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
/// A message as the client sends it: all relays take this length, which was BOOTP's.
const MESSAGE_BYTES: usize = 300;
/// A frame with such a message.
pub(crate) const FRAME_BYTES: usize = ETHERNET_BYTES + IP_BYTES + UDP_BYTES + MESSAGE_BYTES;
/// Bytes before the options, with the word that announces them (RFC 2131, section 3).
const FIXED_BYTES: usize = 240;
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Ethernet as the type of a hardware address (RFC 1700).
const ETHERNET: u8 = 1;

/// The codes of the options that are read and written (RFC 2132, and RFC 3442 for the routes).
mod code {
    pub(super) const SUBNET_MASK: u8 = 1;
    pub(super) const ROUTER: u8 = 3;
    pub(super) const DOMAIN_NAME_SERVER: u8 = 6;
    pub(super) const REQUESTED_ADDRESS: u8 = 50;
    pub(super) const LEASE_TIME: u8 = 51;
    pub(super) const MESSAGE_TYPE: u8 = 53;
    pub(super) const SERVER_IDENTIFIER: u8 = 54;
    pub(super) const PARAMETER_REQUEST_LIST: u8 = 55;
    pub(super) const RENEWAL_TIME: u8 = 58;
    pub(super) const REBINDING_TIME: u8 = 59;
    pub(super) const CLIENT_IDENTIFIER: u8 = 61;
    pub(super) const CLASSLESS_STATIC_ROUTES: u8 = 121;
}

/// What servers are asked for. RFC 3442 wants the routes to be named before the router.
const WANTED: [u8; 4] = [code::SUBNET_MASK, code::CLASSLESS_STATIC_ROUTES, code::ROUTER, code::DOMAIN_NAME_SERVER];

/// One end of a message's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) hardware: EthernetAddress,
    pub(super) ip: Ipv4Addr,
}

impl Endpoint {
    pub(super) const EVERYBODY: Self = Self { hardware: EthernetAddress::BROADCAST, ip: Ipv4Addr::BROADCAST };
}

/// A message to servers.
pub(super) struct Request {
    pub(super) kind: DhcpMessageType,
    pub(super) transaction: u32,
    /// Who we are; the address is 0.0.0.0 as long as we have none.
    pub(super) from: Endpoint,
    pub(super) to: Endpoint,
    /// The offer that is wanted, as address and server.
    pub(super) choice: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Request {
    /// Writes the message into a frame of [`FRAME_BYTES`].
    pub(super) fn write(&self, frame: &mut [u8]) {
        let Self { kind, transaction, from, to, choice } = *self;
        let (ethernet, packet) = frame.split_at_mut(ETHERNET_BYTES);
        EthernetRepr { src_addr: from.hardware, dst_addr: to.hardware, ethertype: EthernetProtocol::Ipv4 }
            .emit(&mut EthernetFrame::new_unchecked(ethernet));
        let ip = Ipv4Repr {
            src_addr: from.ip,
            dst_addr: to.ip,
            next_header: IpProtocol::Udp,
            payload_len: UDP_BYTES + MESSAGE_BYTES,
            hop_limit: 64,
        };
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &ChecksumCapabilities::default());
        let (udp, message) = packet[IP_BYTES..].split_at_mut(UDP_BYTES);
        let mut udp = UdpPacket::new_unchecked(udp);
        udp.set_src_port(CLIENT_PORT);
        udp.set_dst_port(SERVER_PORT);
        udp.set_len((UDP_BYTES + MESSAGE_BYTES) as u16);
        // None: the device computes it where it has to be there.
        udp.set_checksum(0);
        message.fill(0);
        let mut message = DhcpPacket::new_unchecked(message);
        message.set_opcode(DhcpOpCode::Request);
        message.set_hardware_type(ArpHardware::Ethernet);
        message.set_hardware_len(from.hardware.0.len() as u8);
        message.set_transaction_id(transaction);
        message.set_client_ip(from.ip);
        message.set_client_hardware_address(from.hardware);
        message.set_magic_number(u32::from_be_bytes(MAGIC_COOKIE));
        let mut options = message.options_mut();
        // The message has room for more than these.
        let mut add = |kind, data: &[u8]| options.emit(DhcpOption { kind, data }).is_ok();
        add(code::MESSAGE_TYPE, &[kind.into()]);
        let [a, b, c, d, e, f] = from.hardware.0;
        add(code::CLIENT_IDENTIFIER, &[ETHERNET, a, b, c, d, e, f]);
        add(code::PARAMETER_REQUEST_LIST, &WANTED);
        if let Some((address, server)) = choice {
            add(code::REQUESTED_ADDRESS, &address.octets());
            add(code::SERVER_IDENTIFIER, &server.octets());
        }
        let _ = options.end();
    }
}

/// A message of a server, as far as a client is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) kind: DhcpMessageType,
    pub(super) transaction: u32,
    pub(super) client: EthernetAddress,
    /// By what the server is known.
    pub(super) server: Ipv4Addr,
    /// Where it can be reached.
    pub(super) from: Endpoint,
    /// The address that it offers or confirms; none in a NAK.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) terms: Terms,
}

/// What a server says beside the address. A server may leave out any of it, and may leave out at a renewal what it has
/// said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Terms {
    pub(super) prefix_len: Option<u8>,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) name_servers: Option<NameServers>,
    pub(super) lease_s: Option<u32>,
    pub(super) renewal_s: Option<u32>,
    pub(super) rebinding_s: Option<u32>,
}

/// The message for a DHCP client in a frame, and who sent it. Its UDP checksum is verified if asked for.
pub(super) fn message(frame: &[u8], verify: bool) -> Option<(Endpoint, &[u8])> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Udp || ip.more_frags() || ip.frag_offset() != 0 || !ip.verify_checksum() {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    let (from, to) = (ip.src_addr(), ip.dst_addr());
    let right = !verify || udp.verify_checksum(&from.into(), &to.into());
    let ours = udp.src_port() == SERVER_PORT && udp.dst_port() == CLIENT_PORT && right;
    ours.then(|| (Endpoint { hardware: ethernet.src_addr(), ip: from }, udp.payload()))
}

impl Reply {
    /// Reads a message; `None` if it makes no sense.
    pub(super) fn read(from: Endpoint, message: &[u8]) -> Option<Self> {
        if message.get(FIXED_BYTES - MAGIC_COOKIE.len()..FIXED_BYTES)? != MAGIC_COOKIE {
            return None;
        }
        let packet = DhcpPacket::new_checked(message).ok()?;
        let option = |code| packet.options().find(|option| option.kind == code).map(|option| option.data);
        let word = |code| option(code).and_then(|data| data.first_chunk::<4>().copied());
        let kind = match option(code::MESSAGE_TYPE)?.first().copied().map(DhcpMessageType::from)? {
            kind @ (DhcpMessageType::Offer | DhcpMessageType::Ack | DhcpMessageType::Nak) => kind,
            _ => return None,
        };
        if packet.opcode() != DhcpOpCode::Reply {
            return None;
        }
        let host = |code| word(code).map(Ipv4Addr::from).filter(|host| is_host(*host));
        let seconds = |code| word(code).map(u32::from_be_bytes);
        let terms = Terms {
            prefix_len: word(code::SUBNET_MASK).and_then(prefix_len),
            // Who names routes means these, and the router to be ignored.
            gateway: match option(code::CLASSLESS_STATIC_ROUTES) {
                Some(routes) => default_route(routes),
                None => host(code::ROUTER),
            },
            name_servers: option(code::DOMAIN_NAME_SERVER).map(name_servers),
            lease_s: seconds(code::LEASE_TIME),
            renewal_s: seconds(code::RENEWAL_TIME),
            rebinding_s: seconds(code::REBINDING_TIME),
        };
        Some(Self {
            kind,
            transaction: packet.transaction_id(),
            client: packet.client_hardware_address(),
            server: host(code::SERVER_IDENTIFIER)?,
            from,
            address: Some(packet.your_ip()).filter(|address| is_host(*address)),
            terms,
        })
    }
}

/// The length of the prefix that a mask stands for, unless the mask has holes or is empty.
fn prefix_len(mask: [u8; 4]) -> Option<u8> {
    let mask = u32::from_be_bytes(mask);
    (mask != 0 && mask.count_ones() == mask.leading_ones()).then_some(mask.leading_ones() as u8)
}

/// The first servers of a list. Some servers list 0.0.0.0 where they know only one.
fn name_servers(list: &[u8]) -> NameServers {
    let mut servers = [None; 3];
    let usable = list.as_chunks().0.iter().map(|octets| Ipv4Addr::from(*octets)).filter(|server| is_host(*server));
    for (place, server) in servers.iter_mut().zip(usable) {
        *place = Some(server);
    }
    servers
}

/// The router of the default route in a list of routes: each is the length of a prefix, as many bytes of it as are not
/// zero for certain, and a router (RFC 3442).
fn default_route(mut routes: &[u8]) -> Option<Ipv4Addr> {
    loop {
        let (length, rest) = routes.split_first()?;
        let (_prefix, rest) = rest.split_at_checked(usize::from(length.div_ceil(8)))?;
        let (router, rest) = rest.split_first_chunk::<4>()?;
        if *length == 0 {
            return Some(Ipv4Addr::from(*router)).filter(|router| is_host(*router));
        }
        routes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_masks_without_holes_count() {
        assert_eq!(prefix_len([255, 255, 255, 255]), Some(32));
        assert_eq!(prefix_len([255, 255, 254, 0]), Some(23));
        assert_eq!(prefix_len([0, 0, 0, 0]), None);
        assert_eq!(prefix_len([255, 0, 255, 0]), None);
        assert_eq!(prefix_len([0, 255, 255, 255]), None);
    }

    #[test]
    fn the_default_route_is_found_among_others() {
        let gateway = Ipv4Addr::new(10, 9, 8, 1);
        // The gateway itself is on the link, as hosters say it.
        let on_link = [32, 10, 9, 8, 1, 0, 0, 0, 0];
        let default = [0, 10, 9, 8, 1];
        assert_eq!(default_route(&[&on_link[..], &default].concat()), Some(gateway));
        assert_eq!(default_route(&[&[9, 10, 128, 1, 1, 1, 1][..], &default].concat()), Some(gateway));
        assert_eq!(default_route(&on_link), None);
        assert_eq!(default_route(&[0, 0, 0, 0, 0]), None, "everything is on the link");
        for cut in 0..default.len() {
            assert_eq!(default_route(&default[..cut]), None);
        }
        assert_eq!(default_route(&[255, 1, 2, 3, 4]), None, "longer than an address");
    }
}
