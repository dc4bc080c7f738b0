//! What the domain builder tells a paravirtualised guest.
//!
//! Source: `xen/include/public/xen.h`.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// One console or store description in [`StartInfo`]. Source: `start_info_t.console.domU`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct StartInfoConsole {
    /// Machine frame of the console page.
    pub mfn: u64,
    /// Event channel of the console.
    pub evtchn: u32,
    /// Padding.
    pub pad: u32,
}

/// What the domain builder tells the guest; its address is in `rsi` at entry. Source: `start_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct StartInfo {
    /// `xen-<version>-<platform>`.
    pub magic: [u8; 32],
    /// Pages of memory that the domain has.
    pub nr_pages: u64,
    /// Machine address of the shared info page.
    pub shared_info: u64,
    /// `SIF_*` flags.
    pub flags: u32,
    /// Padding.
    pub pad0: u32,
    /// Machine frame of the xenstore page.
    pub store_mfn: u64,
    /// Event channel of xenstore.
    pub store_evtchn: u32,
    /// Padding.
    pub pad1: u32,
    /// The console.
    pub console: StartInfoConsole,
    /// Virtual address of the page table root.
    pub pt_base: u64,
    /// Number of boot page table pages, which lie at `pt_base`.
    pub nr_pt_frames: u64,
    /// Virtual address of the physical-to-machine table: one u64 a page.
    pub mfn_list: u64,
    /// Virtual address of a module, or 0.
    pub mod_start: u64,
    /// Size of that module in bytes.
    pub mod_len: u64,
    /// The command line (`extra` of xl), zero-terminated unless it fills the array.
    pub cmd_line: [u8; 1024],
    /// First page frame of the table, if it is not mapped.
    pub first_p2m_pfn: u64,
    /// Number of page frames of the table, if it is not mapped.
    pub nr_p2m_frames: u64,
}

const _: () = assert!(size_of::<StartInfo>() == 1168);
const _: () = assert!(offset_of!(StartInfo, cmd_line) == 128);
