//! `spored`, the orchestrator of a board, with a real Xen.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use node::toolstack::{Dom0, Options};

fn main() -> ExitCode {
    node::daemon::main(std::env::args_os(), |config, waker| {
        let (toolstack, bridge) = (config.toolstack, config.bridge.clone());
        let options = Options { toolstack, bridge, ..Options::default() };
        Dom0::new(options, move || waker.wake()).map_err(|error| error.to_string())
    })
}
