//! The numbers of a feed's sensors, which the task counts on, also when the feed begins anew and describes them in another
//! order.

use alloc::string::String;
use alloc::vec::Vec;

use ::feed::{Fault, Gap, Item, SENSORS_MAX, Sensor};

/// Which sensors the task knows. A sensor is one by its name and its unit, as for those who keep readings.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By the task's number, for a feed that may begin anew.
    known: Vec<String>,
    /// The task's numbers of those that were described since the feed began anew; before that they are the same.
    since: Option<Vec<usize>>,
}

impl Names {
    /// The feed begins anew: nothing is described.
    pub(super) fn begin_anew(&mut self) {
        self.since = Some(Vec::new());
    }

    /// Notes a sensor that is described; whether it is new to the task.
    ///
    /// # Errors
    /// There would be more than a task is told of.
    pub(super) fn describe(&mut self, sensor: &Sensor<'_>) -> Result<bool, Fault> {
        // Texts of a feed have no control characters.
        let name = [sensor.name, "\0", sensor.unit].concat();
        let found = match self.since {
            Some(_) => self.known.iter().position(|known| *known == name),
            None => None,
        };
        if found.is_none() && self.known.len() == SENSORS_MAX {
            return Err(Fault::Sensors);
        }
        if let Some(since) = &mut self.since {
            since.push(found.unwrap_or(self.known.len()));
        }
        if found.is_none() {
            self.known.push(name);
        }
        Ok(found.is_none())
    }

    /// The item with the task's numbers.
    pub(super) fn renumber<'a>(&self, item: Item<'a>) -> Item<'a> {
        // The decoder has judged that it was described.
        let of = |sensor: usize| self.since.as_ref().and_then(|since| since.get(sensor).copied()).unwrap_or(sensor);
        match item {
            Item::Readings(sensor, readings) => Item::Readings(of(sensor), readings),
            Item::Gap(gap) => Item::Gap(Gap { sensor: gap.sensor.map(of), ..gap }),
            Item::Sensor(sensor) => Item::Sensor(sensor),
        }
    }
}
