//! The guest's idea of physical memory, where the hardware translates it.
//!
//! Source: `xen/include/public/memory.h`.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::types::{Domid, Gfn};

/// Gives a domain memory; the argument is a [`Reservation`]. Source: `XENMEM_populate_physmap`.
pub const XENMEM_POPULATE_PHYSMAP: usize = 6;
/// Puts a page of Xen's at a place of the guest's choice; the argument is an [`AddToPhysmap`]. Source:
/// `XENMEM_add_to_physmap`.
pub const XENMEM_ADD_TO_PHYSMAP: usize = 7;

/// The page is the shared info page. Source: `XENMAPSPACE_shared_info`.
pub const XENMAPSPACE_SHARED_INFO: u32 = 0;
/// The page is a frame of the grant table. Source: `XENMAPSPACE_grant_table`.
pub const XENMAPSPACE_GRANT_TABLE: u32 = 1;

/// A domain's grant table, as memory for the toolstack to map. Source: `XENMEM_resource_grant_table`.
pub const RESOURCE_GRANT_TABLE: u32 = 1;
/// Its entries. Source: `XENMEM_resource_grant_table_id_shared`.
pub const RESOURCE_GRANT_TABLE_SHARED: u32 = 0;

/// Argument of [`XENMEM_POPULATE_PHYSMAP`]. Source: `struct xen_memory_reservation`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct Reservation {
    /// In: address of an array of frames (`xen_pfn_t`), as a 64-bit guest handle. Each is where a run of pages is to be
    /// in the domain's memory; a paravirtualised domain's are replaced by the run's first machine frame.
    pub extent_start: u64,
    /// In: how many runs.
    pub nr_extents: u64,
    /// In: two to this power is the number of pages of each.
    pub extent_order: u32,
    /// In: `XENMEMF_*`.
    pub mem_flags: u32,
    /// In: whose memory.
    pub domid: Domid,
    /// Padding.
    pub pad: [u16; 3],
}

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

const _: () = assert!(size_of::<Reservation>() == 32 && offset_of!(Reservation, domid) == 24);
const _: () = assert!(size_of::<AddToPhysmap>() == 24 && offset_of!(AddToPhysmap, idx) == 8);
