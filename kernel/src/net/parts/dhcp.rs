//! The DHCP client (RFC 2131): asks for an address, keeps it, and gives it up when nobody confirms it.
//!
//! It reads and writes whole frames, because before there is an address nothing else of the stack can send: what
//! arrives passes through [`super::boundary`], which hides messages for a DHCP client from all others; the poll loop
//! sends.
//!
//! The states are those of RFC 2131, figure 5, and this is all that moves between them. Whatever else arrives in a
//! state is ignored: an unasked message, one of another server, one that makes no sense.
//!
//! | state | what happens | next state |
//! |---|---|---|
//! | SELECTING | an offer | REQUESTING |
//! | REQUESTING | the chosen server's ACK | BOUND |
//! | REQUESTING | the chosen server's NAK, or no answer to five requests | SELECTING, after a pause |
//! | BOUND | T1 has passed | RENEWING |
//! | RENEWING | the server's ACK for our address | BOUND |
//! | RENEWING | the server's NAK | SELECTING, after a pause, without the address |
//! | RENEWING | T2 has passed | REBINDING |
//! | REBINDING | any server's ACK for our address | BOUND |
//! | REBINDING | the server's NAK, or the lease is over | SELECTING, after a pause, without the address |
//!
//! In REBINDING, too, a NAK counts only from the server that gave the lease: a second server of the network, which
//! knows nothing of the lease, may refuse it to everybody that asks (dnsmasq does when it is told that it is
//! authoritative). In INIT nothing is waited for, so it is part of SELECTING. INIT-REBOOT is not used: an address from
//! before a reboot is not remembered.
//!
//! Why not another's: `smoltcp` 0.14's client (`socket/dhcpv4.rs`) obeys the NAK and the ACK of any server, forgets at
//! a renewal what the server does not repeat (smoltcp#445), and knows no routes of RFC 3442; edge-dhcp 0.7 has no
//! REBINDING, obeys any server as well, and panics at an offer without a server's name. Reading and writing messages is
//! `smoltcp`'s.

mod message;

use core::net::Ipv4Addr;

use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{DhcpMessageType, EthernetAddress, Ipv4Cidr};

use self::message::{Endpoint, Reply, Request, Terms, message};
use super::deadline::sooner;
use crate::entropy::Generator;

pub(crate) use self::message::FRAME_BYTES;

/// The first pause before the client asks for offers again; each is as long as all before it together. RFC 2131 (4.1)
/// begins with four seconds; but a guest's first frames are often lost, because its link is not yet part of the
/// network.
const FIRST_DISCOVER_PAUSE: Duration = Duration::from_millis(250);
/// The longest such pause.
const LONGEST_DISCOVER_PAUSE: Duration = Duration::from_secs(16);
/// The bounds of the pause before it begins anew, whatever the reason (RFC 2131, 4.4.1). It is drawn at random, so that
/// guests that lost their addresses together do not ask together.
const RESTART_PAUSE_MS: (u64, u64) = (1_000, 10_000);
/// The first pause before it repeats that it wants the address which it was offered; every second one is twice as long.
const FIRST_REQUEST_PAUSE: Duration = Duration::from_millis(500);
/// How often it says so before it looks for another server.
const REQUESTS: u32 = 5;
/// The shortest pause between attempts to keep an address (RFC 2131, 4.4.5).
const SHORTEST_RENEWAL_PAUSE: Duration = Duration::from_secs(60);
/// How long an address is ours if the server does not say.
const DEFAULT_LEASE_S: u32 = 120;
/// A lease that is shorter is none: it could be renewed only by a flood of messages.
const SHORTEST_LEASE_S: u32 = 10;
/// A server that wants to be asked more often is not.
const SHORTEST_RENEWAL_TIME_S: u32 = SHORTEST_LEASE_S / 2;

/// The name servers that are used, the best first.
pub(crate) type NameServers = [Option<Ipv4Addr>; 3];

/// What a server has given to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Cidr,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) name_servers: NameServers,
}

/// What has become of our address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It is this one now.
    Bound(Lease),
    /// There is none any more.
    Lost,
}

/// A lease and how long it lasts.
#[derive(Debug, Clone, Copy)]
struct Binding {
    lease: Lease,
    /// By what its server is known.
    server: Ipv4Addr,
    /// Where its server is reached.
    reached_at: Endpoint,
    /// How long the lease was when it was given, for a renewal that does not say.
    lease_s: u32,
    rebind_at: Instant,
    expires_at: Instant,
}

