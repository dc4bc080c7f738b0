//! A board whose power is cut: a machine of its own, with a disk that outlives it.

use crate::board::{Board, KEYS, STATE};
use crate::support::wait_until;
use anyhow::Result;
use qemu_tests::disk::Disk;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::verdict::Skip;
use qemu_tests::{Arch, Bed, BedOptions, check};
use std::thread;
use std::time::Duration;

/// All of this module's.
pub const SCENARIOS: &[Scenario] =
    &[Scenario { name: "node: a board whose power is cut goes on, before any network is up", run: power_cut }];

/// How often the power is cut on ARMv7 when the environment does not say it. What it shows does not depend on the CPU, and
/// it boots machines of its own, which is faster there: elsewhere it is for who asks.
const CUTS: u32 = 1;
/// From one cut to the next it comes so much later after a command was sent: while it is taken, started, or running.
const LATER: Duration = Duration::from_millis(250);
/// Where the disk is mounted.
const DISK: &str = "/disk";
/// What a board has on its disk: what the node keeps, what libxl notes of guests, and the tenant's keys, which a test has
/// nowhere else.
const ON_DISK: [&str; 3] = [STATE, "/var/lib/xen", KEYS];

/// Gives the machine power.
fn power_on(context: &Context<'_>, disk: &Disk) -> Result<Bed> {
    let name = format!("power-{}", context.arch.name());
    let options = BedOptions { name, disk: Some(disk.file().to_owned()), ..BedOptions::new(context.arch) };
    let bed = Bed::boot(&options)?;
    disk.mount(&bed, DISK)?;
    for folder in ON_DISK {
        bed.must(&format!(
            "set -e; mkdir -p {folder} {DISK}{folder}; cp -a {folder}/. {DISK}{folder}
            mount --bind {DISK}{folder} {folder}"
        ))?;
    }
    Ok(bed)
}

/// The same scenario's view of another machine.
fn on<'b>(context: &Context<'_>, bed: &'b Bed) -> Context<'b> {
    Context { bed, arch: context.arch, name: context.name }
}

/// What waits for the power to come back.
const FOREVER: &str = "fault=None wait_s=100000";

fn power_cut(context: &Context<'_>) -> Result<()> {
    let cuts = match std::env::var("POWER_CUTS").ok().and_then(|cuts| cuts.parse().ok()) {
        Some(cuts) => cuts,
        None if context.arch == Arch::Armv7 => CUTS,
        None => return Err(Skip("it boots two machines more: POWER_CUTS=1 asks for it".to_owned()).into()),
    };
    let disk = Disk::make(context.arch, "power")?;
    let mut bed = power_on(context, &disk)?;
    let files = {
        let own = on(context, &bed);
        let board = Board::start(&own, &["trouble"], "--starts-per-minute 1000")?;
        board.spore(&Board::run("trouble", "persistent", &format!("{FOREVER} --persistent")))?;
        board.spore(&Board::run("trouble", "ephemeral", FOREVER))?;
        board.spore(&Board::run("trouble", "done", "fault=None filler_bytes=3000"))?;
        for (id, phase) in [("persistent", "running"), ("ephemeral", "running"), ("done", "finished")] {
            board.wait_phase(id, phase)?;
        }
        let files = files(&own)?;
        cut(&own, board, 0)?;
        files
    };
    for number in 1..=cuts {
        bed = power_on(context, &disk)?;
        let own = on(context, &bed);
        let board = comes_back(&own, number)?;
        if number < cuts {
            cut(&own, board, number)?;
        } else {
            ends(&own, &board, cuts)?;
            let left = self::files(&own)?;
            check!(files == left, "there were {files:?}, and there are {left:?}");
        }
    }
    drop(bed);
    Ok(())
}

/// Cuts the power while a command is on its way.
fn cut(own: &Context<'_>, board: Board<'_>, number: u32) -> Result<()> {
    let words = Board::run("trouble", &format!("late-{number}"), "fault=None");
    let client = match number {
        // The first one was taken, and is being started.
        0 => board.spore(&words).map(|_| None)?,
        _ => Some(board.in_background(&format!("exec spore {words}"))?),
    };
    thread::sleep(LATER * number);
    own.bed.cut_power();
    drop((client, board));
    Ok(())
}

/// The board has power again, and first of all no network.
fn comes_back<'c>(own: &'c Context<'c>, number: u32) -> Result<Board<'c>> {
    own.bed.must(&format!("ip link set eth0 down; mv {STATE}/tasks {STATE}/tasks-away"))?;
    let mut board = Board::install(own)?;
    board.begin()?;
    for id in ["persistent", "ephemeral"] {
        // Until the node has looked, it is what it was before.
        let wanted = Some(u64::from(number) + 1);
        wait_until(&format!("{id} is started again"), || Ok((board.attempts(id)? == wanted).then_some(())))?;
        board.wait_phase(id, "running")?;
    }
    own.bed.must(&format!("ip link set eth0 up; mv {STATE}/tasks-away {STATE}/tasks"))?;
    // Whoever sent it and got no answer sends it again, as long as there is none.
    let late = format!("late-{}", number - 1);
    let before = board.attempts(&late)?;
    check!(number > 1 || before.is_some(), "a command was taken and is lost");
    board.spore(&Board::run("trouble", &late, "fault=None"))?;
    board.spore(&format!("result acme/{late} --wait"))?;
    let attempts = board.attempts(&late)?;
    check!(matches!(attempts, Some(1 | 2)), "{late} was started {attempts:?} times");
    // Nothing is there twice, and nothing of before.
    wait_until("two guests are left, one for each", || Ok((board.domains()?.len() == 2).then_some(())))?;
    Ok(board)
}

/// Everything ends, and nothing is left of it.
fn ends(own: &Context<'_>, board: &Board<'_>, cuts: u32) -> Result<()> {
    check!(board.attempts("done")? == Some(1), "what had finished ran {:?} times", board.attempts("done")?);
    let result = board.spore("result acme/done --output json")?;
    check!(result.contains("\"filler.2999\""), "the result that nobody had taken is {result}");
    for id in ["persistent", "ephemeral"] {
        board.spore(&format!("stop acme/{id}"))?;
    }
    board.leaves_nothing()?;
    let listed = board.spore("ps --all")?;
    let known = listed.lines().filter(|line| line.contains("acme/")).count();
    check!(known == 3 + cuts as usize, "{} commands are known of {}:\n{listed}", known, 3 + cuts);
    let dmesg = own.bed.must("dmesg")?;
    check!(!dmesg.contains("EXT4-fs error"), "the file system is damaged: {dmesg}");
    Ok(())
}

/// The files that the node keeps, by their names.
fn files(own: &Context<'_>) -> Result<Vec<String>> {
    let listed = own.bed.must(&format!("find {STATE} -type f | sort"))?;
    Ok(listed.lines().map(str::to_owned).collect())
}
