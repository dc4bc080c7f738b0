//! What is measured, one module each.

mod broker;
pub mod heap;
mod idle;
pub mod input;
mod latency;
mod node;
mod scale;
mod size;
mod start;
mod tcp;
mod udp;

use std::fmt;

use anyhow::Result;

use super::Bench;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// Bytes that xl boots, and the least memory that a guest works in.
    Size,
    /// Spore's own start: heap and time to the task, for sizes of memory.
    Heap,
    /// xl create to the first line and to the first answered ping.
    Start,
    /// TCP throughput both ways; CPU time, events and hypercalls per MB.
    Tcp,
    /// UDP packets a second both ways.
    Udp,
    /// Ping, round trips of small messages, connections a second.
    Latency,
    /// CPU time of guests that have nothing to do.
    Idle,
    /// Throughput, latency and dom0's load with 1 to 16 guests.
    Scale,
    /// How much data a guest of 8 MiB takes in, up to 1 GB, and how fast beside Linux.
    Input,
    /// From a signed command to its guest and its result on a board with the node, step by step, beside xl alone.
    Node,
    /// Readings a second into the data broker, and what a window of them costs on its way to a task.
    Broker,
}

impl Case {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 11] = [
        Self::Size,
        Self::Heap,
        Self::Start,
        Self::Tcp,
        Self::Udp,
        Self::Latency,
        Self::Idle,
        Self::Scale,
        Self::Input,
        Self::Node,
        Self::Broker,
    ];

    /// Measures.
    pub fn run(self, bench: &mut Bench<'_>) -> Result<()> {
        match self {
            Self::Size => size::run(bench),
            Self::Heap => heap::run(bench),
            Self::Start => start::run(bench),
            Self::Tcp => tcp::run(bench),
            Self::Udp => udp::run(bench),
            Self::Latency => latency::run(bench),
            Self::Idle => idle::run(bench),
            Self::Scale => scale::run(bench),
            Self::Input => input::run(bench),
            Self::Node => node::run(bench),
            Self::Broker => broker::run(bench),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Heap => "heap",
            Self::Start => "start",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Latency => "latency",
            Self::Idle => "idle",
            Self::Scale => "scale",
            Self::Input => "input",
            Self::Node => "node",
            Self::Broker => "broker",
        })
    }
}
