//! The data that a command's task is to get, as a person writes it.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use protocol::command::{Contract, Sensors, Window};
use protocol::{SensorPattern, Timestamp};

/// Which readings the board's broker feeds the task with.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// The sensors that the task gets, such as 'name=roof/*&kind=temperature&name=yard/*': kind, unit and place narrow the
    /// name before them. May be given again, for more.
    #[arg(long, requires = "window")]
    sensors: Vec<Named>,
    /// Their readings from now on.
    #[arg(long, requires = "sensors", group = "window")]
    live: bool,
    /// Their readings of the time up to now, such as 1h.
    #[arg(long, requires = "sensors", group = "window", value_parser = past, value_name = "DURATION")]
    past: Option<Duration>,
    /// The most readings a second, of all sensors together; all there are when it is left out.
    #[arg(long, requires = "sensors", value_name = "READINGS")]
    rate: Option<NonZeroU32>,
}

impl Arguments {
    /// The contract, if one is given.
    pub fn contract(&self, now: Timestamp) -> Option<Contract> {
        let sensors: Vec<_> = self.sensors.iter().flat_map(|named| named.0.clone()).collect();
        let window = match self.past {
            Some(past) => {
                // Whole seconds, as the broker counts; the one that has begun is among them.
                let second = Duration::from_secs(now.milliseconds() / 1000 + 1);
                let time = |time: Duration| Timestamp::from_milliseconds(time.as_secs() * 1000);
                Window::Past { from: time(second.saturating_sub(past)), until: time(second) }
            }
            None => Window::Live,
        };
        let most_readings_per_second = self.rate.unwrap_or(NonZeroU32::MAX);
        (!sensors.is_empty()).then_some(Contract { sensors, window, most_readings_per_second })
    }
}

/// Sensors by names and what narrows them.
#[derive(Debug, Clone)]
struct Named(Vec<Sensors>);

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut sensors: Vec<Sensors> = Vec::new();
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("\"{pair}\" is not key=value"))?;
            let pattern: SensorPattern = value.parse().map_err(|error| format!("{error}"))?;
            if key == "name" {
                sensors.push(Sensors { name: pattern, kind: None, unit: None, place: None });
                continue;
            }
            let last = sensors.last_mut().ok_or("it begins with a name: name=roof/*")?;
            let place = match key {
                "kind" => &mut last.kind,
                "unit" => &mut last.unit,
                "place" => &mut last.place,
                _ => return Err(format!("\"{key}\" is none of name, kind, unit and place")),
            };
            if place.replace(pattern).is_some() {
                return Err(format!("{key} is given twice for \"{}\"", last.name));
            }
        }
        Ok(Self(sensors))
    }
}

fn past(text: &str) -> Result<Duration, String> {
    let past = humantime::parse_duration(text).map_err(|error| format!("{error}: write 30s, 10m or 2h"))?;
    if past < Duration::from_secs(1) { Err(format!("\"{text}\" is less than a second")) } else { Ok(past) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use protocol::Timestamp;
    use protocol::command::{Contract, Window};

    use super::Arguments;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        data: Arguments,
    }

    fn contract(words: &[&str]) -> Result<Option<Contract>, String> {
        let line = Line::try_parse_from([&["spore"], words].concat()).map_err(|error| error.to_string())?;
        Ok(line.data.contract(Timestamp::from_milliseconds(10_000_500)))
    }

    #[test]
    fn sensors_a_window_and_a_rate_are_a_contract() {
        assert_eq!(contract(&[]), Ok(None));
        let words = [
            "--sensors",
            "name=roof/*&kind=temperature&name=yard",
            "--sensors",
            "name=a",
            "--past",
            "1h",
            "--rate",
            "9",
        ];
        let past = contract(&words).unwrap().unwrap();
        let names: Vec<_> = past.sensors.iter().map(|sensors| sensors.name.as_str()).collect();
        assert_eq!(names, ["roof/*", "yard", "a"]);
        let kinds = past.sensors.iter().filter_map(|sensors| sensors.kind.as_ref());
        assert_eq!(kinds.map(|kind| kind.as_str()).collect::<Vec<_>>(), ["temperature"]);
        let time = Timestamp::from_milliseconds;
        assert_eq!(past.window, Window::Past { from: time(6_401_000), until: time(10_001_000) });
        assert_eq!(past.most_readings_per_second.get(), 9);
        let live = contract(&["--sensors", "name=*", "--live"]).unwrap().unwrap();
        assert_eq!((live.window, live.most_readings_per_second.get()), (Window::Live, u32::MAX));
    }

    #[test]
    fn half_a_contract_is_refused_with_what_is_missing() {
        for (words, said) in [
            (&["--sensors", "name=*"][..], "--live"),
            (&["--live"], "--sensors"),
            (&["--rate", "3"], "--sensors"),
            (&["--sensors", "name=*", "--live", "--past", "1h"], "cannot be used with"),
            (&["--sensors", "kind=a", "--live"], "begins with a name"),
            (&["--sensors", "name=a&kind=b&kind=c", "--live"], "kind is given twice for \"a\""),
            (&["--sensors", "name=a b", "--live"], "is not a pattern for sensors' names"),
            (&["--sensors", "name=a&colour=b", "--live"], "\"colour\" is none of"),
            (&["--sensors", "name=a", "--past", "10ms"], "less than a second"),
        ] {
            let error = contract(words).unwrap_err();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
