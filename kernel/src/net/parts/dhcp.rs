//! The DHCP client (RFC 2131): asks for an address, keeps it, and gives it up when nobody confirms it.
//!
//! It reads and writes whole frames, because before there is an address nothing else of the stack can send: what arrives
//! passes through [`super::filter`], which hides messages for a DHCP client from all others; the poll loop sends.
//! A message that makes no sense is ignored, and the one that it should have answered is repeated.

use core::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Cidr, Ipv4Packet, Ipv4Repr,
    UdpPacket,
};

use super::deadline::sooner;
use super::random::Random;
use crate::net::parameters::is_host;

/// The first pause before the client asks again; each is as long as all before it together.
const FIRST_DISCOVER_PAUSE: Duration = Duration::from_millis(250);
/// The longest such pause.
const LONGEST_DISCOVER_PAUSE: Duration = Duration::from_secs(16);
/// The first pause before it repeats that it wants the address which it was offered; every second one is twice as long.
const FIRST_REQUEST_PAUSE: Duration = Duration::from_millis(500);
/// How often it says so before it looks for another server.
const REQUESTS: u32 = 5;
/// The shortest pause between attempts to keep an address (RFC 2131, 4.4.5).
const SHORTEST_RENEWAL_PAUSE: Duration = Duration::from_secs(60);
/// How long an address is ours if the server does not say.
const DEFAULT_LEASE_S: u32 = 120;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const ETHERNET_BYTES: usize = 14;
const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
/// A message as the client sends it: all relays take this length, which was BOOTP's.
const MESSAGE_BYTES: usize = 300;
/// A frame with such a message.
pub(crate) const FRAME_BYTES: usize = ETHERNET_BYTES + IP_BYTES + UDP_BYTES + MESSAGE_BYTES;

/// Where the options begin, behind this word.
const OPTIONS: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Types of messages (RFC 2132, 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// The name servers that are used, the best first.
pub(crate) type NameServers = [Option<Ipv4Addr>; 3];

/// What a server has given to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Cidr,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) name_servers: NameServers,
}

/// Where messages go.
type Destination = (EthernetAddress, Ipv4Addr);

const EVERYBODY: Destination = (EthernetAddress::BROADCAST, Ipv4Addr::BROADCAST);

#[derive(Debug, Clone, Copy)]
enum State {
    /// Looks for a server.
    Discovering,
    /// Wants the address that a server has offered.
    Requesting { address: Ipv4Addr, server: Ipv4Addr, tries: u32 },
    /// Has an address: until `rebind_at` only its server is asked to renew it, then everybody.
    Bound { lease: Lease, server: Destination, rebind_at: Instant, expires_at: Instant },
}

