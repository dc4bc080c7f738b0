//! What the toolstack and the backend write about the card, read strictly.

use alloc::string::String;
use core::fmt;

use smoltcp::wire::EthernetAddress;
use xen_sys::io::xenbus::XenbusState;
use xen_sys::types::Domid;

use crate::hypervisor;
use crate::xenstore::{self, Client, ErrorKind};
use crate::{decimal, grant_table};

/// The frontend's directory.
pub(super) const DEVICE: &str = "device/vif/0";
/// The largest Internet packet without the toolstack's word on it, and the largest that a frame's place holds.
const MTU_DEFAULT: u32 = 1500;
/// The smallest that a host must be able to handle (RFC 791).
const MTU_MIN: u32 = 576;

/// The card cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The store refused.
    Store(xenstore::Error),
    /// The value of this node is not what belongs there.
    BadValue(String),
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
        match self {
            Self::Store(error) => error.fmt(formatter),
            Self::BadValue(path) => {
                formatter.write_str("bad value of ")?;
                formatter.write_str(path)
            }
            Self::NoRxCopy => formatter.write_str("the backend has no feature-rx-copy"),
            Self::Grant(_) => formatter.write_str("the grant table is full"),
            Self::Event(error) => {
                formatter.write_str("no event channel: ")?;
                formatter.write_str(error.name())
            }
            Self::NoMemory => formatter.write_str("no memory for buffers"),
            Self::Quarantine => formatter.write_str("the backend keeps the pages of former connections"),
        }
    }
}

impl core::error::Error for Error {}

impl From<xenstore::Error> for Error {
    fn from(error: xenstore::Error) -> Self {
        Self::Store(error)
    }
}

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
    [directory, "/", leaf].concat()
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
    /// Reads them; `None` when there is no card.
    pub(super) async fn read<H: hypervisor::Hypervisor>(client: &Client<H>) -> Result<Option<Self>, Error> {
        let paths = ["backend", "backend-id", "mac", "mtu"].map(|leaf| join(DEVICE, leaf));
        // All are asked for before the first answer is waited for.
        let [backend, domain, mac, mtu] = paths.each_ref().map(|path| client.read(path));
        let Some(backend) = present(backend.await)? else { return Ok(None) };
        let Some(domain) = present(domain.await)? else { return Ok(None) };
        let Some(mac) = present(mac.await)? else { return Ok(None) };
        let mtu = present(mtu.await)?;
        let bad = |index: usize| Error::BadValue(paths[index].clone());
        Ok(Some(Self {
            backend: String::from_utf8(backend).ok().filter(|path| path.starts_with('/')).ok_or_else(|| bad(0))?,
            backend_domain: domain_id(&domain).ok_or_else(|| bad(1))?,
            address: mac_address(&mac).ok_or_else(|| bad(2))?,
            mtu: mtu.map_or(Some(MTU_DEFAULT as usize), |text| mtu_value(&text)).ok_or_else(|| bad(3))?,
        }))
    }
}

/// What the backend can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) split_event_channels: bool,
    pub(super) blank_checksums: bool,
}

impl Features {
    /// Reads them.
    pub(super) async fn read<H: hypervisor::Hypervisor>(client: &Client<H>, backend: &str) -> Result<Self, Error> {
        let paths = ["feature-rx-copy", "feature-split-event-channels", "feature-no-csum-offload"]
            .map(|leaf| join(backend, leaf));
        let requests = paths.each_ref().map(|path| client.read(path));
        let mut flags = [false; 3];
        for ((request, path), flag) in requests.into_iter().zip(&paths).zip(&mut flags) {
            if let Some(text) = present(request.await)? {
                *flag = boolean(&text).ok_or_else(|| Error::BadValue(path.clone()))?;
            }
        }
        let [rx_copy, split_event_channels, no_checksum_offload] = flags;
        if !rx_copy {
            return Err(Error::NoRxCopy);
        }
        Ok(Self { split_event_channels, blank_checksums: !no_checksum_offload })
    }
}

/// A value, or `None` when there is no such node.
fn present<T>(outcome: Result<T, xenstore::Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Store(error)),
    }
}

/// A state as the other end shows it; anything else is unknown.
pub(super) fn state(text: &[u8]) -> XenbusState {
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
