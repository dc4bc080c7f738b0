//! What must hold on real Xen. Each module has the scenarios of one subject.

#![forbid(unsafe_code)]

mod bed;
mod collect;
mod console;
mod crash;
mod echo;
mod hello;
mod lifecycle;
mod parameters;
mod reconnect;
mod support;
mod suspend;

use std::process::ExitCode;

fn main() -> ExitCode {
    let scenarios = [
        bed::SCENARIOS,
        hello::SCENARIOS,
        parameters::SCENARIOS,
        console::SCENARIOS,
        crash::SCENARIOS,
        echo::SCENARIOS,
        collect::SCENARIOS,
        lifecycle::SCENARIOS,
        reconnect::SCENARIOS,
        suspend::SCENARIOS,
    ]
    .concat();
    qemu_tests::harness::main(&scenarios)
}
