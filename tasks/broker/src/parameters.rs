//! The task's parameters, and what they mean where one is left out.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use kernel::System;
use mqtt::routes::{self, Route, Routes};
use mqtt::{Address, Broker};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};
use store::{Contract, Limits, Rule};

use crate::archive::Archive;
use crate::error::Error;
use crate::tasks::TASKS_MAX;

/// The task's parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// The MQTT broker of the sensors, `host:port` or `host` (port 1883); the host is an address or a name.
    pub source: String,
    /// What to take there: topic filters of SenML packs, such as `sensors/#`, or templates with a format before them, such
    /// as `json:zigbee2mqtt/{name}`, `influx:telegraf/#` or `number:home/{name}/{kind}?unit=Cel`.
    pub topics: Vec<String>,
    /// The tasks to feed, each by its domain's number and its contract:
    /// `7?name=roof/*&kind=temperature&name=yard/*&past_s=3600&live=yes&rate=1000`. Beside them those of which the platform
    /// says so while the broker runs.
    pub tasks: Option<Vec<String>>,
    /// What is known of sensors, and what their readings must keep to:
    /// `name=home/*/temperature&kind=temperature&place=Home&min=-40&max=85&rate=10`. The first that names a sensor holds.
    pub rules: Option<Vec<String>>,
    /// User name at the source.
    pub source_user: Option<String>,
    /// Password at the source; it needs a user name.
    pub source_password: Option<String>,
    /// The database of what was before, an InfluxDB 1.x: `http://host:port/database`. A task that wants readings of before what is
    /// kept here gets them from there. `?kind=temperature&unit=Cel` behind it is what all its sensors have; none when left out.
    pub past: Option<String>,
    /// User name at that database.
    pub past_user: Option<String>,
    /// Password there; it needs a user name.
    pub past_password: Option<String>,
    /// MQTT client identifier; `broker-` and eight random hex digits when left out.
    pub client: Option<String>,
    /// MQTT keepalive in seconds; 30 when left out.
    pub keepalive_s: Option<u32>,
    /// Memory for sensors and readings, in MiB, taken at the start; 4 when left out. The rest of the guest needs 4 MiB, and
    /// 110 KiB for each task, 140 KiB more while its past is fetched.
    pub store_mib: Option<u32>,
    /// The most sensors; 256 when left out. Each takes 2 KiB of the store at least.
    pub sensors: Option<u32>,
    /// How long a reading is kept, in seconds, if there is room; a day when left out.
    pub age_s: Option<u32>,
    /// How far a reading's time may be ahead of the guest's clock, in seconds; 300 when left out.
    pub ahead_s: Option<u32>,
}

/// The parameters, checked and complete.
pub(crate) struct Settings {
    pub(crate) source: Broker,
    pub(crate) routes: Routes,
    pub(crate) tasks: Vec<(u16, Contract)>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) limits: Limits,
    pub(crate) archive: Option<Rc<Archive>>,
}

/// How long the source keeps the session for us while we are away.
const SESSION_S: u32 = 3600;
/// Longest client identifier, user name and password.
const TEXT_BYTES: usize = 64;

impl Settings {
    pub(crate) fn new(parameters: Parameters, system: &impl System) -> Result<Self, Error> {
        let Parameters { source, topics, tasks, rules, .. } = &parameters;
        let address = Address::parse(source).ok_or_else(|| wrong("source", source, "it is host or host:port"))?;
        if !(1..=routes::MOST).contains(&topics.len()) {
            return Err(wrong("topics", "", "there are 1 to 63"));
        }
        let route = |topic: &String| Route::parse(topic).map_err(|what| wrong("topics", topic, what));
        let taken = topics.iter().map(route).collect::<Result<_, _>>()?;
        let rule = |text: &String| Rule::parse(text).map_err(|what| wrong("rules", text, what));
        let rules = rules.iter().flatten().map(rule).collect::<Result<_, _>>()?;
        let limits = Limits {
            bytes: in_range("store_mib", parameters.store_mib, 4, 1..=2048)? as usize * (1 << 20),
            sensors: in_range("sensors", parameters.sensors, 256, 1..=100_000)? as usize,
            age_s: in_range("age_s", parameters.age_s, 86_400, 1..=u32::MAX)?,
            ahead_s: in_range("ahead_s", parameters.ahead_s, 300, 0..=u32::MAX)?,
        };
        Ok(Self {
            routes: Routes::new(taken, None, Vec::new()),
            tasks: listed(tasks.as_deref().unwrap_or_default())?,
            rules,
            limits,
            archive: archive(&parameters)?,
            source: broker(address, parameters, system)?,
        })
    }
}

