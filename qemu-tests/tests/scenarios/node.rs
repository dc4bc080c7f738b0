//! A board with the node `spored` in its dom0, used with `spore` as a person does: the real `xl`, xenstored and bridge.

use crate::board::Board;
use crate::support::wait_until;
use crate::toolstack::{Maker, Toolstack};
use anyhow::Result;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::node::CONFIG;
use qemu_tests::{Arch, check};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "node: a signed command runs a task and its result arrives", run: result },
    Scenario { name: "node: it goes on by xl alone with guests of hypercalls, and back", run: other_toolstack },
    Scenario { name: "node: a task that crashes starts again, and the end says why", run: crash },
    Scenario { name: "node: what is beyond a tenant's quota is refused with the numbers", run: quota },
    Scenario { name: "node: a task with a network card serves on the bridge", run: network },
    Scenario { name: "node: one that was killed goes on with the guests that it had", run: killed },
    Scenario { name: "node: guests that no command knows are removed, those of others are not", run: orphans },
    Scenario { name: "node: 64 guests at once", run: many },
];

fn result(context: &Context<'_>) -> Result<()> {
    let board = Board::start(context, &["trouble", "hello"], "")?;
    let printed = board.spore(&Board::run("hello", "one", "--wait"))?;
    check!(printed.contains("total_bytes") && printed.contains("4194304"), "the result is {printed}");
    // Larger than one node of xenstore.
    let printed = board.spore(&Board::run("trouble", "two", "fault=None filler_bytes=10000 --wait --output json"))?;
    check!(
        printed.contains("\"filler.9999\""),
        "the result ends with {}",
        &printed[printed.len().saturating_sub(300)..]
    );
    let said = board.try_spore(&Board::run("trouble", "three", "fault=Error --wait"))?;
    check!(said.as_ref().is_err_and(|said| said.contains("the task was told to fail")), "{said:?}");
    let said = board.try_spore(&Board::run("trouble", "four", "fault=Nothing --wait"))?;
    check!(said.as_ref().is_err_and(|said| said.contains("is not one of None, Error")), "{said:?}");
    let logs = board.spore("logs acme/one")?;
    check!(logs.contains("Hello from a guest of 4096 KiB"), "its console: {logs}");
    board.leaves_nothing()
}

fn crash(context: &Context<'_>) -> Result<()> {
    let board = Board::start(context, &["trouble"], "")?;
    let words = "fault=Panic --on-crash 2 --first-pause 1s --wait";
    let said = board.try_spore(&Board::run("trouble", "one", words))?;
    let Err(said) = said else { return Err(qemu_tests::verdict::Failure("a crash is a success".into()).into()) };
    check!(said.contains("its guest crashed, 3 in all"), "{said}");
    check!(said.contains("crash: panic at 0x"), "the console's last lines: {said}");
    board.leaves_nothing()
}

fn quota(context: &Context<'_>) -> Result<()> {
    let board = Board::start(context, &["trouble"], "--guests 1 --memory 8")?;
    let said = board.try_spore(&Board::run("trouble", "large", "fault=None --memory 16"))?;
    check!(said.as_ref().is_err_and(|said| said.contains("16") && said.contains('8')), "{said:?}");
    // A second guest is not refused: it waits for the first.
    board.spore(&Board::run("trouble", "first", "fault=None wait_s=3600"))?;
    board.wait_phase("first", "running")?;
    // A running guest's share of the CPUs follows the quota.
    let domain = board.domains()?.remove(0);
    board.spore("tenant add acme --key /root/keys/acme.pub --guests 1 --memory 8 --cpu-weight 512 --cpu-cap 50")?;
    wait_until("the guest has its new share", || {
        let scheduled = context.bed.must(&format!("xl sched-credit2 -d {domain}"))?;
        let words: Vec<_> = scheduled.split_whitespace().rev().take(2).map(str::to_owned).collect();
        Ok((words == ["50", "512"]).then_some(()))
    })?;
    board.spore(&Board::run("trouble", "second", "fault=None"))?;
    board.wait_phase("second", "queued")?;
    check!(board.domains()?.len() == 1, "more guests than the quota has: {:?}", board.domains()?);
    board.spore("stop acme/first")?;
    board.wait_phase("second", "finished")?;
    board.leaves_nothing()
}

fn network(context: &Context<'_>) -> Result<()> {
    let board = Board::start(context, &["echo"], "")?;
    board.spore(&Board::run("echo", "one", "--persistent"))?;
    let address = wait_until("the guest has an address", || {
        let logs = board.spore("logs acme/one")?;
        let line = logs.lines().find_map(|line| line.strip_prefix("network: ")?.split('/').next().map(str::to_owned));
        Ok(line)
    })?;
    context.bed.must(&format!("ping -c 3 -W 60 {address}"))?;
    board.spore("stop acme/one")?;
    board.leaves_nothing()
}

