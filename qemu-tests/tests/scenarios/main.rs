//! What must hold on real Xen. Each module has the scenarios of one subject.

#![forbid(unsafe_code)]

mod bed;

use std::process::ExitCode;

fn main() -> ExitCode {
    let scenarios = [bed::SCENARIOS].concat();
    qemu_tests::harness::main(&scenarios)
}
