//! Grant tables, version 1.
//!
//! Source: `xen/include/public/grant_table.h`.

use core::mem::{offset_of, size_of};

use crate::types::{Domid, PAGE_SIZE};

/// Asks for the frames of the table; the argument is a [`SetupTable`]. Source: `GNTTABOP_setup_table`.
pub const GNTTABOP_SETUP_TABLE: usize = 2;
/// Asks how large the table is and may become; the argument is a [`QuerySize`]. Source: `GNTTABOP_query_size`.
pub const GNTTABOP_QUERY_SIZE: usize = 6;

/// The operation succeeded. Source: `GNTST_okay`.
pub const GNTST_OKAY: i16 = 0;

/// Entries at the start of the table that the toolstack may fill. Source: `GNTTAB_NR_RESERVED_ENTRIES`.
pub const RESERVED_ENTRIES: u32 = 8;
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
#[derive(Debug, Clone, Copy)]
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

const _: () = assert!(size_of::<EntryV1>() == 8 && offset_of!(EntryV1, frame) == 4);
const _: () = assert!(size_of::<SetupTable>() == 24 && offset_of!(SetupTable, frame_list) == 16);
const _: () = assert!(size_of::<QuerySize>() == 16 && offset_of!(QuerySize, status) == 12);
