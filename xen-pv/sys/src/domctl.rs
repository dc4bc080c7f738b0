//! Making, changing and ending domains: what the toolstack asks.
//!
//! The argument of `__HYPERVISOR_domctl` is a [`Header`] and, behind it, the operation's own. Source:
//! `xen/include/public/domctl.h`. Unlike the rest of the interface it changes with Xen's releases: this is 4.17's.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::types::Domid;

/// Xen refuses any other. Source: `XEN_DOMCTL_INTERFACE_VERSION`.
pub const INTERFACE_VERSION: u32 = 0x15;
/// Bytes of the whole argument, whatever the operation. Source: `struct xen_domctl`.
pub const DOMCTL_BYTES: usize = 144;

/// The argument is a [`CreateX86`] or a [`CreateArm`]. Source: `XEN_DOMCTL_createdomain`.
pub const CREATEDOMAIN: u32 = 1;
/// There is no argument. Source: `XEN_DOMCTL_destroydomain`.
pub const DESTROYDOMAIN: u32 = 2;
/// There is no argument. Source: `XEN_DOMCTL_unpausedomain`.
pub const UNPAUSEDOMAIN: u32 = 4;
/// The argument is a [`DomainInfo`]. Source: `XEN_DOMCTL_getdomaininfo`.
pub const GETDOMAININFO: u32 = 5;
/// The argument is a [`MaxMem`]. Source: `XEN_DOMCTL_max_mem`.
pub const MAX_MEM: u32 = 11;
/// The argument is a [`VcpuContext`]. Source: `XEN_DOMCTL_setvcpucontext`.
pub const SETVCPUCONTEXT: u32 = 12;
/// The argument is a [`MaxVcpus`]. Source: `XEN_DOMCTL_max_vcpus`.
pub const MAX_VCPUS: u32 = 15;
/// The argument is a [`SchedulerOp`]. Source: `XEN_DOMCTL_scheduler_op`.
pub const SCHEDULER_OP: u32 = 16;
/// The argument is an [`AddressSize`]. Source: `XEN_DOMCTL_set_address_size`.
pub const SET_ADDRESS_SIZE: u32 = 35;
/// The argument is a [`CacheFlush`]. Source: `XEN_DOMCTL_cacheflush`.
pub const CACHEFLUSH: u32 = 71;
/// The argument is a [`PagingMempool`]. Source: `XEN_DOMCTL_set_paging_mempool_size`.
pub const SET_PAGING_MEMPOOL_SIZE: u32 = 86;

/// The domain's memory is translated by hardware, and described to it as to a machine. Source: `XEN_DOMCTL_CDF_hvm`.
pub const CDF_HVM: u32 = 1 << 0;
/// By tables of the hardware's own kind. Source: `XEN_DOMCTL_CDF_hap`.
pub const CDF_HAP: u32 = 1 << 1;
/// The only version of grant tables that guests use here, as `grant_opts`. Source: `XEN_DOMCTL_GRANT_version`.
pub const GRANT_VERSION_1: u32 = 1;
/// The interrupt controller is of the kind that the board has. Source: `XEN_DOMCTL_CONFIG_GIC_NATIVE`.
pub const CONFIG_GIC_NATIVE: u8 = 0;

/// The domain is being taken apart. Source: `XEN_DOMINF_dying`.
pub const DOMINF_DYING: u32 = 1 << 0;
/// It has ended. Source: `XEN_DOMINF_shutdown`.
pub const DOMINF_SHUTDOWN: u32 = 1 << 2;
/// The toolstack keeps it from running. Source: `XEN_DOMINF_paused`.
pub const DOMINF_PAUSED: u32 = 1 << 3;
/// Where in the flags the reason of its end stands, which has eight bits. Source: `XEN_DOMINF_shutdownshift`.
pub const DOMINF_SHUTDOWN_SHIFT: u32 = 16;

/// Source: `XEN_SCHEDULER_CREDIT`.
pub const SCHEDULER_CREDIT: u32 = 5;
/// Source: `XEN_SCHEDULER_CREDIT2`.
pub const SCHEDULER_CREDIT2: u32 = 6;
/// Sets what a domain has. Source: `XEN_DOMCTL_SCHEDOP_putinfo`.
pub const SCHEDOP_PUTINFO: u32 = 0;

/// How each argument begins. Source: `struct xen_domctl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct Header {
    /// In: which operation.
    pub cmd: u32,
    /// In: [`INTERFACE_VERSION`].
    pub interface_version: u32,
    /// In: which domain; out, of a new one: its number.
    pub domain: Domid,
    /// Padding.
    pub pad: [u16; 3],
}

/// What a new domain is, on every CPU. Source: `struct xen_domctl_createdomain`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
pub struct Create {
    /// In: a label of the security module.
    pub ssidref: u32,
    /// In: its uuid.
    pub handle: [u8; 16],
    /// In: `CDF_*`.
    pub flags: u32,
    /// In: of devices that are passed through.
    pub iommu_opts: u32,
    /// In: how many CPUs.
    pub max_vcpus: u32,
    /// In: the highest port of event channels.
    pub max_evtchn_port: u32,
    /// In: how large its grant table may become; negative for Xen's own default.
    pub max_grant_frames: i32,
    /// In: how many grants it may map; negative for Xen's own default.
    pub max_maptrack_frames: i32,
    /// In: the version of its grant table.
    pub grant_opts: u32,
    /// In: of a debugging aid.
    pub vmtrace_size: u32,
    /// In: the pool of CPUs that it runs on.
    pub cpupool_id: u32,
}

