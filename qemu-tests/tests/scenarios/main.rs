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
mod node_feed;
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

use qemu_tests::Arch;

/// What takes long and is the same code on each CPU: a run of all scenarios has them on one only, unless it is asked for
/// `--all`. Xen's side of it (events, grants, page tables, clocks) has quicker scenarios on each.
const ON_ONE: &[(&str, Arch)] = &[
    ("survive: a stream and collect outlive a backend that is bound again and again", Arch::Armv7),
    ("survive: a stream and collect outlive a reload of the backend's driver", Arch::Armv7),
    ("survive: four guests serve at once", Arch::Armv7),
    ("console: a guest whose console nobody reads goes on, and counts what is lost", Arch::Armv7),
    ("collect: a flood at the source starves neither the cloud nor the request to end", Arch::Armv7),
    ("addresses: a second, authoritative DHCP server takes no address away", Arch::Armv7),
    ("time: a step of the wall clock by hours moves no timer", Arch::Armv7),
    ("time: guests go on quietly after a pause", Arch::Armv7),
    ("leftovers: guests that come and go leave memory as it was", Arch::Armv7),
    ("traffic: small packets from Linux's generator arrive and harm nothing", Arch::Armv7),
    ("survive: a stream and collect outlive detachments of their cards", Arch::X86_64),
    ("echo: a TCP stream of 50 MB comes back byte for byte", Arch::X86_64),
];

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
        node_feed::SCENARIOS,
        node_limits::SCENARIOS,
        node_remote::SCENARIOS,
        node_power::SCENARIOS,
    ]
    .concat();
    qemu_tests::harness::main(&scenarios, ON_ONE)
}
