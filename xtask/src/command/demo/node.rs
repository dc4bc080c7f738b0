//! The demo of the node: a board, two tenants, and what can go wrong.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use qemu_tests::broker::Subscription;
use qemu_tests::registry::Registry;
use qemu_tests::session::Session;
use qemu_tests::{Bed, node};
use serde_json::Value;

use super::prompt::{Answer, Person};
use super::weather::{TASK, THIS_MACHINE, Weather, joined};
use super::{Arguments, step};
use crate::arch::Arch;
use crate::demo::{self, Verdict};
use crate::interrupt::Interrupt;
use crate::terminal::Style;
use crate::workspace::Workspace;
use crate::{guest, image, setup};

/// A task that makes the mistakes that it is told to make.
const TROUBLE: &str = "trouble";
/// How long the node may take to clean up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the result may take from the node to the cloud.
const LAST: Duration = Duration::from_secs(60);

/// From the registry to the verdict.
pub fn play(arguments: &Arguments) -> Result<Verdict> {
    let workspace = Workspace::load()?;
    setup::for_nodes(arguments.arch)?;
    for task in [TASK, TROUBLE] {
        image::build_and_say(&workspace, &workspace.task(task)?, arguments.arch)?;
    }
    let interrupt = Interrupt::listen()?;
    let registry = Registry::start()?;
    step(format_args!("the registry is docker-registry at 127.0.0.1:{}", registry.port()));
    let weather = Weather::start(arguments.fast)?;
    let bed = guest::boot_bed(arguments.arch, Vec::new(), &interrupt)?;
    let images = [TASK, TROUBLE].map(|task| (task, workspace.images(arguments.arch, task)));
    for (task, folder) in images {
        for extension in ["img", "elf", "cfg"] {
            let file = format!("{task}.{extension}");
            let content = fs::read(folder.join(&file)).with_context(|| file.clone())?;
            bed.put(&format!("/root/images/{}/{task}/{file}", arguments.arch.name()), &content)?;
        }
    }
    let mut board = Board::start(&bed, arguments.arch, &registry, &weather)?;
    tell(&mut board, &registry, &weather)
}

/// The board, and who uses it.
struct Board<'b> {
    bed: &'b Bed,
    spored: Option<Session>,
    operator: Person<'b>,
    acme: Person<'b>,
    beta: Person<'b>,
}

impl<'b> Board<'b> {
    fn start(bed: &'b Bed, arch: Arch, registry: &Registry, weather: &Weather) -> Result<Self> {
        let config = format!(
            "name = \"board\"\nregistries = [\"{THIS_MACHINE}:{}\"]\nbroker = \"{THIS_MACHINE}:{}\"\n",
            registry.port(),
            weather.cloud.port()
        );
        node::install(bed, arch.machine(), &config, &mut setup::Lines)?;
        let operator = Person::operator(bed);
        step(format_args!("a board with the node spored; this machine is {THIS_MACHINE} to it"));
        operator.must(&format!("cat {}", node::CONFIG))?;
        let acme = Person::tenant(bed, "acme", Style::Green)?;
        let beta = Person::tenant(bed, "beta", Style::Cyan)?;
        let mut board = Self { bed, spored: None, operator, acme, beta };
        board.begin()?;
        board.operator.types("spore doctor")?;
        Ok(board)
    }

    /// Starts the node and waits until it serves.
    fn begin(&mut self) -> Result<()> {
        // As systemd does on a board.
        self.operator.show("spored &");
        self.spored = Some(node::start(self.bed)?);
        Ok(())
    }

    /// The domains of guests, once there are so many: what has ended is destroyed a moment after its end is written. Those
    /// that there are at last, should it take too long.
    fn domains(&self, count: usize) -> Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut domains = self.bed.xenstore_list("/local/domain")?;
            domains.retain(|domain| domain != "0");
            if domains.len() == count || Instant::now() > deadline {
                return Ok(domains);
            }
        }
    }
}

/// What was seen on the way.
struct Seen {
    crashed: Answer,
    refused: Answer,
    foreign: Answer,
    /// The weather's guest before the node was killed, and after.
    domains: [Vec<String>; 2],
    report: Value,
    received: Vec<qemu_tests::replay::Summary>,
}

/// The story.
fn tell(board: &mut Board<'_>, registry: &Registry, weather: &Weather) -> Result<Verdict> {
    let repository = |of: &str| format!("{THIS_MACHINE}:{}/{of}:1", registry.port());
    tenants_and_tasks(board, &repository)?;
    let summaries = weather.summaries()?;
    let published = weather.cloud.subscribe("acme/#")?;
    let over = AtomicBool::new(false);
    let (go_on, gate) = channel();
    let (told, fed, received) = std::thread::scope(|scope| {
        let over = &over;
        let feed = scope.spawn(move || feed(weather, &gate, over));
        let windows = weather.expected.windows.len();
        let watch = scope.spawn(move || demo::watch(&summaries, windows, over));
        let told = commands(board, &repository, weather, || go_on.send(()).is_ok());
        over.store(true, Ordering::Relaxed);
        drop(go_on);
        (told, joined(feed), joined(watch))
    });
    let mut seen = told?;
    fed.context("replaying the readings")?;
    seen.received = received.context("receiving the summaries")?;
    judge(board, weather, &seen, &published)
}

