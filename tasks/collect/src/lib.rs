//! Aggregates sensor readings: from the MQTT broker next to the sensors, in windows of time, to a broker in the cloud.
//!
//! The data's way: `source` receives SenML packs, [`readings::senml`] reads them, `window` assigns each reading to its
//! sensor's window, [`readings::statistics`] keeps count, extremes, mean and variance, a closed window waits in `outbox`, and
//! `cloud` publishes it as `summary` writes it. Memory grows with the number of sensors and of summaries not yet
//! delivered, both bounded by parameters, never with the number of readings.
//!
//! Read `window` for what a window is, `source` and `cloud` for what happens when a broker goes away.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod collector;
mod link;
mod mqtt;
mod outbox;
mod repeats;
mod summary;
mod window;

mod cloud;
mod parameters;
mod report;
mod source;

pub use parameters::{Error, Parameters};
pub use readings::SensorReport;
pub use report::Report;

use embassy_futures::join::join;
use kernel::Networked;

use collector::Collector;
use parameters::Settings;

/// Collects until the end that the parameters name, or until the platform asks to stop; then closes the open windows,
/// waits for their delivery and reports.
///
/// # Errors
/// Only for parameters that cannot be used. A broker that is away, and readings that make no sense, are counted.
pub async fn run(parameters: Parameters, system: &impl Networked) -> Result<Report, Error> {
    let settings = Settings::new(parameters, system)?;
    let collector = Collector::new(&settings);
    join(source::run(&settings, &collector, system), cloud::run(&settings, &collector, system)).await;
    Ok(collector.into_report())
}
