//! Page tables as a whole.
//!
//! Source: `xen/include/public/xen.h`.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Has a page counted as a table of level 4, and what it leads to as what it is, for good. Source: `MMUEXT_PIN_L4_TABLE`.
pub const MMUEXT_PIN_L4_TABLE: u32 = 3;

/// Argument of the hypercall. Source: `struct mmuext_op`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct MmuextOp {
    /// In: which operation.
    pub cmd: u32,
    /// Padding.
    pub pad: u32,
    /// In: the page's machine frame.
    pub mfn: u64,
    /// In: of other operations.
    pub second: u64,
}

const _: () = assert!(size_of::<MmuextOp>() == 24);
