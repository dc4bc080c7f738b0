//! Virtual CPUs.
//!
//! Source: `xen/include/public/vcpu.h`.

use core::mem::{offset_of, size_of};

/// Names the memory in which Xen keeps the CPU's [`RunstateInfo`]; the argument is a [`RegisterRunstateMemoryArea`].
/// Source: `VCPUOP_register_runstate_memory_area`.
pub const VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA: usize = 5;

/// The virtual CPU runs: the first of the states. Source: `RUNSTATE_running`.
pub const RUNSTATE_RUNNING: usize = 0;

/// What a virtual CPU does, and since when. Source: `vcpu_runstate_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RunstateInfo {
    /// `RUNSTATE_*`.
    pub state: u32,
    /// Padding.
    pub pad: u32,
    /// Xen's system time at which that began, in nanoseconds.
    pub state_entry_time_ns: u64,
    /// Nanoseconds spent in each state so far.
    pub time_ns: [u64; 4],
}

/// Argument of [`VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA`]. Source: `vcpu_register_runstate_memory_area_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RegisterRunstateMemoryArea {
    /// In: virtual address of the area.
    pub address: u64,
}

const _: () = assert!(size_of::<RunstateInfo>() == 48 && offset_of!(RunstateInfo, state_entry_time_ns) == 8);
const _: () = assert!(size_of::<RegisterRunstateMemoryArea>() == 8);
