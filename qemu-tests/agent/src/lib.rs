//! What runs in dom0 of the test bed, and the language in which the host talks to it.
//!
//! The library half is shared: [`protocol`] is compiled into the host's side too, and the test clients are tested
//! there. The program (`main.rs`) is statically linked and is dom0's first process. Read [`protocol`] first.

#![deny(unsafe_code)]

pub mod client;
#[allow(unsafe_code, reason = "a hypercall, and the page for its arguments")]
pub mod cpu_time;
pub mod echo;
pub mod flow;
pub mod follow;
pub mod init;
pub mod protocol;
pub mod run;
pub mod serve;
pub mod session;
pub mod xenstore;
