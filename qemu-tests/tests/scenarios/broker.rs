//! The task `broker`: a guest with a network card between a real MQTT broker on the host and guests that have none, each fed
//! over a channel of its own.

use crate::support::{PATIENCE, ends_well, guest};
use anyhow::Result;
use broker::{Report, TaskReport};
use qemu_tests::broker::Broker;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::influxdb::{DATABASE, InfluxDb};
use qemu_tests::{Arch, Guest, check};
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};
use summary::Report as Summary;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "broker: guests without a card get their sensors, and no others, or are told what forbids it",
    run: fed,
}];

/// The broker's address, another than that of other subjects.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 53);
/// How many readings each sensor has.
const READINGS: u32 = 300;
/// How many more the yard's has in a database, from before the broker's start.
const BEFORE: u32 = 500;

/// A guest that waits for its feed.
fn task(context: &Context<'_>, name: &str) -> Result<Guest> {
    let mut spec = guest(context, "summary", "")?;
    spec.name = name.to_owned();
    let mut guest = context.bed.create(&spec)?;
    guest.wait_for("feed: waiting for data/feed", PATIENCE)?;
    Ok(guest)
}

/// A broker that feeds both, and is subscribed.
fn broker(context: &Context<'_>, source: &Broker, database: &InfluxDb, yard: &Guest, roof: &Guest) -> Result<Guest> {
    let tasks =
        format!("{}?name=yard/*&past_s=3600,{}?name=*&kind=humidity&past_s=3600", yard.domain()?, roof.domain()?);
    let parameters = format!(
        "ip={ADDRESS}/24 gateway=10.0.2.2 source=10.0.2.2:{} client=guest topics=number:home/{{name}}/{{kind}} tasks={tasks} past=http://10.0.2.2:{}/{DATABASE}",
        source.port(),
        database.port()
    );
    let mut spec = guest(context, "broker", &parameters)?;
    (spec.vif, spec.memory_mib) = (true, 16);
    let guest = context.bed.create(&spec)?;
    if source.wait_log("Sending SUBACK to guest", PATIENCE) {
        Ok(guest)
    } else {
        Err(guest.complaint("it did not subscribe"))
    }
}

/// Publishes a sensor's readings, and returns when the broker has taken them.
fn publish(source: &Broker, topic: &str) -> Result<()> {
    let taken = "Received PUBACK from guest";
    let before = source.count_log(taken);
    let mut publisher = source.publisher(topic)?;
    for number in 0..READINGS {
        publisher.send(&(f64::from(number) / 4.0).to_string())?;
    }
    publisher.finish()?;
    check!(source.wait_logs(taken, before + READINGS as usize, PATIENCE), "not all of {topic} was taken");
    Ok(())
}

/// A database with the yard's readings of before, one a second.
fn database() -> Result<InfluxDb> {
    let database = InfluxDb::start("broker-past", None)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let line =
        |number: u32| format!("yard temperature={number} {}\n", (now_s - 1000 + u64::from(number)) * 1_000_000_000);
    database.write(&(0..BEFORE).map(line).collect::<String>())?;
    Ok(database)
}

/// Tells a guest where its feed is.
fn introduce(context: &Context<'_>, task: &Guest, broker: &Guest) -> Result<()> {
    let (task, broker) = (task.domain()?, broker.domain()?);
    let feed = format!("/local/domain/{broker}/data/vchan/{task}/feed");
    context.bed.xenstore_write(&format!("/local/domain/{task}/data/feed"), feed.as_bytes())
}

fn fed(context: &Context<'_>) -> Result<()> {
    let source = Broker::start("broker-source")?;
    let (mut yard, mut roof) = (task(context, "yard")?, task(context, "roof")?);
    let database = database()?;
    let mut broker = broker(context, &source, &database, &yard, &roof)?;
    for topic in ["home/yard/temperature", "home/roof/humidity", "home/cellar/temperature"] {
        publish(&source, topic)?;
    }
    if context.arch != Arch::X86_64 {
        // Debian's Xen for ARM has the security module SILO.
        broker.wait_for(
            &format!("broker: task {}: no feed: Xen forbids this guest a channel", yard.domain()?),
            PATIENCE,
        )?;
        broker.shutdown()?;
        let report: Report = ends_well(&mut broker)?;
        check!(report.readings == 3 * u64::from(READINGS), "{report:?}");
        yard.destroy()?;
        return roof.destroy();
    }
    let (held, fetched) = (f64::from(READINGS - 1) / 4.0, f64::from(BEFORE - 1));
    let yards = ("yard/temperature", READINGS + BEFORE, fetched);
    for (task, (sensor, readings, largest)) in [(&mut yard, yards), (&mut roof, ("roof/humidity", READINGS, held))] {
        introduce(context, task, &broker)?;
        let summary: Summary = ends_well(task)?;
        let [only] = &summary.sensors[..] else { anyhow::bail!("{summary:?}") };
        let only = &only.statistics;
        check!(only.name == sensor && only.count == u64::from(readings), "{summary:?}");
        check!((only.minimum, only.maximum) == (0.0, largest), "{summary:?}");
        check!(summary.left_out == 0 && summary.silent.is_empty(), "{summary:?}");
        let expected = format!("broker: task {}: complete", task.domain()?);
        broker.wait_for(&expected, PATIENCE)?;
    }
    broker.shutdown()?;
    let report: Report = ends_well(&mut broker)?;
    check!(report.sensors == 3 && report.readings == 3 * u64::from(READINGS), "{report:?}");
    let complete = |task: &TaskReport| {
        (task.sensors, task.readings - task.fetched, &*task.ended) == (1, READINGS.into(), "complete")
    };
    check!(report.tasks.len() == 2 && report.tasks.iter().all(complete), "{report:?}");
    check!(report.tasks.iter().map(|task| task.fetched).sum::<u64>() == u64::from(BEFORE), "{report:?}");
    Ok(())
}