/// See the table of the module.
#[derive(Debug, Clone, Copy)]
enum State {
    Selecting,
    Requesting { address: Ipv4Addr, server: Ipv4Addr, tries: u32 },
    Bound(Binding),
    Renewing(Binding),
    Rebinding(Binding),
}

/// See the module.
pub(crate) struct Client {
    state: State,
    /// Since when it has been looking for a server.
    since: Instant,
    /// When the next message is due.
    next_at: Instant,
    hardware_address: EthernetAddress,
    /// By what the answers to our messages are known; none before the first message of an exchange.
    transaction: Option<u32>,
    /// What nobody has taken notice of yet.
    event: Option<Event>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Selecting,
            since: Instant::ZERO,
            next_at: Instant::ZERO,
            hardware_address: EthernetAddress::BROADCAST,
            transaction: None,
            event: None,
        }
    }

    /// Looks for a server at once, whatever was before: the link has come up.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.event = None;
        self.select(now);
    }

    fn select(&mut self, at: Instant) {
        self.state = State::Selecting;
        self.since = at;
        self.next_at = at;
        self.transaction = None;
    }

    /// Does what is due by now without a message, and says what has become of our address since the last call.
    pub(crate) fn poll(&mut self, random: &Generator, now: Instant) -> Option<Event> {
        match self.state {
            State::Requesting { tries: REQUESTS, .. } if self.next_at <= now => self.begin_anew(random, now),
            State::Bound(binding) | State::Renewing(binding) | State::Rebinding(binding)
                if binding.expires_at <= now =>
            {
                self.lose(random, now);
            }
            State::Bound(binding) if self.next_at <= now => self.state = State::Renewing(binding),
            _ => {}
        }
        if let State::Renewing(binding) = self.state
            && binding.rebind_at <= now
        {
            self.state = State::Rebinding(binding);
        }
        self.event.take()
    }

    /// Looks for a server after a pause.
    fn begin_anew(&mut self, random: &Generator, now: Instant) {
        let (shortest, longest) = RESTART_PAUSE_MS;
        let pause_ms = shortest + random.next_u64() % (longest - shortest);
        self.select(now + Duration::from_millis(pause_ms));
    }

    fn lose(&mut self, random: &Generator, now: Instant) {
        self.begin_anew(random, now);
        self.event = Some(Event::Lost);
    }

    /// When there is something to do without a packet from outside.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let expires_at = match self.state {
            State::Bound(binding) | State::Renewing(binding) | State::Rebinding(binding) => Some(binding.expires_at),
            State::Selecting | State::Requesting { .. } => None,
        };
        sooner(Some(self.next_at), expires_at)
    }

    /// True when a message is to be sent.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next_at <= now && !matches!(self.state, State::Bound(_))
    }

    /// Writes the message that is due into `frame`, which has [`FRAME_BYTES`], and notes when the next is.
    pub(crate) fn write(&mut self, frame: &mut [u8], hardware: EthernetAddress, random: &Generator, now: Instant) {
        self.hardware_address = hardware;
        let transaction = *self.transaction.get_or_insert_with(|| random.next_u64() as u32);
        let mut request = Request {
            kind: DhcpMessageType::Request,
            transaction,
            from: Endpoint { hardware, ip: Ipv4Addr::UNSPECIFIED },
            to: Endpoint::EVERYBODY,
            choice: None,
        };
        let pause = match &mut self.state {
            State::Selecting => {
                request.kind = DhcpMessageType::Discover;
                (now - self.since).clamp(FIRST_DISCOVER_PAUSE, LONGEST_DISCOVER_PAUSE)
            }
            State::Requesting { address, server, tries } => {
                request.choice = Some((*address, *server));
                *tries += 1;
                FIRST_REQUEST_PAUSE << ((*tries - 1) / 2)
            }
            State::Bound(binding) | State::Renewing(binding) => {
                request.from.ip = binding.lease.address.address();
                request.to = binding.reached_at;
                renewal_pause(now, binding.rebind_at)
            }
            State::Rebinding(binding) => {
                request.from.ip = binding.lease.address.address();
                renewal_pause(now, binding.expires_at)
            }
        };
        self.next_at = now + pause;
        request.write(frame);
    }

    /// Looks at a frame that arrived, whose UDP checksum it verifies if asked to. True when the frame was for a DHCP
    /// client, and so is for nobody else.
    pub(crate) fn receive(&mut self, frame: &[u8], verify: bool, random: &Generator, now: Instant) -> bool {
        let Some((from, message)) = message(frame, verify) else { return false };
        if let Some(reply) = Reply::read(from, message)
            && self.transaction == Some(reply.transaction)
            && reply.client == self.hardware_address
        {
            self.handle(&reply, random, now);
        }
        true
    }

    /// What the table of the module says of a message.
    fn handle(&mut self, reply: &Reply, random: &Generator, now: Instant) {
        match (reply.kind, self.state, reply.address) {
            (DhcpMessageType::Offer, State::Selecting, Some(address)) => {
                self.state = State::Requesting { address, server: reply.server, tries: 0 };
                self.next_at = now;
            }
            (DhcpMessageType::Ack, State::Requesting { address: offered, server, .. }, Some(address))
                if server == reply.server && address == offered =>
            {
                self.bind(address, None, reply, now);
            }
            (DhcpMessageType::Ack, State::Renewing(known), Some(address))
                if known.server == reply.server && known.lease.address.address() == address =>
            {
                self.bind(address, Some(known), reply, now);
            }
            (DhcpMessageType::Ack, State::Rebinding(known), Some(address))
                if known.lease.address.address() == address =>
            {
                self.bind(address, Some(known), reply, now);
            }
            (DhcpMessageType::Nak, State::Requesting { server, .. }, _) if server == reply.server => {
                self.begin_anew(random, now);
            }
            (DhcpMessageType::Nak, State::Renewing(known) | State::Rebinding(known), _)
                if known.server == reply.server =>
            {
                self.lose(random, now);
            }
            _ => {}
        }
    }

    /// Takes the address that a server has confirmed. What it has not said stays as it was `known`.
    fn bind(&mut self, address: Ipv4Addr, known: Option<Binding>, reply: &Reply, now: Instant) {
        let Terms { prefix_len, gateway, name_servers, lease_s, renewal_s, rebinding_s } = reply.terms;
        let lease_s = lease_s.or(known.map(|known| known.lease_s)).unwrap_or(DEFAULT_LEASE_S);
        if lease_s < SHORTEST_LEASE_S {
            return;
        }
        let before = known.map(|known| known.lease);
        let prefix_len = prefix_len.or(before.map(|before| before.address.prefix_len()));
        let lease = Lease {
            address: Ipv4Cidr::new(address, prefix_len.unwrap_or_else(|| natural_prefix_len(address))),
            gateway: gateway.filter(|gateway| *gateway != address).or(before.and_then(|before| before.gateway)),
            name_servers: name_servers.or(before.map(|before| before.name_servers)).unwrap_or_default(),
        };
        // Times that the server names count if they follow each other.
        let rebind_s = rebinding_s
            .filter(|rebind_s| (SHORTEST_RENEWAL_TIME_S + 1..lease_s).contains(rebind_s))
            .unwrap_or(lease_s - lease_s / 8);
        let renew_s = renewal_s
            .filter(|renew_s| (SHORTEST_RENEWAL_TIME_S..rebind_s).contains(renew_s))
            .unwrap_or((lease_s / 2).min(rebind_s));
        let after = |seconds: u32| now + Duration::from_secs(seconds.into());
        if before != Some(lease) {
            self.event = Some(Event::Bound(lease));
        }
        self.state = State::Bound(Binding {
            lease,
            server: reply.server,
            reached_at: Endpoint { hardware: reply.from.hardware, ip: reply.server },
            lease_s,
            rebind_at: after(rebind_s),
            expires_at: after(lease_s),
        });
        self.next_at = after(renew_s);
        self.transaction = None;
    }
}

/// The pause before the next attempt to keep an address, of which there will be no other kind before `until`.
fn renewal_pause(now: Instant, until: Instant) -> Duration {
    ((until - now) / 2).max(SHORTEST_RENEWAL_PAUSE).min(until - now)
}

/// The length of the prefix that addresses of this class had before there were masks, for a server that names none (RFC
/// 791).
fn natural_prefix_len(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

#[cfg(test)]
mod tests;
