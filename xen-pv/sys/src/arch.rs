//! What differs between CPUs: the hypercall instruction and the architecture's part of shared structures.
//!
//! Every architecture defines the same names.

#[cfg(target_arch = "arm")]
mod armv7;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "arm")]
pub use armv7::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;
