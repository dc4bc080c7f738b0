//! The data broker of a board: listens to the sensors' MQTT broker, keeps what they say, and feeds tasks that have no
//! network.
//!
//! The data's way: `source` receives messages, [`mqtt::routes`] says how each is read, the crate [`store`] checks and keeps
//! the readings and knows what each task may have, and `serving` writes that into the task's channel, behind what `past`
//! fetches of the time before from a database. Memory is what the
//! parameters say, whatever comes: see [`store::Store`]. README.md says how it is used.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod archive;
mod error;
mod hub;
mod parameters;
mod past;
mod report;
mod serving;
mod source;
mod tasks;

pub use error::Error;
pub use parameters::Parameters;
pub use report::{Forgotten, Report, TaskReport};

use alloc::rc::Rc;

use embassy_futures::select::{Either3, select3};
use kernel::{Feeding, Networked};

use hub::Hub;
use parameters::Settings;

/// Listens and feeds until the platform asks to stop. Once a minute, and when the platform is asked, it says what it has
/// counted.
///
/// # Errors
/// Parameters that cannot be used. A source that is away, readings that make no sense, and tasks that are not there are
/// counted and said.
pub async fn run(parameters: Parameters, system: &(impl Networked + Feeding)) -> Result<Report, Error> {
    let settings = Settings::new(parameters, system)?;
    let hub = Rc::new(Hub::new(&settings)?);
    system.show_counts(hub.clone());
    match select3(source::run(&settings, &hub, system), serving::run(&hub, system), hub.keep(system)).await {
        Either3::First(ended) => ended.map(|()| hub.report()),
        Either3::Second(never) | Either3::Third(never) => match never {},
    }
}
