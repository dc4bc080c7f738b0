//! Where a guest begins, and where it ends when it cannot go on: the first instructions, the first Rust code, traps.
//!
//! Everything else stands on [`arch`](crate::arch); this stands on everything else. Nothing calls into it but Xen and
//! the processor.

#[cfg(target_arch = "arm")]
mod armv7;
#[cfg(target_arch = "x86_64")]
mod x86_64;
