//! The task `collect`: a guest of 4 MiB between two real brokers on the host, with real readings.
//!
//! What it makes of brokers that fall silent, of repeats and of nonsense is tested without Xen, in `host_collect`.

use crate::support::{PATIENCE, ends_well, guest};
use anyhow::Result;
use collect::Report;
use qemu_tests::broker::Broker;
use qemu_tests::cable::Cable;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::replay::{Data, Flood, Message, Summaries, flood::SENSORS, publish};
use qemu_tests::{Guest, check};
use std::net::{Ipv4Addr, SocketAddr};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "collect: five days of weather give the expected numbers", run: weather },
    Scenario { name: "collect: nothing is lost or counted twice when both brokers go away", run: brokers },
    Scenario { name: "collect: a flood at the source starves neither the cloud nor the request to end", run: flood },
    Scenario { name: "collect: asked to end, it delivers what it has", run: asked },
];

/// Four windows a day.
const WINDOW_S: i64 = 21_600;

/// The guest's address, outside the range that QEMU's DHCP server hands out and another than `echo`'s.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 51);

/// Two brokers, the cables from the guest to them, and what arrives in the cloud.
pub struct Bench {
    pub source: Broker,
    source_cable: Cable,
    cloud_cable: Cable,
    summaries: Summaries,
    // Ends on drop, after the subscription.
    _cloud: Broker,
}

impl Bench {
    pub fn new() -> Result<Self> {
        let source = Broker::start("collect-source")?;
        let cloud = Broker::start("collect-cloud")?;
        Ok(Self {
            source_cable: Cable::to(address(&source))?,
            cloud_cable: Cable::to(address(&cloud))?,
            summaries: Summaries::subscribe(address(&cloud), "summaries/#")?,
            source,
            _cloud: cloud,
        })
    }

    /// The task's parameters but its topics.
    pub fn words(&self) -> String {
        let [source, cloud] = [&self.source_cable, &self.cloud_cable].map(|cable| cable.end().port());
        let end = end().topic;
        format!("source=10.0.2.2:{source} cloud=10.0.2.2:{cloud} end={end} window_s={WINDOW_S} client=guest")
    }

    /// A guest that is subscribed.
    pub fn start(&self, context: &Context<'_>) -> Result<Guest> {
        let parameters = format!("ip={ADDRESS}/24 gateway=10.0.2.2 topics=sensors/+ {}", self.words());
        let mut spec = guest(context, "collect", &parameters)?;
        spec.vif = true;
        let mut guest = context.bed.create(&spec)?;
        if !self.source.wait_log("Sending SUBACK to guest", PATIENCE) {
            return Err(guest.complaint("it did not subscribe"));
        }
        guest.wait_for("collect: connected to the cloud broker", PATIENCE)?;
        Ok(guest)
    }

    pub fn publish(&self, messages: &[Message]) -> Result<()> {
        publish(address(&self.source), messages, |_, _| {})
    }

    /// Ends the run and checks that everything of the slice is in the summaries and in the report, exactly once.
    pub fn finish(&self, mut guest: Guest, data: &Data) -> Result<Report> {
        self.publish(&[end()])?;
        let report: Report = ends_well(&mut guest)?;
        self.check(&report, data)?;
        Ok(report)
    }

    /// Checks that everything of the slice is in the summaries and in the report, exactly once.
    pub fn check(&self, report: &Report, data: &Data) -> Result<()> {
        let expected = data.expected(WINDOW_S);
        let received = self.summaries.collect(expected.windows.len(), PATIENCE)?;
        let mut differences = expected.compare(&received);
        for sensor in &report.sensors {
            differences.extend(expected.compare_sensor(&sensor.name, &sensor.into()));
        }
        let differences: Vec<_> = differences.iter().take(5).map(ToString::to_string).collect();
        check!(differences.is_empty(), "{}", differences.join("\n"));
        let windows = expected.windows.len() as u64;
        let counts = (report.readings, report.windows, report.published, report.dropped, report.sensors.len());
        check!(counts == (expected.readings, windows, windows, 0, expected.sensors.len()), "{report:?}");
        check!((report.late, report.malformed, report.over_limit, report.not_numeric) == (0, 0, 0, 0), "{report:?}");
        Ok(())
    }
}

