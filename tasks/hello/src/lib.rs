//! The smallest task: prints a line and the memory it has, and ends.

#![no_std]
#![forbid(unsafe_code)]

use core::convert::Infallible;

use kernel::System;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// The task has no parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {}

/// The memory figures of the platform, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// All memory of the guest.
    pub total_bytes: u64,
    /// Code, constants, static data and stack.
    pub image_bytes: u64,
    /// What the heap may grow to.
    pub heap_bytes: u64,
    /// The most that was allocated at once so far.
    pub heap_peak_bytes: u64,
}

/// Prints the line.
///
/// # Errors
/// None.
pub async fn run(_: Parameters, system: &impl System) -> Result<Report, Infallible> {
    let memory = system.memory();
    kernel::println!(
        "Hello from a guest of {} KiB: {} KiB image and stack, {} KiB for the heap",
        memory.total_bytes / 1024,
        memory.image_bytes / 1024,
        memory.heap_bytes / 1024
    );
    Ok(Report {
        total_bytes: memory.total_bytes as u64,
        image_bytes: memory.image_bytes as u64,
        heap_bytes: memory.heap_bytes as u64,
        heap_peak_bytes: memory.heap_peak_bytes as u64,
    })
}
