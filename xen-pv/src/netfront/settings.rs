//! What the toolstack and the backend write about a card, read strictly.

use kernel::net::station_address;
use smoltcp::wire::EthernetAddress;

use crate::decimal;
use crate::xenbus::{Error, Values};

/// The largest Internet packet without the toolstack's word on it, and the largest that a frame's place holds.
const MTU_DEFAULT: u32 = 1500;
/// The smallest that a host must be able to handle (RFC 791).
const MTU_MIN: u32 = 576;

/// What the toolstack says about a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub(super) address: EthernetAddress,
    pub(super) mtu: usize,
}

impl Settings {
    /// Judges what is written in the card's directory; `None` while it has no address.
    pub(super) fn parse(values: &Values<'_>) -> Result<Option<Self>, Error> {
        let Some(mac) = values.get("mac") else { return Ok(None) };
        let address = station_address(mac).ok_or(Error::BadValue("mac"))?;
        let mtu = values.get("mtu").map_or(Some(MTU_DEFAULT as usize), mtu_value).ok_or(Error::BadValue("mtu"))?;
        Ok(Some(Self { address, mtu }))
    }
}

/// What the backend can do, where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) split_event_channels: bool,
    pub(super) blank_checksums: bool,
    /// Takes segments of a TCP stream in one piece.
    pub(super) segments: bool,
}

impl Abilities {
    /// Judges what is written in the backend's directory.
    pub(super) fn judge(features: &Values<'_>) -> Result<Self, Error> {
        // All backends since 2009 can copy into granted pages.
        if !features.flag("feature-rx-copy")? {
            return Err(Error::Lacking("feature-rx-copy"));
        }
        let blank_checksums = !features.flag("feature-no-csum-offload")?;
        let takes_chains = features.flag("feature-sg")? && features.flag("feature-gso-tcpv4")?;
        Ok(Self {
            split_event_channels: features.flag("feature-split-event-channels")?,
            blank_checksums,
            // Each segment gets a checksum of its own, from the backend.
            segments: takes_chains && blank_checksums,
        })
    }
}

/// The size of the largest Internet packet; sizes that we cannot handle are replaced by the nearest that we can.
fn mtu_value(text: &[u8]) -> Option<usize> {
    Some(decimal::parse(text)?.clamp(MTU_MIN, MTU_DEFAULT) as usize)
}
