//! Raw ABI of the Xen hypervisor: types, constants and the hypercall instruction. No policy.
//!
//! Each type is laid out as in Xen's public C headers (release 4.17, `xen/include/public`), which every item names and
//! a test compares with the compiler's view of them.

#![no_std]

pub mod arch;
pub mod elf_note;
pub mod event_channel;
pub mod grant_table;
pub mod hvm;
pub mod io;
pub mod memory;
pub mod number;
pub mod sched;
pub mod shared_info;
pub mod types;
pub mod vcpu;
