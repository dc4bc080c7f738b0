//! Tests of the parameters' check.

use alloc::string::{String, ToString};
use core::time::Duration;

use kernel::{Memory, Stop, System};

use super::{Error, Parameters, Settings};

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

fn settings(line: &str) -> Result<Settings, Error> {
    Settings::new(read(&(String::from("source=10.0.2.2 cloud=cloud:8883 topics=a/+,b ") + line)), &Constant)
}

#[test]
fn what_is_left_out_has_its_default() {
    let settings = settings("").unwrap();
    assert_eq!(
        (settings.source.to_string(), settings.cloud.to_string()),
        ("10.0.2.2:1883".into(), "cloud:8883".into())
    );
    assert_eq!(settings.topics, ["a/+", "b"]);
    assert_eq!((settings.window_s, settings.sensors, settings.queue, settings.keepalive_s), (3600, 64, 1024, 30));
    assert_eq!((settings.readings, settings.end, &*settings.summaries), (None, None, "summaries"));
    assert_eq!((&*settings.client, &*settings.cloud_client), ("collect-deadbeef", "collect-deadbeef-cloud"));
    assert_eq!(settings.run, 1);
}

#[test]
fn what_cannot_be_used_is_named() {
    let long = |key: &str| alloc::format!("{key}={}", "x".repeat(300));
    for (line, error) in [
        ("window_s=0", Error::Range("window_s", u32::MAX)),
        ("sensors=0", Error::Range("sensors", 50_000)),
        ("queue=65001", Error::Range("queue", 65_000)),
        ("keepalive_s=0", Error::Range("keepalive_s", 65_535)),
        ("drain_s=0", Error::Range("drain_s", u32::MAX)),
        ("summaries=a/#", Error::Text("summaries")),
        ("summaries=", Error::Text("summaries")),
        ("end=sensors/+", Error::Text("end")),
        (&long("client"), Error::Text("client")),
        (&long("end"), Error::Text("end")),
    ] {
        assert_eq!(settings(line).unwrap_err(), error, "{line}");
    }
    for (line, error) in [
        ("source= cloud=b topics=t", Error::Address("source")),
        ("source=a cloud=b:0 topics=t", Error::Address("cloud")),
        ("source=a cloud=b topics=", Error::Text("topics")),
    ] {
        assert_eq!(Settings::new(read(line), &Constant).unwrap_err(), error, "{line}");
    }
    assert_eq!(Error::Range("queue", 7).to_string(), "parameter \"queue\" must be from 1 to 7");
}
