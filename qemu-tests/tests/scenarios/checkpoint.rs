//! What a task has saved is given to its next guest, by the node, on real Xen: after a crash out of xenstore, after a
//! guest was destroyed out of the node's journal.

use crate::board::Board;
use crate::collect::{ADDRESS, Bench};
use crate::support::{PATIENCE, wait_until};
use anyhow::{Context as _, Result};
use base64ct::{Base64, Encoding};
use collect::Report;
use qemu_tests::check;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::replay::Data;
use serde_json::Value;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "node: what a task had saved when it crashed is given to its next guest", run: crash },
    Scenario {
        name: "node: collect that is destroyed in an open window loses nothing and counts nothing twice",
        run: window,
    },
];

fn crash(context: &Context<'_>) -> Result<()> {
    let board = Board::start(context, &["trouble"], "")?;
    // It ends well only when each guest begins with what the one before it had saved.
    board.spore(&Board::run("trouble", "one", "fault=Steps --on-crash 3 --first-pause 1s --wait"))?;
    let logs = board.spore("logs acme/one")?;
    check!(logs.contains("trouble: 3 steps"), "its console: {logs}");
    board.leaves_nothing()
}

/// What the node says of its one guest.
fn guest(board: &Board<'_>) -> Result<Value> {
    let state: Value = serde_json::from_str(&board.spore("node --output json")?)?;
    Ok(state["guests"][0].clone())
}

/// The number of the newest checkpoint that a guest has in xenstore.
fn newest(context: &Context<'_>, domain: &str) -> Result<Option<u64>> {
    let read = |name: &str| context.bed.xenstore_read(&format!("/local/domain/{domain}/{name}"));
    Ok(kernel::checkpoint::newest(read)?.map(|newest| newest.number))
}

fn window(context: &Context<'_>) -> Result<()> {
    let board = Board::start(context, &["collect"], "")?;
    let bench = Bench::new()?;
    // More than a command line has: through xenstore they go.
    let unused = (0..50).map(|number| format!(",{}-{number}/+", "unused".repeat(40))).collect::<String>();
    let words = format!("--persistent ip={ADDRESS}/24 gateway=10.0.2.2 {} topics=sensors/+{unused}", bench.words());
    board.spore(&Board::run("collect", "one", &words))?;
    check!(bench.source.wait_log("Sending SUBACK to guest", PATIENCE), "the guest does not subscribe");
    let data = Data::committed();
    let messages = data.messages();
    let (before, after) = messages.split_at(130);
    bench.publish(before)?;
    let last = format!("Received PUBACK from guest (Mid: {}", before.len());
    check!(bench.source.wait_log(&last, PATIENCE), "the guest did not take {} messages", before.len());
    let domain = board.domains()?.remove(0);
    wait_until("what it has saved is on the board's disk", || {
        let written = guest(&board)?["checkpoint"]["number"].as_u64();
        Ok((written.is_some() && written == newest(context, &domain)?).then_some(()))
    })?;
    wait_until("its counters are shown", || {
        Ok(guest(&board)?["figures"]["counters"]["readings"].as_u64().filter(|count| *count > 0).map(drop))
    })?;
    context.bed.must(&format!("xl destroy {domain}"))?;
    wait_until("its next guest goes on", || {
        Ok(board.spore("logs acme/one")?.contains("collect: goes on after").then_some(()))
    })?;
    bench.publish(after)?;
    bench.publish(&[crate::collect::end()])?;
    let result: Value = serde_json::from_str(&board.spore("result acme/one --wait --output json")?)?;
    let postcard = result["outcome"]["finished"]["postcard"].as_str().context("there is no report")?;
    let bytes = Base64::decode_vec(postcard).map_err(anyhow::Error::msg)?;
    bench.check(&postcard::from_bytes::<Report>(&bytes)?, &data)?;
    board.leaves_nothing()
}
