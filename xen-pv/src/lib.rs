//! Spore's Xen platform: everything that knows Xen.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod hypervisor;
pub mod memory;
