//! How the interface gets its address: `ip=dhcp`, or `ip=10.0.0.2/24 gateway=10.0.0.1 dns=10.0.0.1`.
//!
//! These keys stand next to the task's own on its command line. A gateway or name server that is given here wins over
//! what DHCP says.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use smoltcp::wire::Ipv4Cidr;

use crate::parameters::split_once;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(try_from = "Fields")]
pub struct Parameters {
    /// The interface's own address.
    pub ip: Ip,
    /// The router to everything outside our network.
    pub gateway: Option<Ipv4Addr>,
    /// The name server.
    pub dns: Option<Ipv4Addr>,
}

/// The parameters as they are read, before it is known whether they agree.
#[derive(serde::Deserialize)]
struct Fields {
    ip: Option<Ip>,
    gateway: Option<Host>,
    dns: Option<Host>,
}

impl TryFrom<Fields> for Parameters {
    type Error = GatewayOutside;

    fn try_from(fields: Fields) -> Result<Self, GatewayOutside> {
        let ip = fields.ip.unwrap_or_default();
        let gateway = fields.gateway.map(|host| host.0);
        if let (Ip::Static(own), Some(gateway)) = (ip, gateway)
            && !own.contains_addr(&gateway)
        {
            return Err(GatewayOutside { gateway, own });
        }
        Ok(Self { ip, gateway, dns: fields.dns.map(|host| host.0) })
    }
}

/// The gateway cannot be reached from the interface's own network.
struct GatewayOutside {
    gateway: Ipv4Addr,
    own: Ipv4Cidr,
}

impl fmt::Display for GatewayOutside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parameter \"gateway\": {} is not inside ip={}", self.gateway, self.own)
    }
}

impl FromStr for Ip {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "dhcp" {
            return Ok(Ip::Dhcp);
        }
        static_address(text).map(Ip::Static).ok_or("dhcp, or an address with its prefix length such as 10.0.0.2/24")
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
pub(super) fn is_host(address: Ipv4Addr) -> bool {
    !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast()
}

/// The address of one host, as a parameter.
struct Host(Ipv4Addr);

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        host(text).map(Host).ok_or("an address such as 10.0.0.1")
    }
}

/// Reads a value that is written as text, whatever the format.
struct Text<T>(core::marker::PhantomData<T>);

impl<T: FromStr<Err = &'static str>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Ip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(core::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(core::marker::PhantomData))
    }
}
