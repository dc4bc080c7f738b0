//! Raw ABI of the Xen hypervisor: types, constants and the hypercall instruction. No policy. Most of it is for guests;
//! [`context`], [`domctl`], [`start_info`] and [`sysctl`] are what makes guests.
//!
//! Each type is laid out as in Xen's public C headers (release 4.17, `xen/include/public`), which every item names and
//! a test compares with the compiler's view of them.

#![no_std]

pub mod arch;
pub mod context;
pub mod domctl;
pub mod elf_note;
pub mod event_channel;
pub mod grant_table;
pub mod hvm;
pub mod io;
pub mod memory;
pub mod mmuext;
pub mod number;
pub mod sched;
pub mod shared_info;
pub mod start_info;
pub mod sysctl;
pub mod types;
pub mod vcpu;
