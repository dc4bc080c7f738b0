//! What the source and the tasks share: the store, what was counted, and who is to be told of news.
//!
//! All run in one thread and borrow the state for no longer than a call, never across a wait.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;

use embassy_time::Timer;
use feed::Reading;
use kernel::{Counts, System, println};
use mqtt::routes::{Routes, Taken as Route};
use mqtt::{Publish, Sample};
use readings::Item;
use store::{Delivery, Progress, Store, Taken};

use crate::archive::Archive;
use crate::error::Error;
use crate::parameters::Settings;
use crate::report::Report;
use crate::tasks::{Task, Tasks};

/// How often the counts are said, in seconds.
const COUNTS_S: u32 = 60;

/// The state that all share.
pub(crate) struct Hub {
    state: RefCell<State>,
    tasks: RefCell<Tasks>,
    archive: Option<Rc<Archive>>,
}

struct State {
    store: Store,
    /// All of the report but what the store and the tasks know.
    counts: Report,
    /// What was said since the last line of counts, a bit for each [`Trouble`].
    said: u8,
}

/// What is said once between two lines of counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    Unreadable,
    Unasked,
    TooLarge,
    NoSensor,
    NoName,
}

impl State {
    /// Whether a trouble is to be said.
    fn begins(&mut self, trouble: Trouble) -> bool {
        let bit = 1 << trouble as u8;
        let begins = self.said & bit == 0;
        self.said |= bit;
        begins
    }

    /// Takes one record of a message; whether there is something new.
    fn take(&mut self, item: Item<'_>, kind: &str, now_ns: i64) -> bool {
        let reading = match item {
            Item::Reading(reading) => reading,
            Item::Other => {
                self.counts.not_numeric += 1;
                return false;
            }
            Item::Malformed => {
                self.counts.malformed += 1;
                return false;
            }
        };
        let sensor = feed::Sensor { name: reading.name, kind, unit: reading.unit, place: "" };
        let known = self.store.sensors().len();
        let taken =
            self.store.take(&sensor, Reading { time_ns: nanoseconds(reading.time), value: reading.value }, now_ns);
        if self.store.sensors().len() > known {
            println!("broker: a new sensor: {} {}", sensor.name, sensor.unit);
        }
        self.judge(taken, &sensor);
        taken == Taken::Kept
    }

    /// Counts what the store does not, and says what is wrong when that begins.
    fn judge(&mut self, taken: Taken, sensor: &feed::Sensor<'_>) {
        let name = Sample(sensor.name.as_bytes());
        match taken {
            Taken::Kept | Taken::Duplicate => {}
            Taken::NoSensor => {
                self.counts.no_sensor += 1;
                if self.begins(Trouble::NoSensor) {
                    println!("broker: no room for the sensor {name}; parameter \"sensors\" says how many there may be");
                }
            }
            Taken::NoName => {
                self.counts.malformed += 1;
                if self.begins(Trouble::NoName) {
                    println!("broker: no name of a sensor: {name}");
                }
            }
            wrong => {
                // The first of each sensor: there are no more lines than sensors.
                let first = |known: &&store::Sensor| (known.name(), known.unit()) == (sensor.name, sensor.unit);
                if self.store.sensors().iter().find(first).is_some_and(|known| known.counts().wrong() == 1) {
                    println!("broker: a reading of {name} is refused: {wrong}");
                }
            }
        }
    }
}

