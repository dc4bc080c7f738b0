//! dom0's first process: sets the system up, then starts itself again as the agent and reaps what others leave behind.
//! In a Linux guest it is the echo server.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("serve") => bed_agent::serve::serve(),
        Some("echo") => bed_agent::echo::serve(),
        _ => bed_agent::init::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("bed-agent: {error}");
            ExitCode::FAILURE
        }
    }
}