/// See the module.
pub(crate) struct Client {
    state: State,
    /// Since when it has been looking for a server.
    since: Instant,
    /// When the next message is due.
    next_at: Instant,
    hardware_address: EthernetAddress,
    /// By what the answers to our messages are known.
    transaction: [u8; 4],
    /// What nobody has taken notice of yet: an address, or that there is none any more.
    news: Option<Option<Lease>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Discovering,
            since: Instant::ZERO,
            next_at: Instant::ZERO,
            hardware_address: EthernetAddress::BROADCAST,
            transaction: [0; 4],
            news: None,
        }
    }

    /// Looks for a server, whatever was before.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.state = State::Discovering;
        self.since = now;
        self.next_at = now;
        self.news = None;
    }

    /// What has become of our address since the last call.
    pub(crate) fn news(&mut self, now: Instant) -> Option<Option<Lease>> {
        match self.state {
            State::Requesting { tries: REQUESTS, .. } if self.next_at <= now => self.look_again(now),
            State::Bound { expires_at, .. } if expires_at <= now => self.lose(now),
            _ => {}
        }
        self.news.take()
    }

    /// Gives up an offer and looks for a server from `at` on, ever less often.
    fn look_again(&mut self, at: Instant) {
        self.state = State::Discovering;
        self.next_at = at;
    }

    fn lose(&mut self, now: Instant) {
        self.restart(now);
        self.news = Some(None);
    }

    /// When there is something to do without a packet from outside.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let expires_at = match self.state {
            State::Bound { expires_at, .. } => Some(expires_at),
            _ => None,
        };
        sooner(Some(self.next_at), expires_at)
    }

    /// True when a message is to be sent.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next_at <= now
    }

    /// Writes the message that is due into `frame`, which has [`FRAME_BYTES`], and notes when the next is.
    // Within its only caller, both would want more registers than there are.
    #[inline(never)]
    pub(crate) fn write(&mut self, frame: &mut [u8], from: EthernetAddress, random: &mut Random, now: Instant) {
        self.hardware_address = from;
        if !matches!(self.state, State::Requesting { .. }) {
            self.transaction = (random.next() as u32).to_be_bytes();
        }
        let (mut kind, mut own, mut to, mut choice) = (REQUEST, Ipv4Addr::UNSPECIFIED, EVERYBODY, None);
        let pause = match &mut self.state {
            State::Discovering => {
                kind = DISCOVER;
                (now - self.since).clamp(FIRST_DISCOVER_PAUSE, LONGEST_DISCOVER_PAUSE)
            }
            State::Requesting { address, server, tries } => {
                choice = Some((*address, *server));
                *tries += 1;
                FIRST_REQUEST_PAUSE << ((*tries - 1) / 2)
            }
            State::Bound { lease, server, rebind_at, expires_at } => {
                own = lease.address.address();
                let until = if now < *rebind_at {
                    to = *server;
                    *rebind_at
                } else {
                    *expires_at
                };
                ((until - now) / 2).max(SHORTEST_RENEWAL_PAUSE).min(until - now)
            }
        };
        self.next_at = now + pause;
        let message = headers(frame, (from, own), to);
        message.fill(0);
        // A request by Ethernet.
        message[..3].copy_from_slice(&[1, 1, 6]);
        message[4..8].copy_from_slice(&self.transaction);
        message[12..16].copy_from_slice(&own.octets());
        message[28..34].copy_from_slice(&from.0);
        message[236..OPTIONS].copy_from_slice(&COOKIE);
        let options = &mut message[OPTIONS..];
        options[..3].copy_from_slice(&[53, 1, kind]);
        // Who we are, and what we want to know: mask, router, name servers.
        options[3..6].copy_from_slice(&[61, 7, 1]);
        options[6..12].copy_from_slice(&from.0);
        options[12..17].copy_from_slice(&[55, 3, 1, 3, 6]);
        // The bytes between the options that there are mean nothing.
        if let Some((address, server)) = choice {
            options[17..19].copy_from_slice(&[50, 4]);
            options[19..23].copy_from_slice(&address.octets());
            options[23..25].copy_from_slice(&[54, 4]);
            options[25..29].copy_from_slice(&server.octets());
        }
        options[29] = 255;
    }

    /// Looks at a frame that arrived, whose UDP checksum it verifies if asked to. True when the frame was for a DHCP client,
    /// and so is for nobody else.
    pub(crate) fn receive(&mut self, frame: &[u8], verify: bool, now: Instant) -> bool {
        let Some((from, message)) = message(frame, verify) else { return false };
        // What makes no sense changes nothing.
        let _ = self.handle(from, message, now);
        true
    }

    fn handle(&mut self, from: Destination, message: &[u8], now: Instant) -> Option<()> {
        let options = message.get(OPTIONS..)?;
        let ours = message[0] == 2
            && message[4..8] == self.transaction
            && message[28..34] == self.hardware_address.0
            && message[236..OPTIONS] == COOKIE;
        if !ours {
            return None;
        }
        let server = address(options, 54)?;
        let given = Ipv4Addr::from(*message[16..].first_chunk()?);
        match (option(options, 53)?.first()?, self.state) {
            (&OFFER, State::Discovering) if is_host(given) => {
                self.state = State::Requesting { address: given, server, tries: 0 };
                self.next_at = now;
            }
            (&ACK, State::Requesting { .. } | State::Bound { .. }) if is_host(given) => {
                self.bind(from, given, options, now)?;
            }
            // Not at once: a server that refuses what it has offered must not keep us busy.
            (&NAK, State::Requesting { .. }) => self.look_again(now + FIRST_DISCOVER_PAUSE),
            (&NAK, State::Bound { .. }) => self.lose(now),
            _ => {}
        }
        Some(())
    }

    /// Takes the address that a server has confirmed.
    fn bind(&mut self, server: Destination, own: Ipv4Addr, options: &[u8], now: Instant) -> Option<()> {
        let mask = address(options, 1)?.to_bits();
        if mask.count_ones() != mask.leading_ones() {
            return None;
        }
        let mut name_servers = [None; 3];
        let listed = option(options, 6).unwrap_or_default().as_chunks().0;
        // Some servers list 0.0.0.0 where they have only one name server.
        let usable = listed.iter().map(|octets| Ipv4Addr::from(*octets)).filter(|server| is_host(*server));
        for (place, server) in name_servers.iter_mut().zip(usable) {
            *place = Some(server);
        }
        let lease = Lease {
            address: Ipv4Cidr::new(own, mask.leading_ones() as u8),
            gateway: address(options, 3).filter(|gateway| is_host(*gateway)),
            name_servers,
        };
        // Times that the server names count if they follow each other.
        let seconds = |code| address(options, code).map(Ipv4Addr::to_bits);
        let expires = seconds(51).unwrap_or(DEFAULT_LEASE_S);
        let rebind = seconds(59).filter(|rebind| *rebind < expires).unwrap_or(expires - expires / 8);
        let renew = seconds(58).filter(|renew| *renew < rebind).unwrap_or((expires / 2).min(rebind));
        let after = |seconds: u32| now + Duration::from_secs(seconds.into());
        if !matches!(&self.state, State::Bound { lease: known, .. } if *known == lease) {
            self.news = Some(Some(lease));
        }
        self.state = State::Bound { lease, server, rebind_at: after(rebind), expires_at: after(expires) };
        self.next_at = after(renew);
        Some(())
    }
}

/// Writes the headers of a frame with a message, and returns the message's place.
fn headers(frame: &mut [u8], from: Destination, to: Destination) -> &mut [u8] {
    let (ethernet, packet) = frame.split_at_mut(ETHERNET_BYTES);
    EthernetRepr { src_addr: from.0, dst_addr: to.0, ethertype: EthernetProtocol::Ipv4 }
        .emit(&mut EthernetFrame::new_unchecked(ethernet));
    let ip = Ipv4Repr {
        src_addr: from.1,
        dst_addr: to.1,
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
    message
}

/// The message for a DHCP client in a frame, and who sent it.
fn message(frame: &[u8], verify: bool) -> Option<(Destination, &[u8])> {
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
    ours.then(|| ((ethernet.src_addr(), from), udp.payload()))
}

/// The value of an option.
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let (code, rest) = options.split_first()?;
        options = match code {
            0 => rest,
            255 => return None,
            code => {
                let (length, rest) = rest.split_first()?;
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                rest
            }
        };
    }
}

/// The first address, or other word of four bytes, of an option.
fn address(options: &[u8], wanted: u8) -> Option<Ipv4Addr> {
    option(options, wanted)?.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets))
}

#[cfg(test)]
mod tests;
