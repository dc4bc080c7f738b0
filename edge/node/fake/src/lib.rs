//! The program `spored` for tests: everything is real but the toolstack, whose guests are files.
//!
//! Files outlive the program: a node that was killed finds its guests again. [`toolstack`] says what a guest does;
//! [`board`] starts the program in a folder of its own and talks to it.

#![forbid(unsafe_code)]

pub mod board;
pub mod toolstack;

use std::process::ExitCode;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    node::daemon::main(|config, waker| toolstack::Fake::open(&config.state.join("fake"), waker))
}
