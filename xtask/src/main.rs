//! `cargo xtask`: builds, checks, boots and shows Spore's tasks.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::command::run()
}
