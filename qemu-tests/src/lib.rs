//! Spore's test bed: real Xen, dom0 and `xl` in QEMU, and what scenarios need to judge guests there.
//!
//! [`setup::setup`] brings what is missing; [`Bed::boot`] starts a machine; [`Bed::create`] starts a guest as a user
//! would, with an `xl` configuration; [`Guest`] waits on its console and its end. [`broker::Broker`] is a real MQTT
//! broker on the host. Inside, from the bottom: `packages` and `apt` (Debian packages, unpacked), `initramfs`, `cpio`,
//! `elf` and `kernel_image` (what dom0 boots), `machine` (QEMU, one file a board), `link` (the line to the agent in
//! dom0, which is the crate `bed-agent`), `bed`, `guest`.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use qemu_tests::{Arch, Bed, BedOptions, GuestSpec, ShutdownReason, check};
//!
//! /// Boots an image of `hello` in 4 MiB and judges what it says, and how it ends.
//! fn hello(image: Vec<u8>) -> anyhow::Result<()> {
//!     let patience = Duration::from_secs(60);
//!     let bed = Bed::boot(&BedOptions::new(Arch::X86_64))?;
//!     let mut guest = bed.create(&GuestSpec::new("hello", image))?;
//!     guest.wait_for("Hello from a guest of 4096 KiB", patience)?;
//!     let reason = guest.wait_shutdown(patience)?;
//!     check!(reason == ShutdownReason::PowerOff, "it ended with {reason:?}");
//!     Ok(())
//! }
//! ```

#![forbid(unsafe_code)]

pub mod apt;
pub mod bed;
pub mod broker;
pub mod c_compiler;
pub mod cable;
pub mod capture;
pub mod cpio;
pub mod datasets;
pub mod disk;
pub mod dom0;
pub mod dom0_program;
pub mod ejabberd;
pub mod elf;
pub mod frames;
pub mod guest;
pub mod harness;
pub mod host_tool;
pub mod http;
pub mod influxdb;
pub mod initramfs;
pub mod kernel_image;
pub mod link;
pub mod linux_guest;
pub mod machine;
pub mod node;
pub mod packages;
pub mod place;
pub mod probe;
mod process;
pub mod progress;
pub mod registry;
pub mod replay;
pub mod root;
pub mod session;
pub mod setup;
pub mod tools;
pub mod verdict;
pub mod web_server;

pub use bed::Bed;
pub use bed_agent::protocol;
pub use dom0::Dom0;
pub use guest::{Guest, GuestSpec, ShutdownReason};
pub use machine::{Arch, BedOptions, Clock, Forward};
