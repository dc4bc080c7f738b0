//! Spore's library OS as a task sees it: executor, time, network, parameters and results, log, heap policy.
//!
//! This crate knows no Xen and no CPU. A platform (crate `xen-pv` in a guest, crate `host` on the developer's machine)
//! supplies a clock, a console and a network device; a task uses the traits of [`system`].
//!
//! Read [`system`] first.

#![no_std]

extern crate alloc;

#[cfg(feature = "net")]
pub mod net;
pub mod system;

pub use system::{Memory, Stop, System};
#[cfg(feature = "net")]
pub use system::Networked;
