//! How the interface gets its address: `ip=dhcp`, or `ip=10.0.0.2/24 gateway=10.0.0.1 dns=10.0.0.1`. The gateway of an
//! address of 32 bits may be any host of the link.
//!
//! These keys stand next to the task's own on its command line. A gateway or name server that is given here wins over
//! what DHCP says.

use alloc::boxed::Box;
use core::net::Ipv4Addr;

use smoltcp::wire::Ipv4Cidr;

use crate::parameters::{Error, Parameters as CommandLine, split_once};

/// Where the interface's address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ip {
    /// A DHCP server of the network names it.
    #[default]
    Dhcp,
    /// It is this one.
    Static(Ipv4Cidr),
}

/// The network's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parameters {
    /// The interface's own address.
    pub ip: Ip,
    /// The router to everything outside our network.
    pub gateway: Option<Ipv4Addr>,
    /// The name server.
    pub dns: Option<Ipv4Addr>,
}

/// The keys, with words for what each takes.
pub const KEYS: [(&str, &str); 3] = [
    ("ip", "dhcp, or an address with its prefix length such as 10.0.0.2/24"),
    ("gateway", "an address such as 10.0.0.1"),
    ("dns", "an address such as 10.0.0.1"),
];

impl Parameters {
    /// Takes the network's keys from a command line. By hand: serde's code for three keys is twice as long.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn read(line: &mut CommandLine<'_>) -> Result<Self, Box<Error>> {
        let [(ip_key, ip_words), (gateway_key, host_words), (dns_key, _)] = KEYS;
        let ip = match line.text(ip_key) {
            None | Some("dhcp") => Ip::Dhcp,
            Some(text) => {
                let own = static_address(text).ok_or_else(|| Error::malformed(ip_key, text, ip_words))?;
                Ip::Static(own)
            }
        };
        let mut host_of = |key| match line.text(key) {
            None => Ok(None),
            Some(text) => host(text).map(Some).ok_or_else(|| Error::malformed(key, text, host_words)),
        };
        let (gateway, dns) = (host_of(gateway_key)?, host_of(dns_key)?);
        if let (Ip::Static(own), Some(gateway)) = (ip, gateway)
            && !own.contains_addr(&gateway)
            // An address that is a network of its own has its gateway outside.
            && own.prefix_len() < 32
        {
            let why = alloc::format!("parameter \"gateway\": {gateway} is not inside ip={own}");
            return Err(Error::malformed("", "", &why));
        }
        Ok(Self { ip, gateway, dns })
    }
}

/// Parses `a.b.c.d/length`, where the address is one that a host can have.
fn static_address(text: &str) -> Option<Ipv4Cidr> {
    let (address, length) = split_once(text, b'/')?;
    // As u64, which other parameters are read as: one parser less.
    let length: u64 = length.parse().ok().filter(|length| (1..=32).contains(length))?;
    Some(Ipv4Cidr::new(host(address)?, length as u8))
}

/// Parses the address of one host.
fn host(text: &str) -> Option<Ipv4Addr> {
    text.parse().ok().filter(|address| is_host(*address))
}

/// Whether an address can be that of one host.
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast() && !address.is_loopback()
}
