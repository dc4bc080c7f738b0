//! What must hold on real Xen. Each module has the scenarios of one subject.

#![forbid(unsafe_code)]

mod addresses;
mod bed;
mod board;
mod broker;
mod channels;
mod checkpoint;
mod collect;
mod console;
mod copies;
mod crash;
mod echo;
mod feed;
mod filter;
mod hello;
mod leftovers;
mod lifecycle;
mod linux;
mod load;
mod node;
mod node_limits;
mod node_power;
mod node_remote;
mod parameters;
mod reconnect;
mod support;
mod survive;
mod suspend;
mod time;
mod toolstack;
mod traffic;
mod xen_view;

use std::process::ExitCode;

fn main() -> ExitCode {
    let scenarios = [
        bed::SCENARIOS,
        hello::SCENARIOS,
        parameters::SCENARIOS,
        console::SCENARIOS,
        channels::SCENARIOS,
        feed::SCENARIOS,
        broker::SCENARIOS,
        copies::SCENARIOS,
        crash::SCENARIOS,
        echo::SCENARIOS,
        addresses::SCENARIOS,
        collect::SCENARIOS,
        filter::SCENARIOS,
        lifecycle::SCENARIOS,
        reconnect::SCENARIOS,
        suspend::SCENARIOS,
        survive::SCENARIOS,
        leftovers::SCENARIOS,
        linux::SCENARIOS,
        time::SCENARIOS,
        traffic::SCENARIOS,
        toolstack::SCENARIOS,
        node::SCENARIOS,
        checkpoint::SCENARIOS,
        node_limits::SCENARIOS,
        node_remote::SCENARIOS,
        node_power::SCENARIOS,
    ]
    .concat();
    qemu_tests::harness::main(&scenarios)
}
