//! Grant tables, version 1.
//!
//! Source: `xen/include/public/grant_table.h`.

use core::mem::{offset_of, size_of};

use zerocopy::{Immutable, IntoBytes};

use crate::types::{Domid, GrantRef, PAGE_SIZE};

/// Maps pages of other domains; the arguments are [`MapGrantRef`]s. Source: `GNTTABOP_map_grant_ref`.
pub const GNTTABOP_MAP_GRANT_REF: usize = 0;
/// Ends that; the arguments are [`UnmapGrantRef`]s. Source: `GNTTABOP_unmap_grant_ref`.
pub const GNTTABOP_UNMAP_GRANT_REF: usize = 1;
/// Asks for the frames of the table; the argument is a [`SetupTable`]. Source: `GNTTABOP_setup_table`.
pub const GNTTABOP_SETUP_TABLE: usize = 2;
/// Asks how large the table is and may become; the argument is a [`QuerySize`]. Source: `GNTTABOP_query_size`.
pub const GNTTABOP_QUERY_SIZE: usize = 6;

/// The operation succeeded. Source: `GNTST_okay`.
pub const GNTST_OKAY: i16 = 0;
/// It did not, for no reason with a name. Source: `GNTST_general_error`.
pub const GNTST_GENERAL_ERROR: i16 = -1;
/// There is no room for another mapping. Source: `GNTST_no_device_space`.
pub const GNTST_NO_DEVICE_SPACE: i16 = -7;

/// The page becomes memory of the domain, for its CPUs. Source: `GNTMAP_host_map`.
pub const GNTMAP_HOST_MAP: u32 = 1 << 1;
/// It can only be read. Source: `GNTMAP_readonly`.
pub const GNTMAP_READONLY: u32 = 1 << 2;

/// Entries at the start of the table that the toolstack may fill. Source: `GNTTAB_NR_RESERVED_ENTRIES`.
pub const RESERVED_ENTRIES: u32 = 8;
/// That of the console's page. Source: `GNTTAB_RESERVED_CONSOLE`.
pub const RESERVED_CONSOLE: usize = 0;
/// That of xenstore's page. Source: `GNTTAB_RESERVED_XENSTORE`.
pub const RESERVED_XENSTORE: usize = 1;
/// Entries in each frame of the table.
pub const ENTRIES_PER_FRAME: usize = PAGE_SIZE / size_of::<EntryV1>();

/// The entry grants nothing. Source: `GTF_invalid`.
pub const GTF_INVALID: u16 = 0;
/// The domain may map or copy the page. Source: `GTF_permit_access`.
pub const GTF_PERMIT_ACCESS: u16 = 1;
/// It may only read. Source: `GTF_readonly`.
pub const GTF_READONLY: u16 = 1 << 2;
/// Xen: it is reading or has a mapping. Source: `GTF_reading`.
pub const GTF_READING: u16 = 1 << 3;
/// Xen: it is writing or has a writable mapping. Source: `GTF_writing`.
pub const GTF_WRITING: u16 = 1 << 4;

/// One entry of the table. Source: `grant_entry_v1_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, IntoBytes, Immutable)]
pub struct EntryV1 {
    /// `GTF_*`.
    pub flags: u16,
    /// Who is granted access.
    pub domid: Domid,
    /// The low half of the page's guest frame number, which is all that version 1 has room for.
    pub frame: u32,
}

/// Argument of [`GNTTABOP_SETUP_TABLE`]. Source: `gnttab_setup_table_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SetupTable {
    /// In: whose table.
    pub dom: Domid,
    /// In: how many frames are wanted.
    pub nr_frames: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Padding before the handle.
    pub pad: [u16; 3],
    /// In: address of an array that receives the frame numbers (`xen_pfn_t`), as a 64-bit guest handle.
    pub frame_list: u64,
}

/// Argument of [`GNTTABOP_QUERY_SIZE`]. Source: `gnttab_query_size_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct QuerySize {
    /// In: whose table.
    pub dom: Domid,
    /// Out: frames that it has.
    pub nr_frames: u32,
    /// Out: frames that it may have.
    pub max_nr_frames: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
}

/// Argument of [`GNTTABOP_MAP_GRANT_REF`]; each of several has a status of its own. Source: `gnttab_map_grant_ref_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct MapGrantRef {
    /// In: where the page is to be: a virtual address on x86 PV, a guest-physical one where memory is translated.
    pub host_addr: u64,
    /// In: `GNTMAP_*`.
    pub flags: u32,
    /// In: the other domain's name of the page.
    pub reference: GrantRef,
    /// In: the other domain.
    pub dom: Domid,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Out: by what the mapping is named when it ends.
    pub handle: u32,
    /// Out: an address for devices.
    pub dev_bus_addr: u64,
}

/// Argument of [`GNTTABOP_UNMAP_GRANT_REF`]. Source: `gnttab_unmap_grant_ref_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct UnmapGrantRef {
    /// In: where the page is.
    pub host_addr: u64,
    /// In: an address for devices, or 0.
    pub dev_bus_addr: u64,
    /// In: the mapping.
    pub handle: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
}

const _: () = assert!(size_of::<MapGrantRef>() == 32 && offset_of!(MapGrantRef, handle) == 20);
const _: () = assert!(size_of::<UnmapGrantRef>() == 24 && offset_of!(UnmapGrantRef, status) == 20);
const _: () = assert!(size_of::<EntryV1>() == 8 && offset_of!(EntryV1, frame) == 4);
const _: () = assert!(size_of::<SetupTable>() == 24 && offset_of!(SetupTable, frame_list) == 16);
const _: () = assert!(size_of::<QuerySize>() == 16 && offset_of!(QuerySize, status) == 12);
