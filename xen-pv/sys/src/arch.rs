//! What differs between CPUs: the hypercall instruction and the architecture's part of shared structures.
//!
//! Every architecture defines the same names. Structures on ARM are the same on both of its widths, so a program in a
//! 64-bit dom0 has those of ARM, without the instruction of a 32-bit guest.

#[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
mod armv7;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
pub use armv7::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;
