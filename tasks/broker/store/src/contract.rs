//! What a task may have: which sensors, which of their readings, and how many a second. The words are those of a command's
//! contract.

use alloc::vec::Vec;

use crate::SECOND_NS;
use crate::options::{number, pairs};
use crate::pattern::Pattern;
use crate::sensor::Sensor;

/// What a task may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Which sensors: those that any of these names.
    pub sensors: Vec<Selection>,
    /// Which of their readings.
    pub window: Window,
    /// The most readings a second, of all sensors together.
    pub most_readings_per_second: u32,
}

/// Sensors that all that is said here is true of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    name: Pattern,
    kind: Option<Pattern>,
    unit: Option<Pattern>,
    place: Option<Pattern>,
}

/// Which readings. Times are in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// From the task's start on, until it ends; before them those of so many nanoseconds before its start.
    Live(i64),
    /// Those of so many nanoseconds before the task's start.
    Last(i64),
    /// Those from the first time up to and without the second.
    Past(i64, i64),
}

/// The most selections of a contract, as in a command.
const SELECTIONS_MAX: usize = 64;

impl Contract {
    /// Reads `name=roof/*&kind=temperature&name=yard/*&past_s=3600&rate=1000`.
    ///
    /// `kind`, `unit` and `place` are about the `name` before them. The window is live where nothing else is said:
    /// `past_s` is the last seconds, and with `live=yes` what comes after them too; `from_s` and `until_s`, in seconds since
    /// 1970, are a span of time. Without `rate` readings are as many as there are.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut sensors: Vec<Selection> = Vec::new();
        let (mut past_ns, mut live, mut span) = (None, false, (None, None));
        let mut most_readings_per_second = u32::MAX;
        for pair in pairs(text) {
            let pattern = |text| Some(Pattern::new(text));
            match pair? {
                ("name", text) => {
                    sensors.push(Selection { name: Pattern::new(text), kind: None, unit: None, place: None });
                }
                ("kind", text) => Self::selection(&mut sensors)?.kind = pattern(text),
                ("unit", text) => Self::selection(&mut sensors)?.unit = pattern(text),
                ("place", text) => Self::selection(&mut sensors)?.place = pattern(text),
                ("past_s", text) => past_ns = Some(seconds(text)?),
                ("from_s", text) => span.0 = Some(seconds(text)?),
                ("until_s", text) => span.1 = Some(seconds(text)?),
                ("live", "yes") => live = true,
                ("rate", text) => most_readings_per_second = number(text, "rate is a number of readings a second")?,
                _ => return Err("a key is name, kind, unit, place, past_s, live=yes, from_s, until_s or rate"),
            }
        }
        if !(1..=SELECTIONS_MAX).contains(&sensors.len()) {
            return Err("it has 1 to 64 names");
        }
        if most_readings_per_second == 0 {
            return Err("rate is at least 1");
        }
        let window = match (past_ns, live, span) {
            (past_ns, true, (None, None)) => Window::Live(past_ns.unwrap_or(0)),
            (None, false, (None, None)) => Window::Live(0),
            (Some(past_ns), false, (None, None)) => Window::Last(past_ns),
            (None, false, (Some(from_ns), Some(until_ns))) if from_ns < until_ns => Window::Past(from_ns, until_ns),
            _ => return Err("a window is past_s, live=yes, both, or from_s with a later until_s"),
        };
        Ok(Self { sensors, window, most_readings_per_second })
    }

    fn selection(sensors: &mut [Selection]) -> Result<&mut Selection, &'static str> {
        sensors.last_mut().ok_or("kind, unit and place stand behind a name")
    }

    /// Whether the task may have a sensor.
    #[must_use]
    pub fn selects(&self, sensor: &Sensor) -> bool {
        let is = |pattern: &Option<Pattern>, text| pattern.as_ref().is_none_or(|pattern| pattern.matches(text));
        self.sensors.iter().any(|selection| {
            selection.name.matches(sensor.name())
                && is(&selection.kind, sensor.kind())
                && is(&selection.unit, sensor.unit())
                && is(&selection.place, sensor.place())
        })
    }

    /// Whether the name of a sensor that the task may have can begin so, or may: what is refused need not be looked at.
    #[must_use]
    pub fn may_begin(&self, prefix: &str) -> bool {
        self.sensors.iter().any(|selection| selection.name.may_begin(prefix))
    }

    /// Whether readings of before the task's start are wanted.
    #[must_use]
    pub fn wants_past(&self) -> bool {
        self.window != Window::Live(0)
    }
}

fn seconds(text: &str) -> Result<i64, &'static str> {
    let seconds: u32 = number(text, "past_s, from_s and until_s are whole seconds")?;
    Ok(i64::from(seconds) * SECOND_NS)
}

#[cfg(test)]
mod tests {
    use super::{Contract, Window};
    use crate::sensor::Sensor;

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_window_is_live_past_or_both() {
        for (text, window) in [
            ("name=*", Window::Live(0)),
            ("name=*&live=yes", Window::Live(0)),
            ("name=*&past_s=60", Window::Last(60 * S)),
            ("name=*&past_s=60&live=yes", Window::Live(60 * S)),
            ("name=*&from_s=1&until_s=3", Window::Past(S, 3 * S)),
        ] {
            assert_eq!(Contract::parse(text).expect(text).window, window, "{text}");
        }
    }

    #[test]
    fn what_is_no_contract_is_refused() {
        for text in [
            "",
            "name",
            "past_s=1",
            "kind=a&name=b",
            "name=a&rate=0",
            "name=a&rate=x",
            "name=a&from_s=1",
            "name=a&from_s=3&until_s=3",
            "name=a&from_s=1&until_s=3&live=yes",
            "name=a&past_s=-1",
            "name=a&live=no",
            "name=a&colour=red",
            &"name=a&".repeat(65)[..65 * 7 - 1],
        ] {
            assert!(Contract::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_that_stands_behind_a_name_must_be_true() {
        let sensor = |name, kind, unit, place| Sensor::new(&feed::Sensor { name, kind, unit, place }, &[]);
        let contract = Contract::parse("name=roof/*&kind=temperature&unit=Cel&name=yard&place=*3").expect("a contract");
        assert!(contract.selects(&sensor("roof/a", "temperature", "Cel", "")));
        assert!(!contract.selects(&sensor("roof/a", "temperature", "K", "")));
        assert!(!contract.selects(&sensor("roof/a", "", "Cel", "yard 3")));
        assert!(contract.selects(&sensor("yard", "", "", "yard 3")));
        assert!(!contract.selects(&sensor("yard", "temperature", "Cel", "yard 4")));
    }
}
