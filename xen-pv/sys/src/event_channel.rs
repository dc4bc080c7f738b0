//! Event channels.
//!
//! Source: `xen/include/public/event_channel.h`.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::types::{Domid, Port};

/// Binds a new port to one that another domain has opened; the argument is a [`BindInterdomain`]. Source:
/// `EVTCHNOP_bind_interdomain`.
pub const EVTCHNOP_BIND_INTERDOMAIN: usize = 0;
/// Closes a port; the argument is a [`Close`]. Source: `EVTCHNOP_close`.
pub const EVTCHNOP_CLOSE: usize = 3;
/// Sends an event; the argument is a [`Send`]. Source: `EVTCHNOP_send`.
pub const EVTCHNOP_SEND: usize = 4;
/// Asks what a port is bound to; the argument is a [`Status`]. Source: `EVTCHNOP_status`.
pub const EVTCHNOP_STATUS: usize = 5;
/// Opens a port for another domain to bind to; the argument is an [`AllocUnbound`]. Source: `EVTCHNOP_alloc_unbound`.
pub const EVTCHNOP_ALLOC_UNBOUND: usize = 6;

/// The other end is there. Source: `EVTCHNSTAT_interdomain`.
pub const EVTCHNSTAT_INTERDOMAIN: u32 = 2;

/// Argument of [`EVTCHNOP_BIND_INTERDOMAIN`]. Source: `evtchn_bind_interdomain_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BindInterdomain {
    /// In: the other domain.
    pub remote_dom: Domid,
    /// In: its port.
    pub remote_port: Port,
    /// Out: the new port.
    pub local_port: Port,
}

/// Argument of [`EVTCHNOP_STATUS`]. Source: `evtchn_status_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Status {
    /// In: whose port; an ordinary guest says [`Domid::SELF`].
    pub dom: Domid,
    /// In: the port.
    pub port: Port,
    /// Out: `EVTCHNSTAT_*`.
    pub status: u32,
    /// Out: the CPU that is told.
    pub vcpu: u32,
    /// Out: the other end's domain, where the status says that there may be one or is one.
    pub remote_dom: Domid,
    /// Out: the other end, where there is one.
    pub remote_port: Port,
}

/// Argument of [`EVTCHNOP_ALLOC_UNBOUND`]. Source: `evtchn_alloc_unbound_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
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

const _: () = assert!(size_of::<BindInterdomain>() == 12 && size_of::<Status>() == 24);
const _: () = assert!(size_of::<AllocUnbound>() == 8 && offset_of!(AllocUnbound, port) == 4);
const _: () = assert!(size_of::<Close>() == 4 && size_of::<Send>() == 4);
