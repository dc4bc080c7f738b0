//! A board's node at its limits: many commands, a guest that never ends and floods its console, a clock that jumps, an
//! `xl` that fails.

use crate::board::Board;
use crate::support::wait_until;
use crate::xen_view::free_kib;
use anyhow::{Context as _, Result};
use qemu_tests::check;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::node::{CONFIG, LOG};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "node: commands leave nothing in xenstore, however many", run: commands },
    Scenario { name: "node: a guest that floods its console and never ends costs nobody else", run: flood },
    Scenario { name: "node: a clock that is set back and forward stops nothing", run: clock },
    Scenario { name: "node: an xl that fails, hangs or prints garbage loses no command", run: xl },
];

/// How many commands run when the environment does not say it.
const COMMANDS: u32 = 20;
/// How many of them are under way at once.
const AT_ONCE: u32 = 5;

/// All that could be left of a guest, counted.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    nodes: u64,
    files: u64,
}

fn count(context: &Context<'_>) -> Result<Count> {
    let number = |script: &str| -> Result<u64> { Ok(context.bed.must(script)?.trim().parse()?) };
    Ok(Count {
        nodes: number("xenstore-ls -f / | wc -l")?,
        files: number("find /var/lib/xen /var/log/xen/console /run /tmp | wc -l")?,
    })
}

/// By how much the node's memory may grow: pages of its program that are used for the first time count, too. That it is
/// flat over thousands of commands a test of node-fake shows.
const GROWTH_KIB: u64 = 3 * 1024;

fn commands(context: &Context<'_>) -> Result<()> {
    let commands = std::env::var("COMMANDS").ok().and_then(|count| count.parse().ok()).unwrap_or(COMMANDS);
    let board = Board::start(context, &["trouble"], "--starts-per-minute 1000")?;
    let run = |id: &str| board.spore(&Board::run("trouble", id, "fault=None"));
    let taken = |id: &str| board.spore(&format!("result acme/{id} --wait"));
    // The first one may make what all of them use.
    run("first")?;
    taken("first")?;
    board.leaves_nothing()?;
    let (before, memory_kib, free) = (count(context)?, board.memory_kib()?, free_kib(context)?);
    for begin in (0..commands).step_by(AT_ONCE as usize) {
        let ids: Vec<_> = (begin..commands.min(begin + AT_ONCE)).map(|number| format!("c{number}")).collect();
        ids.iter().try_for_each(|id| run(id).map(drop))?;
        ids.iter().try_for_each(|id| taken(id).map(drop))?;
    }
    board.leaves_nothing()?;
    let after = count(context)?;
    check!(before == after, "{commands} commands left something: {before:?}, then {after:?}");
    let (memory_then_kib, free_then) = (board.memory_kib()?, free_kib(context)?);
    println!(
        "       {commands} commands: spored {memory_kib} KiB, then {memory_then_kib}; xenstore {} nodes",
        after.nodes
    );
    check!(memory_then_kib < memory_kib + GROWTH_KIB, "spored grew from {memory_kib} to {memory_then_kib} KiB");
    check!(free_then + 1024 > free, "Xen had {free} KiB free and has {free_then}");
    Ok(())
}

fn flood(context: &Context<'_>) -> Result<()> {
    let board = Board::start(context, &["trouble"], "")?;
    // The first command brings in what all of them need.
    board.spore(&Board::run("trouble", "first", "fault=None --wait"))?;
    let memory_kib = board.memory_kib()?;
    board.spore(&Board::run("trouble", "flood", "fault=Flood"))?;
    // Three times what the node keeps of a console.
    wait_until("much was printed", || {
        let last = board.spore("logs acme/flood")?;
        let line = last.lines().rev().find_map(|line| line.strip_prefix("trouble: the flood's line ")?.parse().ok());
        Ok(line.filter(|number: &u64| *number > 1500).map(drop))
    })?;
    board.spore(&Board::run("trouble", "other", "fault=None --wait"))?;
    let said = board.try_spore(&Board::run("trouble", "endless", "fault=Deaf --longest-run 5s --wait"))?;
    check!(said.as_ref().is_err_and(|said| said.contains("longer than it may")), "{said:?}");
    let memory_then_kib = board.memory_kib()?;
    check!(memory_then_kib < memory_kib + GROWTH_KIB, "spored grew from {memory_kib} to {memory_then_kib} KiB");
    board.spore("stop acme/flood")?;
    board.leaves_nothing()
}

/// Moves dom0's clock by so many days.
fn move_clock(context: &Context<'_>, days: i64) -> Result<()> {
    context.bed.must(&format!("date -s @$(($(date +%s) + {}))", days * 86_400)).map(drop)
}