/// Argument of [`CREATEDOMAIN`] on x86.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
pub struct CreateX86 {
    /// In: what is the same everywhere.
    pub common: Create,
    /// In: emulated devices.
    pub emulation_flags: u32,
    /// In: more of these.
    pub misc_flags: u32,
}

/// Argument of [`CREATEDOMAIN`] on ARM.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
pub struct CreateArm {
    /// In: what is the same everywhere.
    pub common: Create,
    /// In: the kind of interrupt controller; out: which one it got, where it was left to Xen.
    pub gic_version: u8,
    /// Padding.
    pub pad: u8,
    /// In: whether there is a trusted execution environment.
    pub tee_type: u16,
    /// In: interrupts of devices.
    pub nr_spis: u32,
    /// Out: rate of the timer in Hz where the CPU's own register is wrong, or 0.
    pub clock_frequency: u32,
}

/// What there is of a domain, but for what differs between CPUs, which follows it in a list. Source: `struct
/// xen_domctl_getdomaininfo`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
pub struct DomainInfo {
    /// Out: its number.
    pub domain: Domid,
    /// Padding.
    pub pad1: u16,
    /// Out: `DOMINF_*`.
    pub flags: u32,
    /// Out: pages that it has.
    pub tot_pages: u64,
    /// Out: pages that it may have.
    pub max_pages: u64,
    /// Out: pages that are set aside for it.
    pub outstanding_pages: u64,
    /// Out: pages that it shares with others.
    pub shr_pages: u64,
    /// Out: pages that were written to a disk.
    pub paged_pages: u64,
    /// Out: frame of its shared info page.
    pub shared_info_frame: u64,
    /// Out: CPU time that it has used, in nanoseconds.
    pub cpu_time_ns: u64,
    /// Out: CPUs that it has.
    pub nr_online_vcpus: u32,
    /// Out: the highest number of one.
    pub max_vcpu_id: u32,
    /// Out: its label.
    pub ssidref: u32,
    /// Out: its uuid.
    pub handle: [u8; 16],
    /// Out: its pool of CPUs.
    pub cpupool: u32,
    /// Out: bits of an address in its memory.
    pub gpaddr_bits: u8,
    /// Padding.
    pub pad2: [u8; 7],
}

/// From one [`DomainInfo`] of a list to the next, on x86.
pub const DOMAIN_INFO_STRIDE_X86: usize = 112;
/// From one [`DomainInfo`] of a list to the next, on ARM.
pub const DOMAIN_INFO_STRIDE_ARM: usize = 120;

/// Argument of [`MAX_MEM`]. Source: `struct xen_domctl_max_mem`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct MaxMem {
    /// In: the most memory in KiB.
    pub max_memkb: u64,
}

/// Argument of [`MAX_VCPUS`]. Source: `struct xen_domctl_max_vcpus`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct MaxVcpus {
    /// In: how many CPUs.
    pub max: u32,
}

/// Argument of [`SETVCPUCONTEXT`]. Source: `struct xen_domctl_vcpucontext`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct VcpuContext {
    /// In: which CPU.
    pub vcpu: u32,
    /// Padding.
    pub pad: u32,
    /// In: address of its state (see [`crate::context`]), as a 64-bit guest handle.
    pub ctxt: u64,
}

/// Argument of [`SCHEDULER_OP`] for the two schedulers that share by credit. Source: `struct xen_domctl_scheduler_op`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct SchedulerOp {
    /// In: `SCHEDULER_*`.
    pub sched_id: u32,
    /// In: `SCHEDOP_*`.
    pub cmd: u32,
    /// In: the share of the CPUs.
    pub weight: u16,
    /// In: the most of one CPU in percent, 0 for no limit.
    pub cap: u16,
    /// Padding.
    pub pad: [u32; 3],
}

/// Argument of [`SET_ADDRESS_SIZE`]. Source: `struct xen_domctl_address_size`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct AddressSize {
    /// In: bits.
    pub size: u32,
}

/// Argument of [`CACHEFLUSH`]. Source: `struct xen_domctl_cacheflush`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct CacheFlush {
    /// In: the first page.
    pub start_pfn: u64,
    /// In: how many.
    pub nr_pfns: u64,
}

/// Argument of [`SET_PAGING_MEMPOOL_SIZE`]. Source: `struct xen_domctl_paging_mempool`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct PagingMempool {
    /// In: bytes for page tables of Xen's.
    pub size: u64,
}

const _: () = assert!(size_of::<Header>() == 16 && size_of::<Create>() == 56);
const _: () = assert!(size_of::<CreateX86>() == 64 && size_of::<CreateArm>() == 68);
const _: () = assert!(size_of::<DomainInfo>() == 104 && offset_of!(DomainInfo, handle) == 76);
const _: () = assert!(size_of::<SchedulerOp>() == 24 && offset_of!(SchedulerOp, weight) == 8);
