//! The bed tests itself, with a guest made by hand: what fails here is not Spore's fault.

use anyhow::{Context as _, Result, ensure};
use qemu_tests::broker::Broker;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{BRIDGE, HOST_ADDRESS, Ping};
use qemu_tests::{GuestSpec, ShutdownReason, probe};
use std::time::Duration;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "bed: a guest's console and reason reach the host unchanged", run: console_and_reason },
    Scenario { name: "bed: a restarted guest ends twice", run: restart },
    Scenario { name: "bed: xenstore values keep their bytes", run: xenstore },
    Scenario { name: "bed: dom0 reaches the host", run: network },
    Scenario { name: "bed: both hotplug scripts put a guest's interface on the bridge", run: hotplug },
    Scenario { name: "bed: the broker passes messages on, also after a restart", run: broker },
];

const PATIENCE: Duration = Duration::from_secs(30);

fn console_and_reason(context: &Context<'_>) -> Result<()> {
    let mut text: Vec<u8> = (0..=255).cycle().take(2000).collect();
    text.extend(b"\nlast line\n");
    for reason in [ShutdownReason::PowerOff, ShutdownReason::Crash, ShutdownReason::Reboot] {
        let mut guest = context.bed.create(&GuestSpec::new("probe", probe::image(&text, reason)))?;
        ensure!(guest.wait_for("last line", PATIENCE)? == "last line", "another line was found");
        let end = guest.wait_shutdown(PATIENCE)?;
        ensure!(end == reason, "it ended with {end} instead of {reason}");
        ensure!(guest.console_bytes() == text, "{} bytes came instead of {}", guest.console_bytes().len(), text.len());
        guest.destroy()?;
    }
    Ok(())
}

fn restart(context: &Context<'_>) -> Result<()> {
    let mut spec = GuestSpec::new("phoenix", probe::image(b"up\n", ShutdownReason::Reboot));
    spec.on_reboot = "restart".into();
    let mut guest = context.bed.create(&spec)?;
    let first = guest.domain()?;
    for _ in 0..2 {
        guest.wait_for("up", PATIENCE)?;
        let end = guest.wait_shutdown(PATIENCE)?;
        ensure!(end == ShutdownReason::Reboot, "it ended with {end}");
    }
    ensure!(guest.domain()? > first, "it is still domain {first}");
    Ok(())
}

fn xenstore(context: &Context<'_>) -> Result<()> {
    let bytes: Vec<u8> = (0..=255).rev().collect();
    let mut spec = GuestSpec::new("probe", probe::image(b"", ShutdownReason::PowerOff));
    spec.data = vec![("parameters".into(), bytes.clone())];
    let mut guest = context.bed.create(&spec)?;
    guest.wait_shutdown(PATIENCE)?;
    ensure!(guest.xenstore_read("data/parameters")? == Some(bytes), "the value has changed");
    ensure!(guest.xenstore_read("data/nothing")?.is_none(), "there is a value that nobody wrote");
    let path = guest.xenstore_path("data")?;
    guest.destroy()?;
    let gone = context.bed.xenstore_wait(&path, None, PATIENCE)?;
    ensure!(gone.is_none(), "{path} is still there");
    Ok(())
}

fn network(context: &Context<'_>) -> Result<()> {
    let ping = Ping { address: HOST_ADDRESS, count: 20, interval_us: 10_000, size_bytes: 56, patience_ms: 5000 };
    let result = context.bed.ping(&ping)?;
    ensure!(result.received == 20, "{result:?}");
    Ok(())
}

fn hotplug(context: &Context<'_>) -> Result<()> {
    for script in ["vif-bridge", "vif-bed"] {
        let mut spec = GuestSpec::new("probe", probe::image(b"", ShutdownReason::PowerOff));
        spec.configuration = vec![format!("vif = [ \"bridge={BRIDGE},script={script}\" ]")];
        let mut guest = context.bed.create(&spec)?;
        guest.wait_shutdown(PATIENCE)?;
        let interfaces = context.bed.must(&format!("ls /sys/class/net/{BRIDGE}/brif"))?;
        let expected = format!("vif{}.0", guest.domain()?);
        ensure!(interfaces.contains(&expected), "{script}: {expected} is not on the bridge: {interfaces}");
        guest.destroy()?;
    }
    Ok(())
}

fn broker(context: &Context<'_>) -> Result<()> {
    let mut broker = Broker::start("bed")?;
    let subscription = broker.subscribe("sensors/#")?;
    let mut publisher = broker.publisher("sensors/7")?;
    publisher.send("21.5")?;
    publisher.finish()?;
    let (topic, payload) = subscription.next(PATIENCE).context("no message came")?;
    ensure!(topic == "sensors/7" && payload == "21.5", "{topic}: {payload}");
    broker.stop();
    broker.resume()?;
    let output = context.bed.must(&format!("nc -w 2 {HOST_ADDRESS} {} </dev/null && echo reached", broker.port()))?;
    ensure!(output.contains("reached"), "dom0 does not reach the broker");
    Ok(())
}