fn address(broker: &Broker) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, broker.port()).into()
}

/// The message that ends a run.
pub fn end() -> Message {
    Message { topic: "sensors/end".to_owned(), payload: String::new(), readings: 0, time_s: 0 }
}

fn weather(context: &Context<'_>) -> Result<()> {
    let bench = Bench::new()?;
    let guest = bench.start(context)?;
    let data = Data::committed();
    bench.publish(&data.messages())?;
    let report = bench.finish(guest, &data)?;
    let reconnects = (report.source_reconnects, report.cloud_reconnects, report.duplicates);
    check!(reconnects == (0, 0, 0), "{report:?}");
    Ok(())
}

fn brokers(context: &Context<'_>) -> Result<()> {
    let bench = Bench::new()?;
    let mut guest = bench.start(context)?;
    let data = Data::committed();
    let messages = data.messages();
    let (before, after) = messages.split_at(120);
    bench.publish(before)?;
    bench.cloud_cable.cut();
    guest.wait_for("collect: cloud broker", PATIENCE)?;
    bench.source_cable.cut();
    guest.wait_for("collect: source broker", PATIENCE)?;
    bench.publish(after)?;
    bench.cloud_cable.mend();
    bench.source_cable.mend();
    let report = bench.finish(guest, &data)?;
    check!((report.source_reconnects, report.cloud_reconnects) == (1, 1), "{report:?}");
    Ok(())
}

fn flood(context: &Context<'_>) -> Result<()> {
    let bench = Bench::new()?;
    let mut guest = bench.start(context)?;
    // A window is over after three packs.
    let flood = Flood::start(address(&bench.source), WINDOW_S as u64 / 2);
    for _ in 0..10 * SENSORS {
        check!(bench.summaries.next(PATIENCE)?.is_some(), "no summary came while readings came");
    }
    // It is asked and looks, while more comes than it can take.
    let counters = guest.counters(PATIENCE)?;
    check!(counters.get("readings").is_some_and(|count| *count > 0), "{counters:?}");
    guest.shutdown()?;
    let report: Report = ends_well(&mut guest)?;
    check!(flood.goes_on(), "the flood was over before the guest was");
    check!((report.source_reconnects, report.cloud_reconnects) == (0, 0), "{report:?}");
    check!(report.sensors.len() as u64 == SENSORS && report.published >= 10 * SENSORS, "{report:?}");
    Ok(())
}

fn asked(context: &Context<'_>) -> Result<()> {
    let bench = Bench::new()?;
    let mut guest = bench.start(context)?;
    bench.publish(&Data::committed().messages()[..3])?;
    check!(
        bench.source.wait_log("Received PUBACK from guest (Mid: 3", PATIENCE),
        "the guest did not take three messages"
    );
    // Asked while it runs, the guest says the task's counts beside its own.
    let counters = guest.counters(PATIENCE)?;
    let known = ["connections", "heap_used", "readings", "series"].map(|name| counters.get(name).copied());
    guest.shutdown()?;
    let report: Report = ends_well(&mut guest)?;
    let said = (known[0].is_some(), known[1].is_some(), known[2], known[3]);
    check!(said == (true, true, Some(report.readings), Some(report.sensors.len() as u64)), "{counters:?}");
    let sensors = report.sensors.len() as u64;
    check!((report.windows, report.published, report.dropped) == (sensors, sensors, 0), "{report:?}");
    let received = bench.summaries.collect(report.sensors.len(), PATIENCE)?;
    check!(received.len() == report.sensors.len(), "{} summaries of {sensors}", received.len());
    Ok(())
}
