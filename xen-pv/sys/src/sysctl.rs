//! What the toolstack asks about the whole machine.
//!
//! The argument of `__HYPERVISOR_sysctl` is a [`Header`] and, behind it, the operation's own. Source:
//! `xen/include/public/sysctl.h`. As with [`crate::domctl`], this is 4.17's.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::types::Domid;

/// Xen refuses any other. Source: `XEN_SYSCTL_INTERFACE_VERSION`.
pub const INTERFACE_VERSION: u32 = 0x15;
/// Bytes of the whole argument, whatever the operation. Source: `struct xen_sysctl`.
pub const SYSCTL_BYTES: usize = 136;

/// The argument is a [`PhysInfo`]. Source: `XEN_SYSCTL_physinfo`.
pub const PHYSINFO: u32 = 3;
/// The argument is a [`SchedId`]. Source: `XEN_SYSCTL_sched_id`.
pub const SCHED_ID: u32 = 4;
/// The argument is a [`DomainInfoList`]. Source: `XEN_SYSCTL_getdomaininfolist`.
pub const GETDOMAININFOLIST: u32 = 6;

/// How each argument begins. Source: `struct xen_sysctl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct Header {
    /// In: which operation.
    pub cmd: u32,
    /// In: [`INTERFACE_VERSION`].
    pub interface_version: u32,
}

/// Argument of [`PHYSINFO`]. Source: `struct xen_sysctl_physinfo`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct PhysInfo {
    /// Out: of the CPUs, and what they can do.
    pub cpus: [u32; 10],
    /// Out: pages of memory.
    pub total_pages: u64,
    /// Out: those that can be given away at once.
    pub free_pages: u64,
    /// Out: those among them that are still to be wiped.
    pub scrub_pages: u64,
    /// Out: those that are set aside.
    pub outstanding_pages: u64,
    /// Out: the last one.
    pub max_mfn: u64,
    /// Out: more of what the CPUs can do.
    pub hw_cap: [u32; 8],
}

/// Argument of [`SCHED_ID`]. Source: `struct xen_sysctl_sched_id`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct SchedId {
    /// Out: the scheduler, one of `SCHEDULER_*` of [`crate::domctl`].
    pub sched_id: u32,
}

/// Argument of [`GETDOMAININFOLIST`]. Source: `struct xen_sysctl_getdomaininfolist`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct DomainInfoList {
    /// In: domains with lower numbers are left out.
    pub first_domain: Domid,
    /// Padding.
    pub pad0: u16,
    /// In: how many there is room for.
    pub max_domains: u32,
    /// In: address of an array of `xen_domctl_getdomaininfo`, as a 64-bit guest handle.
    pub buffer: u64,
    /// Out: how many there are in it.
    pub num_domains: u32,
    /// Padding.
    pub pad1: u32,
}

const _: () = assert!(size_of::<Header>() == 8 && size_of::<PhysInfo>() == 112);
const _: () = assert!(size_of::<DomainInfoList>() == 24 && offset_of!(DomainInfoList, buffer) == 8);
