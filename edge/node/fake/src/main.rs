//! `spored` with guests that are files: its configuration's state folder has them in `guests`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    node_fake::main(std::env::args_os())
}
