//! Parameters that the toolstack leaves for a guest with hardware-translated memory.
//!
//! Source: `xen/include/public/hvm/hvm_op.h`, `xen/include/public/hvm/params.h`.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::types::Domid;

/// Sets a parameter; the argument is a [`Param`]. Source: `HVMOP_set_param`.
pub const HVMOP_SET_PARAM: usize = 0;
/// Reads a parameter; the argument is a [`Param`]. Source: `HVMOP_get_param`.
pub const HVMOP_GET_PARAM: usize = 1;

/// Frame of xenstore's ring. Source: `HVM_PARAM_STORE_PFN`.
pub const PARAM_STORE_PFN: u32 = 1;
/// Event channel of xenstore. Source: `HVM_PARAM_STORE_EVTCHN`.
pub const PARAM_STORE_EVTCHN: u32 = 2;
/// Frame of the console's ring. Source: `HVM_PARAM_CONSOLE_PFN`.
pub const PARAM_CONSOLE_PFN: u32 = 17;
/// Event channel of the console. Source: `HVM_PARAM_CONSOLE_EVTCHN`.
pub const PARAM_CONSOLE_EVTCHN: u32 = 18;

/// Argument of [`HVMOP_GET_PARAM`] and [`HVMOP_SET_PARAM`]. Source: `xen_hvm_param_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct Param {
    /// In: whose parameter.
    pub domid: Domid,
    /// Padding.
    pub pad: u16,
    /// In: which one.
    pub index: u32,
    /// Its value.
    pub value: u64,
}

const _: () = assert!(size_of::<Param>() == 16 && offset_of!(Param, value) == 8);