/// Keys, quotas, and tasks in the registry.
fn tenants_and_tasks(board: &mut Board<'_>, repository: &dyn Fn(&str) -> String) -> Result<()> {
    step(format_args!("two tenants make their keys, and the operator says what each may use"));
    for (person, name, quota) in
        [(&mut board.acme, "acme", "--guests 2 --memory 16"), (&mut board.beta, "beta", "--guests 1 --memory 8")]
    {
        person.must(&format!("spore key new {name}"))?;
        board.operator.must(&format!("spore tenant add {name} --key {name}/{name}.pub {quota}"))?;
        person.sets(&format!("SPORE_TENANT={name} SPORE_KEY={name}.key"));
    }
    step(format_args!("each packs a task of its own, signs it and pushes it to the registry"));
    for (person, name, task) in [(&board.acme, "acme", TASK), (&board.beta, "beta", TROUBLE)] {
        let to = repository(&format!("{name}/{task}"));
        person.must(&format!(
            "spore pack {task} oci:tasks:{task} --images /root/images --tenant {name} --key {name}.key"
        ))?;
        person.must(&format!("spore push oci:tasks:{task} {to}"))?;
    }
    Ok(())
}

/// The readings: half of them, and the rest when the node was killed and is back.
fn feed(weather: &Weather, gate: &Receiver<()>, over: &AtomicBool) -> Result<()> {
    weather.wait_subscribed(over)?;
    let half = weather.messages() / 2;
    weather.publish(0..half, over)?;
    // Whoever drops the other end has told what went wrong.
    if gate.recv().is_ok() {
        weather.publish(half..weather.messages(), over)?;
    }
    Ok(())
}

/// What the tenants have the board do, and what happens to it meanwhile.
fn commands(
    board: &mut Board<'_>,
    repository: &dyn Fn(&str) -> String,
    weather: &Weather,
    go_on: impl Fn() -> bool,
) -> Result<Seen> {
    step(format_args!("acme aggregates the sensors' readings; its result is to go to the cloud by MQTT as well"));
    let task = repository(&format!("acme/{TASK}"));
    board.acme.must(&format!("spore run {task} --id weather --result mqtt:acme/weather {}", weather.parameters()))?;
    let task = repository(&format!("beta/{TROUBLE}"));
    step(format_args!("beta's task crashes; it is started once more, and then given up"));
    let crashed = board.beta.types(&format!("spore run {task} --id shaky fault=Panic --on-crash 1 --wait"))?;
    step(format_args!("beta asks for more memory than it may have"));
    let refused = board.beta.types(&format!("spore run {task} --id large fault=None --memory 64"))?;
    step(format_args!("beta sees what is its own, and nothing of acme's"));
    board.beta.must("spore ps --all")?;
    let foreign = board.beta.types("spore logs acme/weather")?;
    step(format_args!("the node is killed; the guest works on, and the node's next life takes it over"));
    let before = board.domains(1)?;
    board.operator.must("kill -9 $(pidof spored)")?;
    board.spored = None;
    board.begin()?;
    board.operator.must("spore ps --all")?;
    board.operator.must("spore node")?;
    let after = board.domains(1)?;
    if !go_on() {
        bail!("the sensors have stopped");
    }
    step(format_args!("the sensors go on, and acme waits for its result"));
    board.acme.must("spore result weather --wait")?;
    board.acme.must("spore logs weather")?;
    let report = serde_json::from_str(&board.acme.must("spore result weather --output json")?)?;
    Ok(Seen { crashed, refused, foreign, domains: [before, after], report, received: Vec::new() })
}

/// Compares what was seen with what had to be.
fn judge(board: &Board<'_>, weather: &Weather, seen: &Seen, published: &Subscription) -> Result<Verdict> {
    let fields: BTreeMap<String, String> = serde_json::from_value(seen.report["outcome"]["finished"]["fields"].clone())
        .context("the fields of acme's result")?;
    let fields: Vec<_> = fields.into_iter().collect();
    let mut verdict = Verdict::new(&fields, &weather.expected, &seen.received)?;
    let says = |answer: &Answer, words: &[&str]| !answer.is_good && words.iter().all(|word| answer.text.contains(word));
    verdict.find(
        says(&seen.crashed, &["its guest crashed, 2 in all", "panic"]),
        "the task that crashes was started twice, and its end says why".to_owned(),
    );
    verdict.find(
        says(&seen.refused, &["64 MiB are more than the 8 that tenant \"beta\" may use"]),
        "what was beyond a quota was refused with the numbers".to_owned(),
    );
    verdict.find(says(&seen.foreign, &["acme/weather"]), "one tenant's command is unknown to the other".to_owned());
    let [before, after] = &seen.domains;
    verdict.find(
        before.len() == 1 && before == after && seen.report["attempts"] == 1,
        format!(
            "the guest was domain {} before the node was killed, and {} after",
            before.join(", "),
            after.join(", ")
        ),
    );
    let message = published.next(LAST).and_then(|(_, text)| serde_json::from_str::<Value>(&text).ok());
    verdict.find(message.as_ref() == Some(&seen.report), "the same result has arrived in the cloud by MQTT".to_owned());
    let left = board.domains(0)?;
    verdict.find(left.is_empty(), format!("{} guests are left on the board", left.len()));
    Ok(verdict)
}