/// The database of what was before.
fn archive(parameters: &Parameters) -> Result<Option<Rc<Archive>>, Error> {
    let Parameters { past, past_user, past_password, .. } = parameters;
    if past.is_none() && past_user.is_some() || past_user.is_none() && past_password.is_some() {
        return Err(wrong("past", "", "a password needs past_user, and both need past"));
    }
    let login = past_user.as_deref().map(|user| (user, past_password.as_deref().unwrap_or_default()));
    let archive = |text: &String| Archive::parse(text, login).map(Rc::new).map_err(|what| wrong("past", text, what));
    past.as_ref().map(archive).transpose()
}

/// The source, and as whom we speak to it.
fn broker(address: Address, parameters: Parameters, system: &impl System) -> Result<Broker, Error> {
    let Parameters { client, source_user, source_password, keepalive_s, .. } = parameters;
    let mut random = [0; 4];
    system.random(&mut random);
    let client = client.unwrap_or_else(|| format!("broker-{:08x}", u32::from_le_bytes(random)));
    for (key, text) in [
        ("client", Some(&client)),
        ("source_user", source_user.as_ref()),
        ("source_password", source_password.as_ref()),
    ] {
        if text.is_some_and(|text| !(1..=TEXT_BYTES).contains(&text.len())) {
            return Err(wrong(key, "", "it has 1 to 64 bytes"));
        }
    }
    if source_user.is_none() && source_password.is_some() {
        return Err(wrong("source_user", "", "it is missing: a password needs a user name"));
    }
    Ok(Broker {
        task: "broker",
        role: "source",
        address,
        client,
        login: source_user.map(|user| (user, source_password)),
        will: None,
        session_s: SESSION_S,
        keepalive_s: in_range("keepalive_s", keepalive_s, 30, 1..=u16::MAX.into())? as u16,
    })
}

/// The tasks of a list.
fn listed(texts: &[String]) -> Result<Vec<(u16, Contract)>, Error> {
    let mut tasks: Vec<(u16, Contract)> = Vec::new();
    for text in texts {
        let (number, contract) = text.split_once('?').unwrap_or((text, ""));
        let Some(number) = number.parse().ok().filter(|number| tasks.iter().all(|(other, _)| other != number)) else {
            return Err(wrong("tasks", text, "it begins with a domain's number, which is in the list once"));
        };
        tasks.push((number, Contract::parse(contract).map_err(|what| wrong("tasks", text, what))?));
    }
    if tasks.len() > TASKS_MAX { Err(wrong("tasks", "", "there are 64 at most")) } else { Ok(tasks) }
}

fn wrong(key: &'static str, value: &str, what: &'static str) -> Error {
    Error::Parameter { key, value: value.into(), what }
}

/// A number in a range.
fn in_range(key: &'static str, given: Option<u32>, default: u32, range: RangeInclusive<u32>) -> Result<u32, Error> {
    let number = given.unwrap_or(default);
    if range.contains(&number) { Ok(number) } else { Err(wrong(key, &number.to_string(), "it is out of range")) }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::listed;

    fn outcome(texts: &[&str]) -> Result<usize, String> {
        let texts: alloc::vec::Vec<String> = texts.iter().map(ToString::to_string).collect();
        listed(&texts).map(|tasks| tasks.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_task_is_a_domain_and_its_contract() {
        assert_eq!(outcome(&[]), Ok(0));
        assert_eq!(outcome(&["7?name=*", "8?name=a&past_s=60"]), Ok(2));
        for (texts, named) in [
            (&["7"][..], "parameter \"tasks\": \"7\": it is key=value"),
            (&["x?name=*"], "it begins with a domain's number"),
            (&["7?name=*", "7?name=a"], "\"7?name=a\": it begins with a domain's number, which is in the list once"),
            (&["70000?name=*"], "it begins with a domain's number"),
            (&["7?name=*&rate=0"], "rate is at least 1"),
        ] {
            let error = outcome(texts).unwrap_err();
            assert!(error.contains(named), "{texts:?}: {error}");
        }
    }
}
