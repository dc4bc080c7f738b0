//! Network cards. TX and RX are named from the frontend.
//!
//! Source: `xen/include/public/io/netif.h`.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, IntoBytes};

use crate::types::{Claimed, GrantRef};

/// Slots of one packet that every backend accepts. Source: `XEN_NETIF_NR_SLOTS_MIN`.
pub const NR_SLOTS_MIN: usize = 18;
/// The largest packet in bytes. Source: `XEN_NETIF_MAX_TX_SIZE`.
pub const MAX_TX_SIZE: usize = 0xffff;

/// The transport checksum still has to be filled in. Source: `NETTXF_csum_blank`.
pub const TXF_CSUM_BLANK: u16 = 1 << 0;
/// The data is known to be intact. Source: `NETTXF_data_validated`.
pub const TXF_DATA_VALIDATED: u16 = 1 << 1;
/// The packet goes on in the next slot. Source: `NETTXF_more_data`.
pub const TXF_MORE_DATA: u16 = 1 << 2;
/// The next slot is an [`ExtraInfo`]. Source: `NETTXF_extra_info`.
pub const TXF_EXTRA_INFO: u16 = 1 << 3;

/// The data is known to be intact. Source: `NETRXF_data_validated`.
pub const RXF_DATA_VALIDATED: u16 = 1 << 0;
/// The transport checksum was never filled in. Source: `NETRXF_csum_blank`.
pub const RXF_CSUM_BLANK: u16 = 1 << 1;
/// The packet goes on in the next slot. Source: `NETRXF_more_data`.
pub const RXF_MORE_DATA: u16 = 1 << 2;
/// The next slot is an [`ExtraInfo`]. Source: `NETRXF_extra_info`.
pub const RXF_EXTRA_INFO: u16 = 1 << 3;
/// Obsolete. Source: `NETRXF_gso_prefix`.
pub const RXF_GSO_PREFIX: u16 = 1 << 4;

/// Never valid. Source: `XEN_NETIF_EXTRA_TYPE_NONE`.
pub const EXTRA_TYPE_NONE: u8 = 0;
/// Segmentation offload. Source: `XEN_NETIF_EXTRA_TYPE_GSO`.
pub const EXTRA_TYPE_GSO: u8 = 1;
/// The first number that is no type. Source: `XEN_NETIF_EXTRA_TYPE_MAX`.
pub const EXTRA_TYPE_MAX: u8 = 5;
/// Another extra follows. Source: `XEN_NETIF_EXTRA_FLAG_MORE`.
pub const EXTRA_FLAG_MORE: u8 = 1;
/// Segments of TCP over IPv4. Source: `XEN_NETIF_GSO_TYPE_TCPV4`.
pub const GSO_TYPE_TCPV4: u8 = 1;

/// The packet was dropped. Source: `NETIF_RSP_DROPPED`.
pub const RSP_DROPPED: i16 = -2;
/// The request was wrong. Source: `NETIF_RSP_ERROR`.
pub const RSP_ERROR: i16 = -1;
/// Done. Source: `NETIF_RSP_OKAY`.
pub const RSP_OKAY: i16 = 0;
/// No response: the slot held an extra. Source: `NETIF_RSP_NULL`.
pub const RSP_NULL: i16 = 1;

/// A buffer to send. Source: `netif_tx_request_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes)]
pub struct TxRequest {
    /// The buffer's page.
    pub gref: GrantRef,
    /// Where the data starts in the page.
    pub offset: u16,
    /// `TXF_*`.
    pub flags: u16,
    /// Comes back in the response.
    pub id: u16,
    /// In the first slot the size of the whole packet, in others of the fragment, in bytes.
    pub size: u16,
}

/// The buffer is free again. Source: `netif_tx_response_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes)]
pub struct TxResponse {
    /// The request's.
    pub id: Claimed,
    /// `RSP_*`.
    pub status: i16,
}

/// A buffer to be filled. Source: `netif_rx_request_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes)]
pub struct RxRequest {
    /// Comes back in the response.
    pub id: u16,
    /// Padding.
    pub pad: u16,
    /// The buffer's page.
    pub gref: GrantRef,
}

/// A buffer has been filled. Source: `netif_rx_response_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes)]
pub struct RxResponse {
    /// The request's.
    pub id: Claimed,
    /// Where the data starts in the page.
    pub offset: Claimed,
    /// `RXF_*`.
    pub flags: u16,
    /// Bytes of data; negative is an error, `RSP_*`.
    pub status: i16,
}

/// Says more about a packet, in a slot of its own after the packet's first. Source: `netif_extra_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes)]
pub struct ExtraInfo {
    /// `EXTRA_TYPE_*`.
    pub kind: u8,
    /// `EXTRA_FLAG_*`.
    pub flags: u8,
    /// For [`EXTRA_TYPE_GSO`]: payload bytes of each segment.
    pub gso_size: u16,
    /// For [`EXTRA_TYPE_GSO`]: `GSO_TYPE_*`.
    pub gso_kind: u8,
    /// Padding.
    pub gso_pad: u8,
    /// For [`EXTRA_TYPE_GSO`]: extra features, none of which is defined.
    pub gso_features: u16,
}

const _: () = assert!(size_of::<TxRequest>() == 12 && offset_of!(TxRequest, id) == 8);
const _: () = assert!(size_of::<TxResponse>() == 4 && offset_of!(TxResponse, status) == 2);
const _: () = assert!(size_of::<RxRequest>() == 8 && offset_of!(RxRequest, gref) == 4);
const _: () = assert!(size_of::<RxResponse>() == 8 && offset_of!(RxResponse, status) == 6);
const _: () = assert!(size_of::<ExtraInfo>() == 8 && offset_of!(ExtraInfo, gso_size) == 2);
