//! The guest's idea of physical memory, where the hardware translates it.
//!
//! Source: `xen/include/public/memory.h`.

use core::mem::{offset_of, size_of};

use crate::types::{Domid, Gfn};

/// Puts a page of Xen's at a place of the guest's choice; the argument is an [`AddToPhysmap`]. Source:
/// `XENMEM_add_to_physmap`.
pub const XENMEM_ADD_TO_PHYSMAP: usize = 7;

/// The page is the shared info page. Source: `XENMAPSPACE_shared_info`.
pub const XENMAPSPACE_SHARED_INFO: u32 = 0;
/// The page is a frame of the grant table. Source: `XENMAPSPACE_grant_table`.
pub const XENMAPSPACE_GRANT_TABLE: u32 = 1;

/// Argument of [`XENMEM_ADD_TO_PHYSMAP`]. Source: `xen_add_to_physmap_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct AddToPhysmap {
    /// In: whose memory.
    pub domid: Domid,
    /// In: number of pages, in a space that takes ranges.
    pub size: u16,
    /// In: `XENMAPSPACE_*`.
    pub space: u32,
    /// In: which page of the space.
    pub idx: u64,
    /// In: where it is to appear.
    pub gpfn: Gfn,
}

const _: () = assert!(size_of::<AddToPhysmap>() == 24 && offset_of!(AddToPhysmap, idx) == 8);
