//! x86_64 paravirtualised guests.
//!
//! Source: `xen/include/public/arch-x86/xen.h`, `xen/include/public/arch-x86/xen-x86_64.h`, `xen/include/public/xen.h`.

use core::mem::size_of;

use crate::number;
use crate::types::Domid;

mod hypercall;

pub use hypercall::{hypercall2, hypercall3, hypercall4};

/// Virtual CPUs whose `vcpu_info` lies in the shared info page. Source: `XEN_LEGACY_MAX_VCPUS`.
pub const LEGACY_MAX_VCPUS: usize = 32;

/// Code segment of a guest kernel. Source: `FLAT_KERNEL_CS`.
pub const FLAT_KERNEL_CS: u16 = 0xe033;

/// Where the hypervisor's machine-to-physical table starts in every guest's address space. Source:
/// `HYPERVISOR_VIRT_START`.
pub const MACHINE_TO_PHYS: usize = 0xffff_8000_0000_0000;

/// The architecture's part of `vcpu_info`. Source: `arch_vcpu_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ArchVcpuInfo {
    /// The address of the last page fault.
    pub cr2: u64,
    /// Unused.
    pub pad: u64,
}

/// The architecture's part of the shared info page. Source: `arch_shared_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ArchSharedInfo {
    /// Number of valid entries of the physical-to-machine table.
    pub max_pfn: u64,
    /// Root of that table, for the toolstack.
    pub pfn_to_mfn_frame_list_list: u64,
    /// Why a non-maskable interrupt came.
    pub nmi_reason: u64,
    /// Page table root that maps the table at `p2m_vaddr`.
    pub p2m_cr3: u64,
    /// Virtual address of the linear physical-to-machine table.
    pub p2m_vaddr: u64,
    /// Odd while the guest changes the table.
    pub p2m_generation: u64,
}

/// One trap handler. Source: `trap_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct TrapInfo {
    /// Exception vector.
    pub vector: u8,
    /// Bits 0-1: least privileged ring that may raise it; bit 2: mask events on entry.
    pub flags: u8,
    /// Code selector of the handler.
    pub cs: u16,
    /// Address of the handler; 0 ends the table.
    pub address: u64,
}

const _: () = assert!(size_of::<TrapInfo>() == 16);

/// One page table update. Source: `mmu_update_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct MmuUpdate {
    /// Machine address of the entry; bits 0-1 hold the command.
    pub ptr: u64,
    /// New value of the entry.
    pub val: u64,
}

/// Checked update of a page table entry. Source: `MMU_NORMAL_PT_UPDATE`.
pub const MMU_NORMAL_PT_UPDATE: u64 = 0;

/// What becomes of old translations that the CPU holds. Source: `UVMF_*`.
#[repr(usize)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translation {
    /// All are forgotten. Source: `UVMF_TLB_FLUSH`.
    FlushAll = 1,
    /// That of the one address is. Source: `UVMF_INVLPG`.
    Invalidate = 2,
}

/// Registers exception handlers.
///
/// # Safety
/// `table` must end with an entry of address 0, and each handler must be able to run where its exception strikes.
pub unsafe fn set_trap_table(table: &[TrapInfo]) -> isize {
    // SAFETY: the caller vouches for the table; the second argument is ignored by Xen.
    unsafe { hypercall2(number::SET_TRAP_TABLE, table.as_ptr() as usize, 0) }
}

/// Changes the entry that maps the page at `address`.
///
/// # Safety
/// Nothing may rely on the old mapping of `address`, and the new one must not alias memory that Rust owns.
pub unsafe fn update_va_mapping(address: usize, entry: u64, translation: Translation) -> isize {
    // SAFETY: plain values; the caller vouches for the effect.
    unsafe { hypercall3(number::UPDATE_VA_MAPPING, address, entry as usize, translation as usize) }
}

/// Applies page table updates in order.
///
/// # Safety
/// As for [`update_va_mapping`], for each address that the changed entries translate.
pub unsafe fn mmu_update(updates: &[MmuUpdate]) -> isize {
    // SAFETY: the slice outlives the call; Xen only reads it. A null "done" count is allowed.
    unsafe { hypercall4(number::MMU_UPDATE, updates.as_ptr() as usize, updates.len(), 0, Domid::SELF.0.into()) }
}

const _: () = assert!(size_of::<crate::shared_info::SharedInfo>() == 3136);
const _: () = assert!(size_of::<crate::shared_info::VcpuInfo>() == 64);
