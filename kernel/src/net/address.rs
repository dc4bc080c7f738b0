//! How the interface gets its address, keeps it, and tells the network about it.
//!
//! The first packets after a guest's boot can be lost, because a fast guest may send before the other end of its link is
//! part of the network. So everything at the start is repeated soon: DHCP asks again after a quarter of a second, then
//! after ever longer pauses, and a new address is announced several times.

use core::fmt;
use core::net::Ipv4Addr;

use smoltcp::iface::{Interface, SocketHandle};
use smoltcp::socket::{AnySocket, dhcpv4};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpCidr, Ipv4Cidr};

use super::deadline::sooner;
use super::sockets::Sockets;
use super::wakers::Wakers;
use super::{Error, Ip, Parameters};

/// The first pause before DHCP asks again; each is as long as all before it together.
const FIRST_DISCOVER_PAUSE: Duration = Duration::from_millis(250);

/// The longest such pause.
const LONGEST_DISCOVER_PAUSE: Duration = Duration::from_secs(16);

/// The first pause before DHCP repeats that it wants the address which it was offered.
const FIRST_REQUEST_PAUSE: Duration = Duration::from_millis(500);

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
    dhcp: Option<SocketHandle>,
    current: Option<Settings>,
    /// While DHCP looks for a server: since when.
    searching_since: Option<Instant>,
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
    pub(super) fn new(parameters: Parameters, sockets: &mut Sockets) -> Self {
        let dhcp = (parameters.ip == Ip::Dhcp).then(|| sockets.add_own(dhcpv4::Socket::new().upcast()));
        Self {
            parameters,
            dhcp,
            current: None,
            searching_since: None,
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
    pub(super) fn link_up(&mut self, interface: &mut Interface, sockets: &mut Sockets, now: Instant) {
        if let Some(dhcp) = self.dhcp {
            sockets.set.get_mut::<dhcpv4::Socket<'_>>(dhcp).reset();
            self.searching_since = Some(now);
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
    pub(super) fn turn(&mut self, interface: &mut Interface, sockets: &mut Sockets, now: Instant) -> bool {
        let Some(dhcp) = self.dhcp else { return false };
        let client = sockets.set.get_mut::<dhcpv4::Socket<'static>>(dhcp);
        if let Some(since) = self.searching_since {
            let mut retry = client.get_retry_config();
            retry.discover_timeout = (now - since).clamp(FIRST_DISCOVER_PAUSE, LONGEST_DISCOVER_PAUSE);
            retry.initial_request_timeout = FIRST_REQUEST_PAUSE;
            client.set_retry_config(retry);
        }
        let settings = match client.poll() {
            Some(dhcpv4::Event::Configured(lease)) => Some(self.settings_of(&lease)),
            Some(dhcpv4::Event::Deconfigured) => None,
            None if self.held_until.is_some_and(|until| until <= now) => {
                self.held_until = None;
                None
            }
            None => return false,
        };
        match settings {
            Some(settings) => {
                self.searching_since = None;
                self.held_until = None;
                crate::println!("network: {settings}");
                self.apply(settings, interface, now);
            }
            None if self.held_until.is_some() => return false,
            None => {
                self.searching_since.get_or_insert(now);
                self.lose(interface);
            }
        }
        true
    }

    fn settings_of(&self, lease: &dhcpv4::Config<'_>) -> Settings {
        let mut name_servers = [self.parameters.dns, None, None];
        if self.parameters.dns.is_none() {
            for (known, server) in name_servers.iter_mut().zip(&lease.dns_servers) {
                *known = Some(*server);
            }
        }
        Settings {
            address: lease.address,
            gateway: self.parameters.gateway.or(lease.router),
            name_servers,
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
        // The client also says that it has no address before it first had one.
        if let Some(settings) = self.current.take() {
            crate::println!("network: {} lost, asking for another", settings.address.address());
            set(interface, None);
        }
    }

    /// When there is something to do without a packet from outside.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let announcement = self.current.as_ref().and(self.next_announcement());
        sooner(announcement, self.held_until)
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
