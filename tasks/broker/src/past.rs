//! The past, from an InfluxDB 1.x over HTTP: readings of before what the store holds, which do not go through it.
//!
//! Each task that wants them has a query of its own under way, which comes line by line and waits where the task does not
//! take what came. So memory is a line, a turn of readings and a connection for each task, whatever the database has.
//!
//! A sensor is a numeric field of a series, and has the name that its line would give it ([`readings::influx`]): the series are
//! looked through page by page, and of those that the contract selects each field is asked for alone. What comes back is
//! judged again: the series, by its tags, and time and value by [`store::Delivery::take_past`].

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;
use core::future::pending;

use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use feed::Reading;
use kernel::net::Network;
use kernel::println;
use readings::influx::answer::{self, Part};
use readings::influx::{measurement_and_tags, name_of, sensor_name};
use readings::name::NAME_BYTES;
use store::{Delivery, Span};

use crate::archive::{ATTEMPTS, Archive, Fault};
use crate::hub::{Hub, nanoseconds};
use crate::tasks::Task;

mod query;

/// How many series are looked at together.
const PAGE: usize = 64;
/// The most pages that are looked through, with 65,536 series: an end has to come.
const PAGES: usize = 1024;
/// How many readings come in a line.
const CHUNK: usize = 256;
/// The most fields of a measurement.
const FIELDS: usize = 1024;

/// A feed that the store and a database give to.
pub(crate) struct Desk {
    pub(crate) delivery: RefCell<Delivery>,
    /// Raised when something was given.
    pub(crate) given: Signal<NoopRawMutex, ()>,
}

/// A series: its measurement, its tags, and both as one key.
struct Series {
    key: String,
    measurement: String,
    tags: Vec<(String, String)>,
}

impl Archive {
    /// Gives all sensors that the contract selects.
    async fn give(&self, network: &impl Network, hub: &Hub, task: &Task, desk: &Desk) -> Result<(), Fault> {
        // Of the last measurement, whose series are mostly one behind the other.
        let mut fields = (String::new(), Vec::new());
        for page in 0..PAGES {
            let keys = self.texts(network, &query::series(PAGE, page * PAGE), PAGE).await?;
            for (key, _) in &keys {
                let prefix = name_of(key.as_bytes());
                if prefix.len() > NAME_BYTES || !desk.delivery.borrow().may_select(&prefix) {
                    continue;
                }
                let (measurement, tags) = measurement_and_tags(key.as_bytes());
                if fields.0 != measurement {
                    fields = (measurement.clone(), self.texts(network, &query::fields(&measurement), FIELDS).await?);
                }
                let series = Series { key: key.clone(), measurement, tags };
                let numeric = |kind: &str| matches!(kind, "float" | "integer" | "unsigned");
                for (field, _) in fields.1.iter().filter(|(_, kind)| numeric(kind)) {
                    self.give_sensor(network, hub, task, desk, &series, field).await?;
                }
            }
            if keys.len() < PAGE {
                return Ok(());
            }
        }
        Err(Fault::Much)
    }

    /// Gives a sensor, if the contract selects it.
    async fn give_sensor(
        &self,
        network: &impl Network,
        hub: &Hub,
        task: &Task,
        desk: &Desk,
        series: &Series,
        field: &str,
    ) -> Result<(), Fault> {
        let Some(name) = sensor_name(series.key.as_bytes(), field) else { return Ok(()) };
        let sensor = feed::Sensor { name: &name, kind: &self.kind, unit: &self.unit, place: "" };
        if !hub.look(|store| desk.delivery.borrow_mut().begin_past(store, &sensor)) {
            return Ok(());
        }
        let mut lost = 0;
        loop {
            desk.drain().await;
            let missing = hub.look(|store| desk.delivery.borrow_mut().missing(store));
            let Some(span) = missing else { return Ok(()) };
            match self.readings(network, task, desk, series, field, span).await {
                Ok(()) => desk.delivery.borrow_mut().past_came(),
                // It goes on behind what came.
                Err(Fault::Lost) if lost + 1 < ATTEMPTS => lost += 1,
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Gives what a sensor has in a span.
    async fn readings(
        &self,
        network: &impl Network,
        task: &Task,
        desk: &Desk,
        series: &Series,
        field: &str,
        span: Span,
    ) -> Result<(), Fault> {
        let Series { measurement, tags, .. } = series;
        let mut lines = self.ask(network, &query::readings(measurement, tags, field, span), CHUNK).await?;
        let (mut scratch, mut batch) = (Vec::new(), Vec::new());
        while let Some(line) = lines.next().await? {
            read_batch(line, tags, &mut scratch, &mut batch)?;
            for reading in batch.drain(..) {
                while !desk.delivery.borrow().has_room() {
                    desk.given.wait().await;
                }
                desk.delivery.borrow_mut().take_past(reading);
                task.news.signal(());
            }
            yield_now().await;
        }
        Ok(())
    }
}

impl Desk {
    /// A feed that waits for a past, if there is a database.
    pub(crate) fn new(mut delivery: Delivery, archive: Option<&Archive>) -> Self {
        if archive.is_some() {
            delivery.await_past();
        }
        Self { delivery: RefCell::new(delivery), given: Signal::new() }
    }

    /// Gives the feed its past, if it waits for one.
    pub(crate) async fn fetch(&self, network: &impl Network, hub: &Hub, task: &Task) -> Infallible {
        if let Some(archive) = hub.archive().filter(|_| self.delivery.borrow().awaits_past()) {
            let ended = archive.give(network, hub, task, self).await;
            if let Err(fault) = &ended {
                println!("broker: task {}: its past is incomplete: {}: {fault}", task.number, archive.server);
            }
            self.drain().await;
            self.delivery.borrow_mut().end_past(ended.is_ok());
            task.news.signal(());
        }
        pending().await
    }

    /// Waits until all that came is given.
    async fn drain(&self) {
        while !self.delivery.borrow().has_given() {
            self.given.wait().await;
        }
    }
}

/// Reads a line of a series with these tags. Others may have the same and more, and are passed over.
fn read_batch(
    line: &[u8],
    tags: &[(String, String)],
    scratch: &mut Vec<u8>,
    batch: &mut Vec<Reading>,
) -> Result<(), Fault> {
    let (mut found, mut foreign, mut error) = (0, false, None);
    answer::read(line, scratch, &mut |part| match part {
        Part::Series => (found, foreign) = (0, false),
        Part::Tag(_, "") => {}
        Part::Tag(tag, value) => match tags.iter().any(|(one, is)| (&**one, &**is) == (tag, value)) {
            true => found += 1,
            false => foreign = true,
        },
        Part::Error(why) => error = Some(Fault::said(why)),
        _ if foreign || found != tags.len() => {}
        _ if batch.len() == CHUNK => error = Some(Fault::Much),
        Part::Reading(time, value) => batch.push(Reading { time_ns: nanoseconds(time), value }),
        // Not a number is wrong wherever it stands.
        Part::Texts(..) | Part::Other => batch.push(Reading { time_ns: 0, value: f64::NAN }),
    })?;
    error.map_or(Ok(()), Err)
}
