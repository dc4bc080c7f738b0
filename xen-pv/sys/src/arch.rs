//! What differs between CPUs: the hypercall instruction and the architecture's part of shared structures.
//!
//! Every architecture defines the same names.

#[cfg_attr(target_arch = "x86_64", path = "arch/x86_64.rs")]
mod current;

pub use current::*;
