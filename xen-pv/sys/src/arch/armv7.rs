//! 32-bit ARM guests, on 32-bit and on 64-bit Xen.
//!
//! Numbers that are as wide as a register elsewhere (`xen_ulong_t`, `xen_pfn_t`, guest handles) have 64 bits here too,
//! so that the structures are those of the other CPUs.
//!
//! Source: `xen/include/public/arch-arm.h`.

use core::mem::size_of;

use crate::shared_info::{SharedInfo, VcpuInfo};

#[cfg(target_arch = "arm")]
mod hypercall;

#[cfg(target_arch = "arm")]
pub use hypercall::{hypercall2, hypercall3};

/// Virtual CPUs whose `vcpu_info` lies in the shared info page. Source: `XEN_LEGACY_MAX_VCPUS`.
pub const LEGACY_MAX_VCPUS: usize = 1;

/// First address of a guest's memory. Source: `GUEST_RAM0_BASE`.
pub const GUEST_RAM_BASE: usize = 0x4000_0000;

/// The architecture's part of `vcpu_info`: nothing. Source: `arch_vcpu_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ArchVcpuInfo {}

/// The architecture's part of the shared info page: nothing. Source: `arch_shared_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ArchSharedInfo {}

const _: () = assert!(size_of::<SharedInfo>() == 1088 && size_of::<VcpuInfo>() == 48);
