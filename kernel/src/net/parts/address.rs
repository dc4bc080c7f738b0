//! How the interface gets its address, keeps it, and tells the network about it.
//!
//! The first packets after a guest's boot can be lost, because a fast guest may send before the other end of its link
//! is part of the network. So everything at the start is repeated soon: DHCP asks again after a quarter of a second,
//! then after ever longer pauses, and a new address is announced several times.

use core::fmt;
use core::net::Ipv4Addr;

use smoltcp::iface::Interface;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpCidr, Ipv4Cidr};

use super::deadline::sooner;
use super::dhcp::{Client, Event, Lease, NameServers};
use super::distant::DistantGateway;
use super::notices::Notices;
use super::wakers::Wakers;
use crate::entropy::Generator;
use crate::net::error::Error;
use crate::net::parameters::{Ip, Parameters};

/// How long after a link came back an address from before it is kept while DHCP is asked anew: connections survive if
/// it is given to us again.
const HOLD: Duration = Duration::from_secs(30);

/// The pause after an address was announced for the first time. Each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The pause after which the address is announced for the last time.
const LAST_PAUSE: Duration = Duration::from_millis(800);

/// The longest pause between two ARP requests for the gateway while there is traffic. `smoltcp` forgets a neighbour from
/// which nothing came for a minute. A gateway passes on what others send, and so may be forgotten while it is in use.
const LONGEST_PAUSE: Duration = Duration::from_secs(25);

/// The interface's address and where it comes from.
pub(crate) struct Addressing {
    parameters: Parameters,
    /// The DHCP client, unless the address is static.
    pub(crate) dhcp: Option<Client>,
    current: Option<Settings>,
    /// Until when an address from before the link went down is kept.
    held_until: Option<Instant>,
    /// When the address is announced next, and the pause after that.
    next_announcement: Instant,
    pause: Duration,
    /// Neighbours to ask for, or 0.0.0.0. Where there are more, those left out are wanted again a little later.
    wanted_neighbours: [Ipv4Addr; 4],
    /// Those who wait for an address.
    pub(crate) waiting: Wakers,
    pub(crate) notices: Notices,
}

/// What the interface is set to.
#[derive(Clone, Copy)]
struct Settings {
    address: Ipv4Cidr,
    gateway: Option<Ipv4Addr>,
    name_servers: NameServers,
    origin: &'static str,
}

impl Settings {
    fn distant_gateway(&self) -> Option<DistantGateway> {
        let gateway = self.gateway.filter(|gateway| !self.address.contains_addr(gateway))?;
        Some(DistantGateway { own: self.address.address(), gateway })
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address.address(), self.address.prefix_len())?;
        if let Some(gateway) = self.gateway {
            write!(f, " gateway {gateway}")?;
        }
        write!(f, " ({})", self.origin)
    }
}

