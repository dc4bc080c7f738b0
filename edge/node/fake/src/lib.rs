//! The program `spored` for tests: everything is real but the toolstack, whose guests are files.
//!
//! Files outlive the program: a node that was killed finds its guests again. [`toolstack`] says what a guest does;
//! [`board`] starts the program in a folder of its own and talks to it; [`process`] is the program for tests elsewhere.

#![forbid(unsafe_code)]

pub mod board;
pub mod process;
pub mod toolstack;

use std::ffi::OsString;
use std::process::ExitCode;

/// The program, with these words of its command line.
#[must_use]
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    node::daemon::main(words, |config, waker| toolstack::Fake::open(&config.state.join("fake"), waker))
}
