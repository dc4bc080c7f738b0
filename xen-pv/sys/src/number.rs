//! Hypercall numbers, the same on every CPU.
//!
//! Source: `xen/include/public/xen.h`, `__HYPERVISOR_*`.

/// Registers exception handlers; paravirtualised guests only.
pub const SET_TRAP_TABLE: usize = 0;
/// Updates page table entries; paravirtualised guests only.
pub const MMU_UPDATE: usize = 1;
/// Memory reservations and physical mappings.
pub const MEMORY_OP: usize = 12;
/// Updates the entry that maps one virtual address; paravirtualised guests only.
pub const UPDATE_VA_MAPPING: usize = 14;
/// Version and features.
pub const XEN_VERSION: usize = 17;
/// Grant tables.
pub const GRANT_TABLE_OP: usize = 20;
/// Virtual CPUs.
pub const VCPU_OP: usize = 24;
/// Page tables as a whole; paravirtualised guests only.
pub const MMUEXT_OP: usize = 26;
/// Scheduling, shutdown, polling.
pub const SCHED_OP: usize = 29;
/// Event channels.
pub const EVENT_CHANNEL_OP: usize = 32;
/// Parameters of guests with hardware-translated memory.
pub const HVM_OP: usize = 34;
/// The machine; the toolstack only.
pub const SYSCTL: usize = 35;
/// Domains; the toolstack only.
pub const DOMCTL: usize = 36;