impl Addressing {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            dhcp: (parameters.ip == Ip::Dhcp).then(Client::new),
            current: None,
            held_until: None,
            next_announcement: Instant::ZERO,
            pause: FIRST_PAUSE,
            wanted_neighbours: [Ipv4Addr::UNSPECIFIED; 4],
            waiting: Wakers::default(),
            notices: Notices::default(),
        }
    }

    /// The interface's address and network.
    pub(crate) fn address(&self) -> Option<Ipv4Cidr> {
        self.current.as_ref().map(|settings| settings.address)
    }

    /// The gateway, if it is outside of our network.
    pub(crate) fn distant_gateway(&self) -> Option<DistantGateway> {
        self.current.as_ref().and_then(Settings::distant_gateway)
    }

    /// True if packets can leave our network.
    pub(crate) fn has_gateway(&self) -> bool {
        self.current.as_ref().is_some_and(|settings| settings.gateway.is_some())
    }

    /// The name servers to ask.
    pub(crate) fn name_servers(&self) -> Result<NameServers, Error> {
        let servers = self.current.ok_or(Error::NoAddress)?.name_servers;
        servers[0].map(|_| servers).ok_or(Error::NoNameServer)
    }

    /// The link came up, with a new interface: sets the address, or looks for one.
    pub(crate) fn link_up(&mut self, interface: &mut Interface, now: Instant) {
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.restart(now);
            self.held_until = self.current.is_some().then_some(now + HOLD);
            if let Some(settings) = self.current {
                self.apply(settings, interface, now);
            }
        } else if let Ip::Static(address) = self.parameters.ip {
            let settings = Settings {
                address,
                gateway: self.parameters.gateway,
                name_servers: [self.parameters.dns, None, None],
                origin: "static",
            };
            self.notices.say(now, format_args!("{settings}"));
            self.apply(settings, interface, now);
        }
    }

    /// Follows what DHCP says. Returns whether anything changed.
    pub(crate) fn poll(&mut self, interface: &mut Interface, random: &Generator, now: Instant) -> bool {
        let Some(dhcp) = &mut self.dhcp else { return false };
        let event = dhcp.poll(random, now);
        let held_too_long = self.held_until.is_some_and(|until| until <= now);
        match event {
            Some(Event::Bound(lease)) => {
                let settings = self.settings_of(lease);
                self.held_until = None;
                self.notices.say(now, format_args!("{settings}"));
                self.apply(settings, interface, now);
            }
            Some(Event::Lost) if self.held_until.is_none() => self.lose(interface, now),
            _ if held_too_long => {
                self.held_until = None;
                self.lose(interface, now);
            }
            _ => return false,
        }
        true
    }

    fn settings_of(&self, lease: Lease) -> Settings {
        let own_choice = self.parameters.dns.map(|server| [Some(server), None, None]);
        Settings {
            address: lease.address,
            gateway: self.parameters.gateway.or(lease.gateway),
            name_servers: own_choice.unwrap_or(lease.name_servers),
            origin: "dhcp",
        }
    }

    fn apply(&mut self, settings: Settings, interface: &mut Interface, now: Instant) {
        set(interface, Some(&settings));
        self.current = Some(settings);
        self.next_announcement = now;
        self.pause = FIRST_PAUSE;
        self.wanted_neighbours = [Ipv4Addr::UNSPECIFIED; 4];
        self.waiting.wake();
    }

    fn lose(&mut self, interface: &mut Interface, now: Instant) {
        if let Some(settings) = self.current.take() {
            self.notices.say(now, format_args!("{} lost, asking for another", settings.address.address()));
            set(interface, None);
        }
    }

    /// When there is something to do without a packet from outside.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let announcement = self.current.as_ref().filter(|_| self.announces()).map(|_| self.next_announcement);
        let own = sooner(announcement, self.held_until);
        sooner(own, self.dhcp.as_ref().and_then(Client::next_deadline))
    }

    /// Whether the next announcement is one, and not only a question for the gateway.
    fn announces(&self) -> bool {
        self.pause <= LAST_PAUSE * 2
    }

    /// Somebody of ours has tried in vain to send to this host: whoever it is to be reached through is asked for.
    ///
    /// `smoltcp` asks too, but for one neighbour a second, whoever wants to reach it. Frames from forged neighbours
    /// have it ask for them, without end and without an answer, and then it never asks for those whom a task wants to
    /// talk to. What they answer to a question of ours it learns as if it were its own.
    pub(crate) fn request_neighbour(&mut self, host: Ipv4Addr) {
        let Some(settings) = &self.current else { return };
        let direct = Some(host).filter(|host| settings.address.contains_addr(host));
        let Some(neighbour) = direct.or(settings.gateway) else { return };
        if !self.wanted_neighbours.contains(&neighbour)
            && let Some(place) = self.wanted_neighbours.iter_mut().find(|place| place.is_unspecified())
        {
            *place = neighbour;
        }
    }

    /// The ARP request to send now, as own address and address asked for, if one is due.
    ///
    /// An announcement asks for the gateway, so that the answer is there when the first packet needs it; without a
    /// gateway it asks for our own address. Everybody who hears it learns where we are.
    pub(crate) fn next_arp_request(&self, now: Instant) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let settings = self.current.as_ref()?;
        let own = settings.address.address();
        if self.next_announcement <= now
            && let Some(asked) = settings.gateway.or(self.announces().then_some(own))
        {
            return Some((own, asked));
        }
        self.wanted_neighbours.iter().find(|place| !place.is_unspecified()).map(|asked| (own, *asked))
    }

    /// The address was asked for.
    pub(crate) fn arp_request_sent(&mut self, asked: Ipv4Addr, now: Instant) {
        if let Some(place) = self.wanted_neighbours.iter_mut().find(|place| **place == asked) {
            *place = Ipv4Addr::UNSPECIFIED;
        }
        if self.next_announcement <= now {
            self.next_announcement = now + self.pause;
            self.pause = LONGEST_PAUSE.min(self.pause * 2);
        }
    }
}

/// Sets, or clears, all that `smoltcp` knows about addresses.
fn set(interface: &mut Interface, settings: Option<&Settings>) {
    interface.update_ip_addrs(|addresses| {
        addresses.clear();
        // The list has room for more than this one.
        let _ = settings.map(|settings| addresses.push(IpCidr::Ipv4(settings.address)));
    });
    interface.routes_mut().remove_default_ipv4_route();
    if let Some(settings) = settings
        && let Some(gateway) = settings.gateway
    {
        let next_hop = settings.distant_gateway().map_or(gateway, |distant| distant.own);
        // The table has room for more than this one.
        let _ = interface.routes_mut().add_default_ipv4_route(next_hop);
    }
}
