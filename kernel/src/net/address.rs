//! How the interface gets its address, keeps it, and tells the network about it.
//!
//! The first packets after a guest's boot can be lost, because a fast guest may send before the other end of its link is
//! part of the network. So everything at the start is repeated soon: DHCP asks again after a quarter of a second, then
//! after ever longer pauses, and a new address is announced several times.

use core::fmt;
use core::net::Ipv4Addr;

use smoltcp::iface::Interface;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpCidr, Ipv4Cidr};

use super::deadline::sooner;
use super::dhcp::{Client, Lease};
use super::wakers::Wakers;
use super::{Error, Ip, Parameters};

/// How long after a link came back an address from before it is kept while DHCP is asked anew: connections survive if
/// it is given to us again.
const HOLD: Duration = Duration::from_secs(30);

/// When, after an address was set, it is announced.
const ANNOUNCEMENTS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1500),
];

/// The name servers that are used, the best first.
pub(super) type NameServers = [Option<Ipv4Addr>; 3];

/// The interface's address and where it comes from.
pub(super) struct Addressing {
    parameters: Parameters,
    /// The DHCP client, unless the address is static.
    pub(super) dhcp: Option<Client>,
    current: Option<Settings>,
    /// Until when an address from before the link went down is kept.
    held_until: Option<Instant>,
    /// When the address was set, and how often it has been announced.
    announced: (Instant, usize),
    /// Those who wait for an address.
    pub(super) waiting: Wakers,
}

/// What the interface is set to.
#[derive(Clone, Copy)]
struct Settings {
    address: Ipv4Cidr,
    gateway: Option<Ipv4Addr>,
    name_servers: NameServers,
    origin: &'static str,
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
    pub(super) fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            dhcp: (parameters.ip == Ip::Dhcp).then(Client::new),
            current: None,
            held_until: None,
            announced: (Instant::ZERO, ANNOUNCEMENTS.len()),
            waiting: Wakers::default(),
        }
    }

    /// The interface's address and network.
    pub(super) fn address(&self) -> Option<Ipv4Cidr> {
        self.current.as_ref().map(|settings| settings.address)
    }

    /// True if packets can leave our network.
    pub(super) fn has_gateway(&self) -> bool {
        self.current.as_ref().is_some_and(|settings| settings.gateway.is_some())
    }

    /// The name servers to ask.
    pub(super) fn name_servers(&self) -> Result<NameServers, Error> {
        let servers = self.current.ok_or(Error::NoAddress)?.name_servers;
        servers[0].map(|_| servers).ok_or(Error::NoNameServer)
    }

    /// The link came up, with a new interface: sets the address, or looks for one.
    pub(super) fn link_up(&mut self, interface: &mut Interface, now: Instant) {
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
            crate::println!("network: {settings}");
            self.apply(settings, interface, now);
        }
    }

    /// Follows what DHCP says. Returns whether anything changed.
    pub(super) fn turn(&mut self, interface: &mut Interface, now: Instant) -> bool {
        let Some(dhcp) = &mut self.dhcp else { return false };
        let news = dhcp.news(now);
        let held_too_long = self.held_until.is_some_and(|until| until <= now);
        match news {
            Some(Some(lease)) => {
                let settings = self.settings_of(lease);
                self.held_until = None;
                crate::println!("network: {settings}");
                self.apply(settings, interface, now);
            }
            Some(None) if self.held_until.is_none() => self.lose(interface),
            _ if held_too_long => {
                self.held_until = None;
                self.lose(interface);
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
        self.announced = (now, 0);
        self.waiting.wake();
    }

    fn lose(&mut self, interface: &mut Interface) {
        if let Some(settings) = self.current.take() {
            crate::println!("network: {} lost, asking for another", settings.address.address());
            set(interface, None);
        }
    }

    /// When there is something to do without a packet from outside.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let announcement = self.current.as_ref().and(self.next_announcement());
        let own = sooner(announcement, self.held_until);
        sooner(own, self.dhcp.as_ref().and_then(Client::next_deadline))
    }

    fn next_announcement(&self) -> Option<Instant> {
        let (since, count) = self.announced;
        ANNOUNCEMENTS.get(count).map(|pause| since + *pause)
    }

    /// The ARP request to send now, as own address and address asked for, if one is due.
    ///
    /// It asks for the gateway, so that the answer is there when the first packet needs it; without a gateway it asks
    /// for our own address. Everybody who hears it learns where we are.
    pub(super) fn announcement(&self, now: Instant) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let settings = self.current.as_ref()?;
        self.next_announcement().filter(|at| *at <= now)?;
        let own = settings.address.address();
        let gateway = settings.gateway.filter(|gateway| settings.address.contains_addr(gateway));
        Some((own, gateway.unwrap_or(own)))
    }

    /// The announcement was sent.
    pub(super) fn announced(&mut self) {
        self.announced.1 += 1;
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
    if let Some(gateway) = settings.and_then(|settings| settings.gateway) {
        // The table has room for more than this one.
        let _ = interface.routes_mut().add_default_ipv4_route(gateway);
    }
}
