//! The data broker: how many readings a second it takes in from an MQTT broker, and what a window of them costs on its way to a
//! task that computes with it.
//!
//! The source is on this machine, outside: by a clock that passes with the guests' instructions it needs no time.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use qemu_tests::Guest;
use qemu_tests::broker::Broker;
use qemu_tests::protocol::CpuTimes;
use qemu_tests::replay::Flood;

use super::super::Bench;
use super::super::contestant::Side;
use super::super::figures::Measure;
use crate::guest;

const GROUP: &str = "data broker";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 121);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The broker's memory, and of that the store's.
const MEMORY_MIB: u32 = 96;
const STORE_MIB: u32 = 64;
/// The memory of the task.
const TASK_MIB: u32 = 4;
/// Records in a pack, of so many sensors in turn, each a millisecond behind the one before.
const RECORDS: u64 = 400;
const SENSORS: u64 = 20;
/// The time of the first, and how many there are of a second.
const BEGIN_S: u64 = 1_700_000_000;
const PER_SECOND: u64 = 1000;
/// After all of them.
const END_S: u64 = 1_750_000_000;
/// Until what has begun goes evenly.
const SETTLE: Duration = Duration::from_secs(2);
/// For any one answer, and for a task to take all.
const PATIENCE: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(900);

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    for round in 0..bench.rounds {
        let what = format!("{}/{} data broker", round + 1, bench.rounds);
        bench.take(Side::Spore, &what, measure)?;
    }
    Ok(())
}

/// One life of a broker: it takes in, then feeds a task with all of it.
fn measure(bench: &Bench<'_>) -> Result<Vec<(Measure, f64)>> {
    let source = Broker::start("bench-broker")?;
    let task = task(bench)?;
    let mut broker = broker(bench, &source)?;
    let mut figures = taken_in(bench, &source, &broker)?;
    figures.extend(fed(bench, &mut broker, &task)?);
    broker.shutdown()?;
    broker.wait_shutdown(PATIENCE)?;
    Ok(figures)
}

/// A guest that waits for its feed.
fn task(bench: &Bench<'_>) -> Result<Guest> {
    let (task, image) = &bench.summary;
    let spec = guest::spec(task, image, Some(TASK_MIB))?;
    let mut guest = bench.bed.create(&spec)?;
    guest.wait_for("feed: waiting for data/feed", PATIENCE)?;
    Ok(guest)
}

fn broker(bench: &Bench<'_>, source: &Broker) -> Result<Guest> {
    let (task, image) = &bench.broker;
    let mut spec = guest::spec(task, image, Some(MEMORY_MIB))?;
    let port = source.port();
    spec.extra = format!(
        "ip={ADDRESS}/24 gateway={GATEWAY} source={GATEWAY}:{port} client=bench topics=sensors/# store_mib={STORE_MIB} age_s={}",
        u32::MAX
    );
    let guest = bench.bed.create(&spec)?;
    ensure!(source.wait_log("Sending SUBACK to bench", PATIENCE), guest.complaint("it did not subscribe"));
    Ok(guest)
}

/// Readings that came in in a time, and CPU times of dom0 and the broker meanwhile.
fn taken_in(bench: &Bench<'_>, source: &Broker, broker: &Guest) -> Result<Vec<(Measure, f64)>> {
    let domains = [0, Bench::domain(broker)?];
    let look = || -> Result<(u64, CpuTimes)> { Ok((count(broker, "readings")?, bench.bed.cpu_times(&domains)?)) };
    let flood = Flood::of(SocketAddr::from((Ipv4Addr::LOCALHOST, source.port())), pack);
    bench.wait(SETTLE)?;
    let (before, from) = look()?;
    bench.wait(bench.flow)?;
    let (after, until) = look()?;
    ensure!(flood.goes_on(), "the source's publisher has ended");
    drop(flood);
    let readings = (after - before) as f64;
    ensure!(readings > 0.0, "nothing came in");
    let used = |at: usize| (until.used_ns[at] - from.used_ns[at]) as f64 / readings;
    Ok(vec![
        (
            Measure::more("broker_in", GROUP, "readings taken in over MQTT", "1/s"),
            readings / ((until.clock_ns - from.clock_ns) as f64 / 1e9),
        ),
        (Measure::less("broker_in_guest", GROUP, "CPU time of the broker for each", "ns"), used(1)),
        (Measure::less("broker_in_dom0", GROUP, "CPU time of dom0 for each", "ns"), used(0)),
    ])
}

/// What the broker has counted up to now.
fn count(broker: &Guest, name: &str) -> Result<u64> {
    broker.counters(PATIENCE)?.get(name).copied().with_context(|| format!("the broker counts no {name}"))
}

/// A pack with 400 readings of 20 sensors, each later than the one before.
fn pack(number: u64) -> String {
    let begin_ms = BEGIN_S * PER_SECOND + number * RECORDS;
    let record = |at: u64| {
        let (time_ms, sensor, value) = (begin_ms + at, at % SENSORS, (number + at) % 1000);
        format!(
            r#"{{"n":"flood{sensor}","t":{}.{:03},"v":{}.{}}}"#,
            time_ms / 1000,
            time_ms % 1000,
            value / 10,
            value % 10
        )
    };
    format!("[{}]", (0..RECORDS).map(record).collect::<Vec<_>>().join(","))
}

/// CPU times of the broker and of a task that is fed with all that is kept.
fn fed(bench: &Bench<'_>, broker: &mut Guest, task: &Guest) -> Result<Vec<(Measure, f64)>> {
    let domains = [Bench::domain(broker)?, Bench::domain(task)?];
    let [own, number] = domains;
    let from = bench.bed.cpu_times(&domains)?;
    let contract = format!("/local/domain/{own}/data/tasks/{number}");
    bench.bed.xenstore_write(&contract, format!("name=*&from_s={BEGIN_S}&until_s={END_S}").as_bytes())?;
    let path = format!("/local/domain/{own}/data/vchan/{number}/feed");
    bench.bed.xenstore_write(&format!("/local/domain/{number}/data/feed"), path.as_bytes())?;
    broker.wait_for(&format!("broker: task {number}: complete"), LONG)?;
    let until = bench.bed.cpu_times(&domains)?;
    let readings = count(broker, "readings_given")? as f64;
    ensure!(readings > 0.0, "nothing was given");
    let used = |at: usize| (until.used_ns[at] - from.used_ns[at]) as f64 / readings;
    Ok(vec![
        (Measure::less("broker_out", GROUP, "CPU time of the broker for a reading to a task", "ns"), used(0)),
        (Measure::less("broker_out_task", GROUP, "CPU time of the task, summary, for it", "ns"), used(1)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reading_of_a_sensor_is_later_than_the_one_before() {
        assert!(
            pack(0).starts_with(
                r#"[{"n":"flood0","t":1700000000.000,"v":0.0},{"n":"flood1","t":1700000000.001,"v":0.1},"#
            )
        );
        assert!(pack(3).starts_with(r#"[{"n":"flood0","t":1700000001.200,"v":0.3},"#));
    }
}