fn killed(context: &Context<'_>) -> Result<()> {
    let mut board = Board::start(context, &["trouble"], "")?;
    board.spore(&Board::run("trouble", "long", "fault=None wait_s=20"))?;
    board.wait_phase("long", "running")?;
    let before = board.domains()?;
    board.kill()?;
    check!(board.domains()? == before, "a guest went with the node");
    board.begin()?;
    board.wait_phase("long", "running")?;
    check!(board.domains()? == before, "the guest was not adopted: {before:?}, now {:?}", board.domains()?);
    board.spore("result acme/long --wait")?;
    // In the middle of a start, wherever that is: nothing is lost and nothing runs twice.
    for number in 0..3 {
        board.spore(&Board::run("trouble", &format!("short-{number}"), "fault=None"))?;
        board.kill()?;
        board.begin()?;
        board.spore(&format!("result acme/short-{number} --wait"))?;
    }
    board.leaves_nothing()
}

fn other_toolstack(context: &Context<'_>) -> Result<()> {
    let mut board = Board::start(context, &["trouble"], "")?;
    for (number, config) in ["toolstack = \"xl\"", "toolstack = \"auto\""].into_iter().enumerate() {
        let long = format!("long-{number}");
        board.spore(&Board::run("trouble", &long, "fault=None wait_s=20"))?;
        board.wait_phase(&long, "running")?;
        let before = board.domains()?;
        board.kill()?;
        context.bed.must(&format!("sed -i '/^toolstack/d' {CONFIG}; echo '{config}' >> {CONFIG}"))?;
        board.begin()?;
        check!(board.domains()? == before, "the guest was not adopted: {before:?}, now {:?}", board.domains()?);
        board.spore(&format!("result acme/{long} --wait"))?;
        board.spore(&Board::run("trouble", &format!("short-{number}"), "fault=None --wait"))?;
    }
    board.leaves_nothing()
}

fn orphans(context: &Context<'_>) -> Result<()> {
    let mut board = Board::start(context, &["trouble"], "")?;
    board.kill()?;
    let mut toolstack = Toolstack::start(context, "trouble", Maker::Hypercalls)?;
    toolstack.expect("create 1 fault=None wait_s=3600", "made")?;
    toolstack.expect("create 2 fault=None", "made")?;
    toolstack.expect("unpause 1", "runs")?;
    drop(toolstack);
    // And the paths of one whose domain was destroyed just before the node was killed.
    let gone = "73706f72-4244-8786-aedd-d8d5b40b4499";
    context.bed.must(&format!("xenstore-write /local/domain/29999/vm /vm/{gone} /vm/{gone}/name {gone}"))?;
    let mut other = crate::support::guest(context, "trouble", "fault=None wait_s=3600")?;
    other.name = "somebody".into();
    let other = context.bed.create(&other)?;
    board.begin()?;
    let domain = other.domain()?.to_string();
    wait_until("the orphans are gone", || Ok((board.domains()? == [domain.clone()]).then_some(())))?;
    board.spore(&Board::run("trouble", "one", "fault=None --wait"))?;
    wait_until("the guest of somebody else is there, alone", || {
        Ok((board.domains()? == [domain.clone()]).then_some(()))
    })?;
    other.destroy()?;
    board.leaves_nothing()
}

fn many(context: &Context<'_>) -> Result<()> {
    const GUESTS: usize = 64;
    if context.arch != Arch::X86_64 {
        return Err(qemu_tests::verdict::Skip("the board has not the memory for them".into()).into());
    }
    let quota = "--guests 64 --memory 256 --queued 100 --starts-per-minute 1000";
    let board = Board::start(context, &["trouble"], quota)?;
    for number in 0..GUESTS {
        board.spore(&Board::run("trouble", &format!("guest-{number}"), "fault=None wait_s=3600"))?;
    }
    wait_until("all guests run", || {
        let listed = board.spore("ps")?;
        Ok((listed.lines().filter(|line| line.contains("running")).count() == GUESTS).then_some(()))
    })?;
    check!(board.domains()?.len() == GUESTS, "{} domains", board.domains()?.len());
    let memory = context.bed.must("grep -E 'VmRSS|VmHWM' /proc/$(pidof spored)/status | tr -s '\\t\\n ' ' '")?;
    println!("       spored with {GUESTS} guests: {memory}");
    for number in 0..GUESTS {
        board.spore(&format!("stop acme/guest-{number}"))?;
    }
    board.leaves_nothing()
}
