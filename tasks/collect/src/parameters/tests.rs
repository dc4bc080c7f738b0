//! Tests of the parameters' check.

use alloc::string::{String, ToString};
use core::time::Duration;

use kernel::{Memory, Stop, System};

use super::{Parameters, Settings};
use crate::error::Error;
use crate::window::Times;

/// A system with constant randomness.
struct Constant;

impl System for Constant {
    fn memory(&self) -> Memory {
        unimplemented!("not asked for")
    }

    fn random(&self, destination: &mut [u8]) {
        destination.copy_from_slice(&[1, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde]);
    }

    fn unix_time(&self) -> Duration {
        unimplemented!("not asked for")
    }

    async fn stop_requested(&self) -> Stop {
        core::future::pending().await
    }
}

fn read(line: &str) -> Parameters {
    kernel::parameters::Parameters::parse(line).unwrap().read().unwrap()
}

/// The settings of a command line, behind what has no default.
pub(crate) fn settings(line: &str) -> Result<Settings, Error> {
    Settings::new(read(&(String::from("source=10.0.2.2 cloud=cloud:8883 topics=a/+,b ") + line)), &Constant)
}

#[test]
fn what_is_left_out_has_its_default() {
    let settings = settings("").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (settings.source.address.to_string(), settings.cloud.address.to_string()),
        ("10.0.2.2:1883".into(), "cloud:8883".into())
    );
    assert_eq!(settings.routes.filters(), ["a/+", "b"]);
    let Times { window_s, grace_s, ahead_s } = settings.times;
    assert_eq!((window_s, grace_s, ahead_s), (3600, 60, 300));
    assert_eq!((settings.sensors, settings.queue, settings.source.keepalive_s), (64, 1024, 30));
    assert_eq!((settings.readings, settings.end, &*settings.summaries), (None, None, "summaries"));
    assert_eq!((&*settings.source.client, &*settings.cloud.client), ("collect-deadbeef", "collect-deadbeef-cloud"));
    assert!(!settings.keeps_session && settings.source.login.is_none() && settings.cloud.will.is_none());
    assert_eq!(settings.run, 1);
}

#[test]
fn a_window_shorter_than_the_usual_grace_has_a_grace_of_its_length() {
    let grace = |line| settings(line).map(|settings| settings.times.grace_s);
    assert_eq!(
        (grace("window_s=10"), grace("window_s=10 grace_s=0"), grace("window_s=10 grace_s=600")),
        (Ok(10), Ok(0), Ok(600))
    );
    assert_eq!(grace("window_s=10 grace_s=601"), Err(Error::Range("grace_s", 0..=600)));
}

#[test]
fn each_broker_has_its_login_and_the_cloud_a_will() {
    let line = "source_user=s source_password=p cloud_user=c status=state/collect client=name";
    let settings = settings(line).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(settings.source.login, Some(("s".to_string(), Some("p".to_string()))));
    assert_eq!(settings.cloud.login, Some(("c".to_string(), None)));
    assert_eq!((settings.source.will, settings.cloud.will.as_deref()), (None, Some("state/collect")));
    assert!(settings.keeps_session);
}

#[test]
fn what_cannot_be_used_is_named() {
    let long = |key: &str| alloc::format!("{key}={}", "x".repeat(300));
    for (line, error) in [
        ("window_s=0", Error::Range("window_s", 1..=u32::MAX)),
        ("sensors=0", Error::Range("sensors", 1..=50_000)),
        ("queue=65001", Error::Range("queue", 1..=65_000)),
        ("keepalive_s=0", Error::Range("keepalive_s", 1..=65_535)),
        ("drain_s=0", Error::Range("drain_s", 1..=u32::MAX)),
        ("summaries=a/#", Error::Text("summaries")),
        ("summaries=", Error::Text("summaries")),
        ("end=sensors/+", Error::Text("end")),
        ("status=#", Error::Text("status")),
        ("cloud_password=x", Error::Login("cloud_user")),
        (&long("client"), Error::Text("client")),
        (&long("end"), Error::Text("end")),
        (&long("source_user"), Error::Text("source_user")),
    ] {
        assert_eq!(settings(line).err(), Some(error), "{line}");
    }
    for (line, error) in [
        ("source= cloud=b topics=t", "parameter \"source\" is not host or host:port"),
        ("source=a cloud=b:0 topics=t", "parameter \"cloud\" is not host or host:port"),
        ("source=a cloud=b topics=", "parameter \"topics\" must have 1 to 63 filters"),
        (
            "source=a cloud=b topics=sensors/#/t",
            "parameter \"topics\": \"sensors/#/t\": the wildcard # stands alone in the last level",
        ),
        (
            "source=a cloud=b topics=sensors+",
            "parameter \"topics\": \"sensors+\": the wildcard + stands alone in its level",
        ),
        (
            "source=a cloud=a topics=a,summaries/x/#",
            "parameter \"topics\": \"summaries/x/#\" would take this task's own summaries, which go to the same broker",
        ),
    ] {
        assert_eq!(
            Settings::new(read(line), &Constant).err().map(|error| error.to_string()).as_deref(),
            Some(error),
            "{line}"
        );
    }
    assert!(Settings::new(read("source=a cloud=b topics=summaries/#"), &Constant).is_ok());
    assert!(Settings::new(read("source=a cloud=a topics=#"), &Constant).is_ok());
    assert_eq!(Error::Range("queue", 1..=7).to_string(), "parameter \"queue\" must be from 1 to 7");
}