impl Hub {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let store = Store::new(settings.limits, settings.rules.clone()).map_err(Error::Store)?;
        let state = State { store, counts: Report::default(), said: 0 };
        Ok(Self {
            state: RefCell::new(state),
            tasks: RefCell::new(Tasks::new(&settings.tasks)),
            archive: settings.archive.clone(),
        })
    }

    /// The database of what was before, if there is one.
    pub(crate) fn archive(&self) -> Option<&Archive> {
        self.archive.as_deref()
    }

    /// Looks at the store.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Store) -> R) -> R {
        look(&self.state.borrow().store)
    }

    /// The tasks that there are.
    pub(crate) fn tasks(&self) -> Vec<Rc<Task>> {
        self.tasks.borrow().all().to_vec()
    }

    /// Takes the list of tasks as it is now: lets go of those that are not in it any more, and returns those that are new.
    pub(crate) fn list(&self, listed: &BTreeMap<u16, String>) -> Vec<Rc<Task>> {
        self.tasks.borrow_mut().list(listed)
    }

    /// Takes a message.
    pub(crate) fn receive(&self, routes: &Routes, message: &Publish<'_>, now_ns: i64) {
        let state = &mut *self.state.borrow_mut();
        let (topic, payload) = (message.topic, message.payload);
        match routes.find(topic, message.subscriptions) {
            _ if message.retained => state.counts.retained += 1,
            Route::Copy => state.counts.repeated += 1,
            Route::Own | Route::Unasked => {
                state.counts.unasked += 1;
                if state.begins(Trouble::Unasked) {
                    println!("broker: not asked for: a message on {}", Sample(topic.as_bytes()));
                }
            }
            Route::By(route) => {
                state.counts.messages += 1;
                let (mut news, before) = (false, state.counts.malformed);
                let kind = route.kind(topic);
                let now = now_ns as f64 / 1e9;
                let read = route.read(topic, payload, now, &mut |item| news |= state.take(item, kind, now_ns));
                state.counts.malformed += u64::from(read.is_err());
                if state.counts.malformed != before && state.begins(Trouble::Unreadable) {
                    println!("broker: cannot be read, on {}: {}", Sample(topic.as_bytes()), Sample(payload));
                }
                if news {
                    self.tasks.borrow().all().iter().for_each(|task| task.news.signal(()));
                }
            }
        }
    }

    /// Notes a message that has been taken before.
    pub(crate) fn repeated(&self) {
        self.state.borrow_mut().counts.repeated += 1;
    }

    /// Notes a message that was too large to be looked at.
    pub(crate) fn passed(&self, topic: &str, length: usize) {
        let state = &mut *self.state.borrow_mut();
        state.counts.too_large += 1;
        if state.begins(Trouble::TooLarge) {
            println!("broker: too large: a message of {length} bytes on {}", Sample(topic.as_bytes()));
        }
    }

    /// Notes a message that is not as MQTT has it.
    pub(crate) fn unreadable(&self, topic: &str) {
        let state = &mut *self.state.borrow_mut();
        state.counts.malformed += 1;
        if state.begins(Trouble::Unreadable) {
            println!("broker: cannot be read, on {}: a message that is not as MQTT has it", Sample(topic.as_bytes()));
        }
    }

    /// Notes a connection to the source that is not the first.
    pub(crate) fn reconnected(&self) {
        self.state.borrow_mut().counts.source_reconnects += 1;
    }

    /// Appends what a task is to get next.
    pub(crate) fn fill(&self, delivery: &mut Delivery, now_ns: i64, out: &mut Vec<u8>) -> Progress {
        delivery.fill(&self.state.borrow().store, now_ns, out)
    }

    /// Lets go of what is too old, and says the counts, again and again.
    pub(crate) async fn keep(&self, system: &impl System) -> Infallible {
        for second in 1u32.. {
            Timer::after_secs(1).await;
            self.state.borrow_mut().store.expire(now_ns(system));
            if second % COUNTS_S == 0 {
                let mut line = String::new();
                self.write(&mut line);
                println!("broker: {line}");
                self.state.borrow_mut().said = 0;
            }
        }
        core::future::pending().await
    }

    /// The report of this moment.
    pub(crate) fn report(&self) -> Report {
        let state = self.state.borrow();
        let counts = state.store.counts();
        let (tasks, forgotten) = self.tasks.borrow().reports();
        Report {
            sensors: state.store.sensors().len() as u32,
            readings: counts.taken,
            duplicates: counts.duplicates,
            late: counts.late,
            old: counts.old,
            ahead: counts.ahead,
            out_of_range: counts.out_of_range,
            too_often: counts.too_often,
            displaced: counts.displaced,
            expired: counts.expired,
            kept: state.store.kept(),
            store_bytes: state.store.bytes_used() as u64,
            tasks,
            forgotten,
            ..state.counts.clone()
        }
    }
}

impl Counts for Hub {
    fn write(&self, out: &mut String) {
        self.report().write(out);
    }
}

/// The wall clock in nanoseconds since 1970.
pub(crate) fn now_ns(system: &impl System) -> i64 {
    system.unix_time().as_nanos() as i64
}

/// A message's time in nanoseconds. An `f64` of seconds has a quarter of a microsecond at best, and what was meant is
/// rather the microsecond next to it.
pub(crate) fn nanoseconds(seconds: f64) -> i64 {
    let microseconds = seconds * 1e6;
    let rounded = (microseconds + if microseconds < 0.0 { -0.5 } else { 0.5 }) as i64;
    rounded.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::nanoseconds;

    #[test]
    fn a_time_is_the_microsecond_that_was_meant() {
        for (seconds, ns) in [
            (1_700_000_000.1, 1_700_000_000_100_000_000),
            (1_700_000_000.123_456, 1_700_000_000_123_456_000),
            (-0.25, -250_000_000),
            (f64::NAN, 0),
            (1e300, i64::MAX),
        ] {
            assert_eq!(nanoseconds(seconds), ns, "{seconds}");
        }
    }
}
