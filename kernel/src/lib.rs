//! Spore's library OS as a task sees it: executor, time, network, parameters and results, log, heap policy.
//!
//! This crate knows no Xen and no CPU. A platform (crate `xen-pv` in a guest, crate `host` on the developer's machine)
//! supplies a clock, a console and a network device; a task uses the traits of [`system`].
//!
//! A task is a function of its parameters and of the platform:
//!
//! ```
//! use kernel::System;
//!
//! /// Reports how much memory there is, in bytes.
//! pub async fn run(_: (), system: &impl System) -> Result<usize, &'static str> {
//!     kernel::println!("looking");
//!     Ok(system.memory().total_bytes)
//! }
//! ```
//!
//! Read [`system`] first.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod checkpoint;
pub mod console;
pub mod entropy;
#[allow(unsafe_code, reason = "embassy-executor's raw executor, and the symbol that it calls")]
pub mod executor;
pub mod feed;
#[allow(unsafe_code, reason = "a global allocator")]
pub mod heap;
#[cfg(feature = "net")]
pub mod net;
pub mod nodes;
pub mod outcome;
pub mod parameters;
pub mod report;
pub mod schema;
pub mod stream;
pub mod system;
pub mod time;

pub use outcome::{Failed, Outcome};
#[cfg(feature = "net")]
pub use system::Networked;
pub use system::{Counts, Fed, Feeding, Memory, Restored, Stop, System};
