//! The board's broker as a command of the node, and tasks of two tenants that it feeds by their contracts.

use crate::board::{Board, KEYS, STATE};
use crate::support::{PATIENCE, wait_until};
use anyhow::{Context as _, Result};
use qemu_tests::broker::Broker;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::node::CONFIG;
use qemu_tests::{Arch, check};
use serde_json::Value;

/// All of this module's.
pub const SCENARIOS: &[Scenario] =
    &[Scenario { name: "node: two tenants' tasks are fed by the board's broker, which is started anew", run: fed }];

/// The broker's address, another than that of other subjects.
const ADDRESS: &str = "10.0.2.54";

/// A source, a board, and what its dom0 is asked.
struct Bench<'c> {
    context: &'c Context<'c>,
    source: Broker,
    board: Board<'c>,
}

impl<'c> Bench<'c> {
    /// A board whose config names the broker, with the tenants "ops" and "acme".
    fn start(context: &'c Context<'c>) -> Result<Self> {
        let source = Broker::start("node-source")?;
        let mut board = Board::start(context, &["broker", "summary", "threshold"], "")?;
        board.spore(&format!("key new {KEYS}/ops"))?;
        for task in ["broker", "summary"] {
            board.spore(&format!("pack {task} oci:{STATE}/tasks:ops-{task} --tenant ops --images /root/images"))?;
            board.spore(&format!("sign oci:{STATE}/tasks:ops-{task} --key {KEYS}/ops.key"))?;
        }
        board.spore(&format!("tenant add ops --key {KEYS}/ops.pub"))?;
        board.kill()?;
        context.bed.must(&format!("echo 'feeder = \"ops/broker\"' >> {CONFIG}"))?;
        board.begin()?;
        Ok(Self { context, source, board })
    }

    /// Runs a task of ops'.
    fn run_ops(&self, task: &str, id: &str, words: &str) -> Result<String> {
        self.board.spore(&Board::run(&format!("ops-{task}"), id, words).replace("acme", "ops"))
    }

    /// Starts the broker's command.
    fn run_broker(&self) -> Result<()> {
        let port = self.source.port();
        let source = format!("ip={ADDRESS}/24 gateway=10.0.2.2 source=10.0.2.2:{port} client=guest");
        self.run_ops("broker", "broker", &format!("--persistent {source} 'topics=number:home/{{name}}/{{kind}}'"))?;
        Ok(())
    }

    /// Waits until a broker's guest has subscribed so many times in all.
    fn subscribed(&self, times: usize) -> Result<()> {
        let is_there = self.source.wait_logs("Sending SUBACK to guest", times, PATIENCE);
        check!(is_there, "no broker has subscribed: {}", self.board.spore("logs ops/broker")?);
        Ok(())
    }

    /// Publishes a sensor's readings, and returns when the broker has taken them.
    fn publish(&self, topic: &str, values: &[f64]) -> Result<()> {
        let taken = "Received PUBACK from guest";
        let before = self.source.count_log(taken);
        let mut publisher = self.source.publisher(topic)?;
        values.iter().try_for_each(|value| publisher.send(&value.to_string()))?;
        publisher.finish()?;
        check!(self.source.wait_logs(taken, before + values.len(), PATIENCE), "not all of {topic} was taken");
        Ok(())
    }

    /// Waits until a command's guest has printed this.
    fn says(&self, command: &str, text: &str) -> Result<()> {
        wait_until(&format!("{command} says: {text}"), || {
            Ok(self.board.spore(&format!("logs {command}"))?.contains(text).then_some(()))
        })
    }

    /// The domain of a command's guest, as soon as it is another than this.
    fn domain(&self, command: &str, other_than: Option<u64>) -> Result<u64> {
        wait_until(&format!("{command} has a guest"), || {
            let state: Value = serde_json::from_str(&self.board.spore("node --output json")?)?;
            let guests = state["guests"].as_array().context("a list of guests")?;
            let guest = guests.iter().find(|guest| guest["command"] == command);
            Ok(guest.and_then(|guest| guest["domid"].as_u64()).filter(|domain| Some(*domain) != other_than))
        })
    }

    /// The tasks that a broker's guest is told to feed.
    fn tasks(&self, broker: u64) -> Result<Vec<String>> {
        self.context.bed.xenstore_list(&format!("/local/domain/{broker}/data/tasks"))
    }

    /// Ends everything, of which nothing is left: the task by a person's hand, while no node runs.
    fn ends(&mut self, broker: u64, live: u64) -> Result<()> {
        self.board.kill()?;
        self.context.bed.must(&format!("xl destroy {live}"))?;
        self.board.begin()?;
        wait_until("the broker is told to feed nobody", || Ok(self.tasks(broker)?.is_empty().then_some(())))?;
        self.board.spore("stop ops/broker")?;
        self.board.leaves_nothing()
    }
}

fn fed(context: &Context<'_>) -> Result<()> {
    let mut bench = Bench::start(context)?;
    let board = &bench.board;
    board.spore(&Board::run("threshold", "live", "--sensors 'name=roof/*' --live high=30"))?;
    wait_until("the live task waits for the broker", || {
        Ok(board.spore("ps")?.contains("waits for the board's broker").then_some(()))
    })?;
    bench.run_broker()?;
    bench.subscribed(1)?;
    board.wait_phase("live", "running")?;
    let broker = bench.domain("broker", None)?;
    let live = bench.domain("live", None)?;
    check!(bench.tasks(broker)? == [live.to_string()], "it is told to feed {:?}", bench.tasks(broker)?);
    let list = context.bed.must(&format!("xenstore-ls -fp /local/domain/{broker}/data/tasks"))?;
    check!(list.lines().all(|line| line.ends_with(&format!("(n0,r{broker})"))), "others may write there: {list}");
    if context.arch != Arch::X86_64 {
        // Debian's Xen for ARM has the security module SILO.
        bench.says("ops/broker", &format!("broker: task {live}: no feed: Xen forbids this guest a channel"))?;
        return bench.ends(broker, live);
    }
    bench.says("acme/live", &format!("feed: from domain {broker}"))?;
    bench.publish("home/roof/temperature", &[20.0, 31.0, 20.0])?;
    bench.says("acme/live", "alarm: roof/temperature is above 30.0: 31.0 at")?;

    // A window of the past, of another tenant.
    bench.publish("home/yard/humidity", &[50.0, 60.0])?;
    let sensors = "--sensors 'name=*&kind=humidity' --past 1h --wait --output json";
    let printed = bench.run_ops("summary", "yard", sensors)?;
    let summary: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
    let fields = &summary["outcome"]["finished"]["fields"];
    check!(fields["readings"] == "2" && fields["sensors.0.statistics.name"] == "yard/humidity", "{printed}");
    check!(fields.get("sensors.1.statistics.name").is_none(), "another sensor than the contract's: {printed}");
    wait_until("the broker is told to feed the other one alone", || {
        Ok((bench.tasks(broker)? == [live.to_string()]).then_some(()))
    })?;

    // The node is killed, and while it is gone a person ends the broker.
    bench.board.kill()?;
    context.bed.must(&format!("xl destroy {broker}"))?;
    bench.board.begin()?;
    let next = bench.domain("broker", Some(broker))?;
    bench.subscribed(2)?;
    bench.says("acme/live", &format!("feed: from domain {next}"))?;
    bench.publish("home/roof/temperature", &[25.0, 32.0])?;
    bench.says("acme/live", "alarm: roof/temperature is above 30.0: 32.0 at")?;
    check!(bench.board.attempts("live")? == Some(1), "the live task was started again");
    bench.ends(next, live)
}
