//! The registers that a virtual CPU begins with, of both CPUs: a program in dom0 sets them for a guest.
//!
//! Source: `vcpu_guest_context_t` in `xen/include/public/arch-x86/xen.h`, `xen/include/public/arch-x86/xen-x86_64.h` and
//! `xen/include/public/arch-arm.h`.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The CPU runs in the mode of a kernel. Source: `VGCF_in_kernel` of x86.
pub const X86_IN_KERNEL: u64 = 1 << 2;
/// The CPU is there. Source: `VGCF_online` of x86.
pub const X86_ONLINE: u64 = 1 << 5;
/// Stack segment of a guest kernel. Source: `FLAT_KERNEL_SS`.
pub const X86_KERNEL_SS: u16 = 0xe02b;
/// Code segment of a guest kernel. Source: `FLAT_KERNEL_CS`.
pub const X86_KERNEL_CS: u16 = 0xe033;

/// The CPU is there. Source: `VGCF_online` of ARM.
pub const ARM_ONLINE: u32 = 1 << 0;
/// Supervisor mode, with interrupts and aborts masked. Source: `PSR_GUEST32_INIT`.
pub const ARM_PSR_INIT: u64 = 0x4000_01d3;
/// MMU and caches off. Source: `SCTLR_GUEST_INIT`.
pub const ARM_SCTLR_INIT: u64 = 0x00c5_0078;

/// Source: `struct cpu_user_regs` of x86_64, whose registers are named here as the 64-bit ones.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct X86Registers {
    /// r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx.
    pub general: [u64; 13],
    /// Source index: at a guest's entry the address of its start info.
    pub rsi: u64,
    /// Destination index.
    pub rdi: u64,
    /// Xen's own.
    pub error_code: u32,
    /// Xen's own.
    pub entry_vector: u32,
    /// Instruction pointer.
    pub rip: u64,
    /// Code segment.
    pub cs: u16,
    /// Padding.
    pub pad0: u16,
    /// Xen's own.
    pub saved_upcall_mask: u8,
    /// Padding.
    pub pad1: [u8; 3],
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u16,
    /// Padding.
    pub pad2: [u16; 3],
    /// es, ds, fs, gs, each with its padding.
    pub data_segments: [u64; 4],
}

/// Source: `struct vcpu_guest_context` of x86_64.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct X86 {
    /// Registers for floating point, where a flag says that they are set.
    pub fpu_ctxt: [u8; 512],
    /// `X86_*` flags.
    pub flags: u64,
    /// General registers.
    pub user_regs: X86Registers,
    /// Trap handlers.
    pub trap_ctxt: [[u64; 2]; 256],
    /// Local descriptors: address and number.
    pub ldt: [u64; 2],
    /// Global descriptors: frames and number.
    pub gdt: [u64; 17],
    /// The kernel's stack segment.
    pub kernel_ss: u64,
    /// The kernel's stack.
    pub kernel_sp: u64,
    /// Control registers; the third is the root of the page tables.
    pub ctrlreg: [u64; 8],
    /// Debug registers.
    pub debugreg: [u64; 8],
    /// Handlers of events, of failed entries, and of system calls.
    pub callbacks: [u64; 3],
    /// `VMASST_TYPE_*` bits.
    pub vm_assist: u64,
    /// Bases of segments: fs, and gs of kernel and user.
    pub bases: [u64; 3],
}

/// Source: `struct vcpu_guest_core_regs` of ARM.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct ArmRegisters {
    /// r0 and up, then those of the other modes.
    pub general: [u64; 31],
    /// Program counter.
    pub pc: u64,
    /// Mode and flags.
    pub cpsr: u64,
    /// Saved flags of supervisor mode.
    pub spsr_svc: u64,
    /// Saved flags of the modes fiq, irq, und and abt.
    pub spsr: [u32; 4],
    /// Of 64-bit guests.
    pub el0_el1: [u64; 3],
}

/// Source: `struct vcpu_guest_context` of ARM.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct Arm {
    /// `ARM_*` flags.
    pub flags: u32,
    /// Padding.
    pub pad: u32,
    /// Core registers.
    pub user_regs: ArmRegisters,
    /// The system control register.
    pub sctlr: u64,
    /// ttbcr, ttbr0, ttbr1.
    pub translation: [u64; 3],
}

const _: () = assert!(size_of::<X86Registers>() == 200 && offset_of!(X86Registers, rip) == 128);
const _: () = assert!(size_of::<X86>() == 5168 && offset_of!(X86, ctrlreg) == 4984);
const _: () = assert!(size_of::<Arm>() == 352 && offset_of!(Arm, sctlr) == 320);
