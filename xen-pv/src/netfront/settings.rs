//! What the toolstack and the backend write about the card, read strictly.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use smoltcp::wire::EthernetAddress;
use xen_sys::io::xenbus::XenbusState;
use xen_sys::types::Domid;

use crate::hypervisor;
use crate::xenstore::ErrorKind;
use crate::{decimal, grant_table};

/// The frontend's directory.
pub(super) const DEVICE: &str = "device/vif/0";
/// The largest Internet packet without the toolstack's word on it, and the largest that a frame's place holds.
const MTU_DEFAULT: u32 = 1500;
/// The smallest that a host must be able to handle (RFC 791).
const MTU_MIN: u32 = 576;

/// The card cannot be used.
///
/// The nodes that it names lie in the card's directory or its backend's, but for `vif`, the directory of all cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The store refused a request for this node.
    Store(ErrorKind, &'static str),
    /// The value of this node is not what belongs there.
    BadValue(&'static str),
    /// The backend cannot copy into granted pages, which all backends since 2009 can.
    NoRxCopy,
    /// The grant table has no room.
    Grant(grant_table::Error),
    /// The hypervisor gave no event channel.
    Event(hypervisor::Error),
    /// No memory is left for buffers.
    NoMemory,
    /// The backend has kept too many pages of former connections.
    Quarantine,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, of) = match self {
            Self::Store(kind, leaf) => (kind.name(), *leaf),
            Self::BadValue(leaf) => ("bad value", *leaf),
            Self::NoRxCopy => ("the backend lacks it", "feature-rx-copy"),
            Self::Grant(_) => ("the grant table is full", ""),
            Self::Event(error) => (error.name(), "event channel"),
            Self::NoMemory => ("no memory for buffers", ""),
            Self::Quarantine => ("the backend keeps the pages of former connections", ""),
        };
        for part in [of, if of.is_empty() { "" } else { ": " }, what] {
            formatter.write_str(part)?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {}

impl From<grant_table::Error> for Error {
    fn from(error: grant_table::Error) -> Self {
        Self::Grant(error)
    }
}

impl From<hypervisor::Error> for Error {
    fn from(error: hypervisor::Error) -> Self {
        Self::Event(error)
    }
}

/// `directory/leaf`.
pub(super) fn join(directory: &str, leaf: &str) -> String {
    let mut path = String::with_capacity(directory.len() + 1 + leaf.len());
    for part in &[directory, "/", leaf] {
        path.push_str(part);
    }
    path
}

/// What is known of the card before the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// The backend's directory.
    pub(super) backend: String,
    pub(super) backend_domain: Domid,
    pub(super) address: EthernetAddress,
    pub(super) mtu: usize,
}

impl Settings {
    /// What is read below [`DEVICE`].
    pub(super) const KEYS: [&'static str; 5] = ["backend", "backend-id", "mac", "mtu", "state"];

    /// Judges the values of the keys, in their order; `None` when there is no card.
    pub(super) fn parse(values: &[Option<Vec<u8>>]) -> Result<Option<Self>, Error> {
        let [Some(backend), Some(domain), Some(mac), mtu, _] = values else { return Ok(None) };
        let bad = |index: usize| Error::BadValue(Self::KEYS[index]);
        let backend = core::str::from_utf8(backend).ok().filter(|path| path.starts_with('/')).ok_or_else(|| bad(0))?;
        let mtu = mtu.as_deref().map_or(Some(MTU_DEFAULT as usize), mtu_value);
        Ok(Some(Self {
            backend: String::from(backend),
            backend_domain: domain_id(domain).ok_or_else(|| bad(1))?,
            address: mac_address(mac).ok_or_else(|| bad(2))?,
            mtu: mtu.ok_or_else(|| bad(3))?,
        }))
    }
}

/// What the backend shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) state: XenbusState,
    /// The toolstack wants the card to stay.
    pub(super) online: bool,
    /// `feature-*`; inner `None` for anything but 0 and 1.
    flags: [Option<bool>; 5],
}

/// What the backend can do, where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) split_event_channels: bool,
    pub(super) blank_checksums: bool,
    /// Takes segments of a TCP stream in one piece.
    pub(super) segments: bool,
}

impl Features {
    /// What is read below the backend's directory.
    pub(super) const KEYS: [&'static str; 7] = [
        "state",
        "online",
        "feature-rx-copy",
        "feature-split-event-channels",
        "feature-no-csum-offload",
        "feature-sg",
        "feature-gso-tcpv4",
    ];

    /// Reads the values of the keys, in their order.
    pub(super) fn parse(values: &[Option<Vec<u8>>]) -> Self {
        let value = |index: usize| values.get(index).and_then(Option::as_deref);
        Self {
            state: value(0).map_or(XenbusState::Unknown, state),
            online: value(1) != Some(b"0"),
            flags: [2, 3, 4, 5, 6].map(|index| value(index).map_or(Some(false), boolean)),
        }
    }

    /// Judges the features.
    pub(super) fn abilities(&self) -> Result<Abilities, Error> {
        let flag = |index: usize| self.flags[index].ok_or_else(|| Error::BadValue(Self::KEYS[2 + index]));
        if !flag(0)? {
            return Err(Error::NoRxCopy);
        }
        let blank_checksums = !flag(2)?;
        Ok(Abilities {
            split_event_channels: flag(1)?,
            blank_checksums,
            // Each segment gets a checksum of its own, from the backend.
            segments: flag(3)? && flag(4)? && blank_checksums,
        })
    }
}

/// A state as the other end shows it; anything else is unknown.
fn state(text: &[u8]) -> XenbusState {
    decimal::parse(text).and_then(XenbusState::from_number).unwrap_or(XenbusState::Unknown)
}

/// `0` or `1`.
fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

/// The number of an ordinary domain.
fn domain_id(text: &[u8]) -> Option<Domid> {
    let domain = decimal::parse(text)?;
    u16::try_from(domain).ok().filter(|domain| *domain < Domid::FIRST_RESERVED.0).map(Domid)
}

/// The size of the largest Internet packet; sizes that we cannot handle are replaced by the nearest that we can.
fn mtu_value(text: &[u8]) -> Option<usize> {
    Some(decimal::parse(text)?.clamp(MTU_MIN, MTU_DEFAULT) as usize)
}

/// Six bytes in hexadecimal with colons between, of one station.
fn mac_address(text: &[u8]) -> Option<EthernetAddress> {
    let text: &[u8; 17] = text.try_into().ok()?;
    let mut address = [0; 6];
    for (index, byte) in address.iter_mut().enumerate() {
        let digit = |at: usize| char::from(text[index * 3 + at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        if index < 5 && text[index * 3 + 2] != b':' {
            return None;
        }
    }
    Some(EthernetAddress(address)).filter(EthernetAddress::is_unicast)
}
