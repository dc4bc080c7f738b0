//! How a task with a contract gets its data: the board's broker, a command like others that the operator has named, feeds
//! its guest.
//!
//! Nothing of it is written down a second time: who is fed by whom is seen in xenstore, and who should be follows from the
//! journal. So a broker that was started anew, or a node, finds and brings it in order.
//!
//! A contract becomes text for the broker. Source: tasks/broker/store/src/contract.rs.

use std::fmt::Write;

use protocol::Timestamp;
use protocol::command::{Contract, Window};
use thiserror::Error;

use crate::GuestId;

/// The most bytes of a contract's text: xenstored takes 4096 with the path of the node.
const TEXT_MAX: usize = 3 * 1024;
/// The most sensors that a contract names, as [`Contract`] says.
const SENSORS_MAX: usize = 64;

/// A guest to be fed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Which.
    pub guest: GuestId,
    /// The guest of the board's broker.
    pub feeder: GuestId,
    /// What it may have, as the broker reads it.
    pub contract: String,
    /// Whether the feed goes on at another broker's when this one is gone. One that ends does not: nobody would know what is
    /// missing.
    pub is_live: bool,
}

/// Why the board's broker cannot be told a contract.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unfit {
    /// No sensor, or too many.
    #[error("it names {0} sensors; a contract names 1 to {SENSORS_MAX}")]
    Sensors(usize),
    /// Its text is too long.
    #[error("it has {0} bytes as the broker reads it, which takes {TEXT_MAX} at most: name fewer sensors, or use *")]
    TooLong(usize),
    /// Its window is no time.
    #[error("its window ends at {until}, which is not after its beginning at {from}")]
    NoTime {
        /// Where it begins.
        from: Timestamp,
        /// Where it ends.
        until: Timestamp,
    },
    /// The broker counts in seconds: another window would be more, or less, than the contract says.
    #[error("its window begins or ends within a second, or after the year 2105: {0}")]
    NoSecond(Timestamp),
}

/// Whether the broker can be told a contract.
///
/// # Errors
/// It cannot, and why.
pub fn judge(contract: &Contract) -> Result<(), Unfit> {
    if !(1..=SENSORS_MAX).contains(&contract.sensors.len()) {
        return Err(Unfit::Sensors(contract.sensors.len()));
    }
    if let Window::Past { from, until } = contract.window {
        if from >= until {
            return Err(Unfit::NoTime { from, until });
        }
        let is_second =
            |time: &Timestamp| time.milliseconds().is_multiple_of(1000) && u32::try_from(seconds(*time)).is_ok();
        if let Some(time) = [from, until].into_iter().find(|time| !is_second(time)) {
            return Err(Unfit::NoSecond(time));
        }
    }
    let bytes = text(contract).len();
    if bytes > TEXT_MAX { Err(Unfit::TooLong(bytes)) } else { Ok(()) }
}

/// A contract that was judged, as the broker reads it. Patterns have neither of the signs that the text is made of.
#[must_use]
pub fn text(contract: &Contract) -> String {
    let mut text = String::new();
    for sensors in &contract.sensors {
        let narrower = [("kind", &sensors.kind), ("unit", &sensors.unit), ("place", &sensors.place)];
        let narrower = narrower.into_iter().filter_map(|(key, pattern)| Some((key, pattern.as_ref()?)));
        for (key, pattern) in [("name", &sensors.name)].into_iter().chain(narrower) {
            // A string takes what it is given.
            let _ = write!(text, "{key}={pattern}&");
        }
    }
    text += &match contract.window {
        Window::Live => "live=yes".to_owned(),
        Window::Past { from, until } => format!("from_s={}&until_s={}", seconds(from), seconds(until)),
    };
    let rate = contract.most_readings_per_second.get();
    // The broker takes that for no limit at all, as it is meant.
    if rate == u32::MAX { text } else { format!("{text}&rate={rate}") }
}

fn seconds(time: Timestamp) -> u64 {
    time.milliseconds() / 1000
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use protocol::Timestamp;
    use protocol::command::{Contract, Sensors, Window};

    use super::{Unfit, judge, text};

    fn sensors(name: &str) -> Sensors {
        Sensors { name: name.parse().unwrap(), kind: None, unit: None, place: None }
    }

    fn contract(sensors: Vec<Sensors>, window: Window) -> Contract {
        Contract { sensors, window, most_readings_per_second: NonZeroU32::new(1000).unwrap() }
    }

    fn past(from: u64, until: u64) -> Window {
        Window::Past { from: Timestamp::from_milliseconds(from), until: Timestamp::from_milliseconds(until) }
    }

    #[test]
    fn the_broker_reads_what_the_contract_says() {
        let roof = Sensors { kind: Some("temperature".parse().unwrap()), ..sensors("roof/*") };
        let yard =
            Sensors { unit: Some("Cel".parse().unwrap()), place: Some("*3".parse().unwrap()), ..sensors("yard") };
        let mut live = contract(vec![roof, yard], Window::Live);
        let written = "name=roof/*&kind=temperature&name=yard&unit=Cel&place=*3&live=yes&rate=1000";
        assert_eq!(text(&live), written);
        let read = store::Contract::parse(written).unwrap();
        assert_eq!((read.sensors.len(), read.window, read.most_readings_per_second), (2, store::Window::Live(0), 1000));
        live.most_readings_per_second = NonZeroU32::MAX;
        assert_eq!(store::Contract::parse(&text(&live)).unwrap().most_readings_per_second, u32::MAX);
        let read = store::Contract::parse(&text(&contract(vec![sensors("*")], past(5000, 8000)))).unwrap();
        assert_eq!(read.window, store::Window::Past(5_000_000_000, 8_000_000_000));
    }

    #[test]
    fn a_contract_that_the_broker_cannot_be_told_is_refused_with_the_numbers() {
        let of = |sensors| judge(&contract(sensors, Window::Live));
        assert_eq!(of(Vec::new()), Err(Unfit::Sensors(0)));
        assert_eq!(of(vec![sensors("*"); 65]), Err(Unfit::Sensors(65)));
        assert_eq!(of(vec![sensors("*"); 64]), Ok(()));
        assert_eq!(of(vec![sensors(&"a".repeat(255)); 12]), Err(Unfit::TooLong(12 * 261 + 18)));
        let of = |window| judge(&contract(vec![sensors("*")], window)).map_err(|unfit| unfit.to_string());
        assert_eq!(of(past(1000, 2000)), Ok(()));
        assert!(of(past(2000, 2000)).unwrap_err().contains("not after its beginning"));
        for (from, until) in [(1001, 3000), (1000, 3001), (1000, 1000 << 32)] {
            assert!(of(past(from, until)).unwrap_err().contains("within a second"), "{from} {until}");
        }
    }
}
