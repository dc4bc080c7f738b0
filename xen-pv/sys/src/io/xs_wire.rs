//! The messages of xenstore and the page that carries them.
//!
//! Source: `xen/include/public/io/xs_wire.h`.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What a message asks or tells. Source: `enum xsd_sockmsg_type`.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// Lists the children of a node. Source: `XS_DIRECTORY`.
    Directory = 1,
    /// Reads a node's value. Source: `XS_READ`.
    Read = 2,
    /// Reads a node's permissions. Source: `XS_GET_PERMS`.
    GetPermissions = 3,
    /// Watches a path. Source: `XS_WATCH`.
    Watch = 4,
    /// Ends a watch. Source: `XS_UNWATCH`.
    Unwatch = 5,
    /// Starts a transaction. Source: `XS_TRANSACTION_START`.
    TransactionStart = 6,
    /// Ends a transaction. Source: `XS_TRANSACTION_END`.
    TransactionEnd = 7,
    /// Writes a node's value, creating it where needed. Source: `XS_WRITE`.
    Write = 11,
    /// Creates a node. Source: `XS_MKDIR`.
    MakeDirectory = 12,
    /// Removes a node and all below it. Source: `XS_RM`.
    Remove = 13,
    /// Sets a node's permissions. Source: `XS_SET_PERMS`.
    SetPermissions = 14,
    /// From the store: something below a watched path has changed. Source: `XS_WATCH_EVENT`.
    WatchEvent = 15,
    /// From the store: the request failed. Source: `XS_ERROR`.
    Error = 16,
    /// Ends all watches of the connection. Source: `XS_RESET_WATCHES`.
    ResetWatches = 21,
}

/// The start of each message; `len` bytes of payload follow. Source: `struct xsd_sockmsg`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
pub struct MessageHeader {
    /// A [`MessageType`].
    pub kind: u32,
    /// Chosen by the asker; the reply carries it.
    pub req_id: u32,
    /// Transaction, 0 for none.
    pub tx_id: u32,
    /// Bytes of payload.
    pub len: u32,
}

/// Bytes of each ring. Source: `XENSTORE_RING_SIZE`.
pub const RING_SIZE: usize = 1024;
/// The largest payload in bytes. Source: `XENSTORE_PAYLOAD_MAX`.
pub const PAYLOAD_MAX: usize = 4096;
/// The longest absolute path in bytes. Source: `XENSTORE_ABS_PATH_MAX`.
pub const ABSOLUTE_PATH_MAX: usize = 3072;
/// The longest path relative to the domain's own directory, in bytes. Source: `XENSTORE_REL_PATH_MAX`.
pub const RELATIVE_PATH_MAX: usize = 2048;

/// The store can start the connection anew when asked. Source: `XENSTORE_SERVER_FEATURE_RECONNECTION`.
pub const SERVER_FEATURE_RECONNECTION: u32 = 1;
/// The store says in `error` why it stopped. Source: `XENSTORE_SERVER_FEATURE_ERROR`.
pub const SERVER_FEATURE_ERROR: u32 = 2;
/// The connection works. Source: `XENSTORE_CONNECTED`.
pub const CONNECTED: u32 = 0;
/// The connection is to be started anew. Source: `XENSTORE_RECONNECT`.
pub const RECONNECT: u32 = 1;

/// The page shared with the store: two rings of bytes with free-running indices. Source: `struct
/// xenstore_domain_interface`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct DomainInterface {
    /// Requests to the store.
    pub req: [u8; RING_SIZE],
    /// Replies and watch events.
    pub rsp: [u8; RING_SIZE],
    /// Written by the store.
    pub req_cons: u32,
    /// Written by the guest.
    pub req_prod: u32,
    /// Written by the guest.
    pub rsp_cons: u32,
    /// Written by the store.
    pub rsp_prod: u32,
    /// `SERVER_FEATURE_*`.
    pub server_features: u32,
    /// [`CONNECTED`] or [`RECONNECT`].
    pub connection: u32,
    /// Why the store stopped serving this connection, 0 while it serves.
    pub error: u32,
}

const _: () = assert!(size_of::<MessageHeader>() == 16 && offset_of!(MessageHeader, len) == 12);
const _: () = assert!(size_of::<DomainInterface>() == 2076);
const _: () = assert!(offset_of!(DomainInterface, req_cons) == 2048 && offset_of!(DomainInterface, rsp_prod) == 2060);
