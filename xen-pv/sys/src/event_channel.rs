//! Event channels.
//!
//! Source: `xen/include/public/event_channel.h`.

use core::mem::{offset_of, size_of};

use crate::types::{Domid, Port};

/// Closes a port; the argument is a [`Close`]. Source: `EVTCHNOP_close`.
pub const EVTCHNOP_CLOSE: usize = 3;
/// Sends an event; the argument is a [`Send`]. Source: `EVTCHNOP_send`.
pub const EVTCHNOP_SEND: usize = 4;
/// Opens a port for another domain to bind to; the argument is an [`AllocUnbound`]. Source: `EVTCHNOP_alloc_unbound`.
pub const EVTCHNOP_ALLOC_UNBOUND: usize = 6;

/// Argument of [`EVTCHNOP_ALLOC_UNBOUND`]. Source: `evtchn_alloc_unbound_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct AllocUnbound {
    /// In: whose port; an ordinary guest says [`Domid::SELF`].
    pub dom: Domid,
    /// In: who may bind.
    pub remote_dom: Domid,
    /// Out: the port.
    pub port: Port,
}

/// Argument of [`EVTCHNOP_CLOSE`]. Source: `evtchn_close_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Close {
    /// The port.
    pub port: Port,
}

/// Argument of [`EVTCHNOP_SEND`]. Source: `evtchn_send_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Send {
    /// The sender's own end.
    pub port: Port,
}

const _: () = assert!(size_of::<AllocUnbound>() == 8 && offset_of!(AllocUnbound, port) == 4);
const _: () = assert!(size_of::<Close>() == 4 && size_of::<Send>() == 4);
