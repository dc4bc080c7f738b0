//! Aggregates sensor readings: from the MQTT broker next to the sensors, in windows of time, to a broker in the cloud.
//!
//! The data's way: `source` receives messages, [`mqtt::routes`] says how each is read, [`readings`] reads them, `window` assigns
//! each reading to its series' window, [`readings::statistics`] keeps count, extremes, mean and variance, a closed window
//! waits in `backlog`, and `cloud` publishes it as `summary` writes it. Memory grows with the number of series and of
//! summaries not yet delivered, both bounded by parameters, never with the number of readings. `keeper` saves all of that,
//! where somebody keeps it, so that a run after a crash goes on.
//!
//! Read `window` for what a window is, `source` and `cloud` for what happens when a broker goes away.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod backlog;
mod collector;
mod keeper;
mod said;
mod summary;
mod window;

mod cloud;
mod error;
mod parameters;
mod report;
mod source;

pub use error::Error;
pub use parameters::Parameters;
pub use readings::SensorReport;
pub use report::Report;

use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use kernel::Networked;

use collector::Collector;
use keeper::Keeper;
use parameters::Settings;

/// Collects until the end that the parameters name, or until the platform asks to stop; then closes the open windows,
/// waits for their delivery and reports. Once a minute, and when the platform is asked, it says what it has counted.
///
/// # Errors
/// Parameters that cannot be used, and a run that has delivered none of its summaries. A broker that is away, and
/// readings that make no sense, are counted and said.
pub async fn run(parameters: Parameters, system: &impl Networked) -> Result<Report, Error> {
    let mut settings = Settings::new(parameters, system)?;
    let collector = Collector::new(&settings);
    let (keeper, session) = Keeper::begin(system, &mut settings, &collector).await;
    system.show_counts(collector.counts());
    let work =
        join(source::run(&settings, &collector, &keeper, session, system), cloud::run(&settings, &collector, system));
    match select(work, collector.speak()).await {
        Either::First((Ok(()), ())) => collector.outcome(),
        Either::First((Err(error), ())) => Err(error),
        Either::Second(never) => match never {},
    }
}
