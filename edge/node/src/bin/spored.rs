//! `spored`, the orchestrator of a board, with Xen's `xl`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use node::toolstack::xl::{Options, Xl};

fn main() -> ExitCode {
    node::daemon::main(std::env::args_os(), |config, waker| {
        let options = Options { bridge: config.bridge.clone(), ..Options::default() };
        Xl::new(options, move || waker.wake()).map_err(|error| error.to_string())
    })
}