fn clock(context: &Context<'_>) -> Result<()> {
    let board = Board::start(context, &["trouble"], "")?;
    for id in ["persistent", "ephemeral"] {
        let lifetime = if id == "persistent" { "--persistent" } else { "--longest-run 1h" };
        board.spore(&Board::run("trouble", id, &format!("fault=None wait_s=3600 {lifetime}")))?;
        board.wait_phase(id, "running")?;
    }
    let before = board.domains()?;
    let jumps = || -> Result<()> {
        for (id, days) in [("earlier", -400), ("later", 800), ("again", -400)] {
            move_clock(context, days)?;
            board.spore(&Board::run("trouble", id, "fault=None --deadline 1h --wait"))?;
            for id in ["persistent", "ephemeral"] {
                board.wait_phase(id, "running")?;
                check!(board.attempts(id)? == Some(1), "{id} was started anew when the clock moved by {days} days");
            }
        }
        wait_until("the guests are those of before", || Ok((board.domains()? == before).then_some(())))
    };
    // The next scenario's clock is right, whatever came of this one.
    let then: i64 = context.bed.must("date +%s")?.trim().parse().context("the time")?;
    let moved = jumps();
    let now: i64 = context.bed.must("date +%s")?.trim().parse().context("the time")?;
    move_clock(context, -((now - then) as f64 / 86_400.0).round() as i64)?;
    moved?;
    for id in ["persistent", "ephemeral"] {
        board.spore(&format!("stop acme/{id}"))?;
    }
    board.leaves_nothing()
}

/// Where the node's `xl` is found misbehaving.
const MODE: &str = "/root/xl-mode";

/// Is there once an `xl` hangs.
const HANGS: &str = "/root/xl-hangs";

/// Puts something before dom0's `xl` that does what [`MODE`] says; the path that it is mounted at.
fn misbehaving_xl(context: &Context<'_>) -> Result<String> {
    let path = context.bed.must("readlink -f /usr/sbin/xl")?.trim().to_owned();
    let script = format!(
        "#!/bin/sh
        case $(cat {MODE}) in
        fails) echo 'it was told to fail' >&2; exit 1 ;;
        garbage) echo nonsense; exit 0 ;;
        hangs) touch {HANGS}; while grep -q hangs {MODE}; do sleep 0.1; done ;;
        esac
        exec /root/xl-itself \"$@\"\n"
    );
    context.bed.put("/root/xl-misbehaving", script.as_bytes())?;
    context.bed.must(&format!(
        "set -e; echo well >{MODE}; cp {path} /root/xl-itself; chmod 755 /root/xl-itself /root/xl-misbehaving
        mount --bind /root/xl-misbehaving {path}"
    ))?;
    Ok(path)
}

fn xl(context: &Context<'_>) -> Result<()> {
    let mut board = Board::start(context, &["trouble"], "")?;
    board.kill()?;
    context.bed.must(&format!("echo 'toolstack = \"xl\"' >>{CONFIG}"))?;
    board.begin()?;
    let path = misbehaving_xl(context)?;
    let tried = ["fails", "garbage", "hangs"].iter().try_for_each(|mode| misbehaves(context, &board, mode));
    context.bed.must(&format!("umount {path}; rm -f /root/xl-itself /root/xl-misbehaving {MODE} {HANGS}"))?;
    tried?;
    board.leaves_nothing()
}

/// A command comes while `xl` misbehaves, and ends well once it does not any more.
fn misbehaves(context: &Context<'_>, board: &Board<'_>, mode: &str) -> Result<()> {
    let lines: u32 = context.bed.must(&format!("wc -l <{LOG}"))?.trim().parse()?;
    context.bed.must(&format!("echo {mode} >{MODE}"))?;
    board.spore(&Board::run("trouble", mode, "fault=None"))?;
    let said = |words: &str| format!("tail -n +{} {LOG} | grep '{words}'", lines + 1);
    let (what, sign) = match mode {
        "fails" => ("the node says that xl fails", said("failed with status 1")),
        "garbage" => ("the node says what xl printed", said("nonsense")),
        _ => ("xl hangs", format!("test -e {HANGS}")),
    };
    wait_until(what, || Ok((context.bed.shell(&sign)?.status == 0).then_some(())))?;
    // Who asks is answered meanwhile.
    board.spore("ps")?;
    context.bed.must(&format!("echo well >{MODE}"))?;
    board.spore(&format!("result acme/{mode} --wait"))?;
    Ok(())
}
