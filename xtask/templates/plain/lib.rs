//! {name}: the highest of some readings, and how many are above a limit.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

use kernel::System;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// What the task is told.
#[derive(Deserialize, Schema)]
pub struct Parameters {
    /// The readings: readings=21,19,24
    pub readings: Vec<i32>,
    /// An Option may be left out.
    pub limit: Option<i32>,
}

/// What the task found.
#[derive(Debug, PartialEq, Serialize, Schema)]
pub struct Report {
    /// The highest reading.
    pub highest: i32,
    /// How many are above the limit.
    pub above_limit: u32,
}

/// The task.
///
/// # Errors
/// There are no readings.
pub async fn run(parameters: Parameters, _: &impl System) -> Result<Report, &'static str> {
    let highest = *parameters.readings.iter().max().ok_or("no readings")?;
    let limit = parameters.limit.unwrap_or(i32::MAX);
    let above_limit = parameters.readings.iter().filter(|reading| **reading > limit).count() as u32;
    kernel::println!("{} readings, {above_limit} above {limit}", parameters.readings.len());
    Ok(Report { highest, above_limit })
}
