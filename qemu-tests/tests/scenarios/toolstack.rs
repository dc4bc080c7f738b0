//! The node's toolstack, driven by hand, on a real Xen: by hypercalls, by `xl`, and by one after the other.

use crate::support::{PATIENCE, wait_until};
use anyhow::{Context as _, Result};
use qemu_tests::dom0_program::Program;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol;
use qemu_tests::session::{News, Session};
use qemu_tests::{Arch, check};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "toolstack: it makes, starts, reads and removes a guest", run: one_guest },
    Scenario { name: "toolstack: so does xl alone", run: one_guest_of_xl },
    Scenario { name: "toolstack: it tells a crash and an error from a good end", run: other_ends },
    Scenario {
        name: "toolstack: guests of hypercalls and of xl are the same to both, and to a person's xl",
        run: mixed,
    },
    Scenario { name: "toolstack: an image that hypercalls cannot load is left to xl", run: fallback },
];

/// What drives the toolstack by hand.
const TOOLSTACK: Program = Program { package: "node", name: "toolstack", example: true };

/// What makes domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Hypercalls, and xl for what they cannot make.
    Hypercalls,
    /// xl alone.
    Xl,
}

/// The program, and what it has printed and nobody has read.
pub struct Toolstack {
    session: Session,
    printed: String,
}

impl Toolstack {
    /// Starts it for a task's image.
    pub fn start(context: &Context<'_>, task: &str, maker: Maker) -> Result<Self> {
        Self::start_with(context, &context.image(task)?, maker)
    }

    /// Starts it for an image.
    fn start_with(context: &Context<'_>, content: &[u8], maker: Maker) -> Result<Self> {
        context.bring_program(TOOLSTACK)?;
        let image = "/var/lib/spore/toolstack.img";
        context.bed.put(image, content)?;
        let environment = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())];
        let (word, said) = match maker {
            Maker::Hypercalls if has_hypercalls(context) => ("", "info: guests are made by hypercalls"),
            Maker::Hypercalls => ("", "info: guests are made by xl: no domain was ever built by hypercalls on "),
            Maker::Xl => ("xl", "info: guests are made by xl: the config says so"),
        };
        let command = Some(format!("exec toolstack {image} {word} 2>&1"));
        let wanted = protocol::Session { command, directory: "/".into(), environment, terminal: None };
        let mut toolstack = Self { session: context.bed.start(wanted)?, printed: String::new() };
        for expected in [said, "ready"] {
            let line = toolstack.line()?;
            check!(line.starts_with(expected), "the toolstack says {line:?} instead of {expected:?}");
        }
        Ok(toolstack)
    }

    /// The next line that it prints.
    fn line(&mut self) -> Result<String> {
        loop {
            if let Some((line, rest)) = self.printed.split_once('\n') {
                let line = line.to_owned();
                self.printed = rest.to_owned();
                return Ok(line);
            }
            match self.session.next(PATIENCE)? {
                News::Printed(_, bytes) => self.printed += &String::from_utf8_lossy(&bytes),
                News::Ended(status) => anyhow::bail!("it ended with status {status}: {}", self.printed),
                News::Nothing => anyhow::bail!("it says nothing more: {}", self.printed),
            }
        }
    }

    /// Has it do something; returns its answer without the time that it took.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.session.input().write(format!("{command}\n").as_bytes())?;
        let line = self.line()?;
        let (answer, took) = line.rsplit_once(" (").context("an answer without its time")?;
        println!("       {command}: {answer} ({took}");
        Ok(answer.to_owned())
    }

    /// The same, when it must be this.
    pub fn expect(&mut self, command: &str, answer: &str) -> Result<()> {
        let given = self.ask(command)?;
        check!(given == answer, "{command}: {given:?} instead of {answer:?}");
        Ok(())
    }
}

/// Whether hypercalls make guests on this machine.
fn has_hypercalls(context: &Context<'_>) -> bool {
    context.arch != Arch::Aarch64
}

/// What there is of guests in dom0 and xenstore, one a line; nothing when all are gone.
pub fn traces(context: &Context<'_>) -> Result<String> {
    let script = "xenstore-ls -f / | grep -E '^/(local/domain|libxl|vm|local/domain/0/backend/[a-z]+)/[^ ]' |
            grep -vE '^/(local/domain|libxl)/0( |/)|^/vm/00000000-0000-0000-0000-000000000000' ;
        xenstore-ls -f /local/domain/0/backend 2>/dev/null | grep -E '/backend/[a-z]+/[0-9]' ;
        ls /sys/class/net | grep vif; ls /var/lib/xen | grep userdata-d | grep -v '\\.0\\.';
        ls /var/log/xen/console | grep 73706f72; true";
    context.bed.must(script)
}

fn one_guest(context: &Context<'_>) -> Result<()> {
    one_guest_of(context, Maker::Hypercalls)
}

fn one_guest_of_xl(context: &Context<'_>) -> Result<()> {
    one_guest_of(context, Maker::Xl)
}

fn one_guest_of(context: &Context<'_>, maker: Maker) -> Result<()> {
    let mut toolstack = Toolstack::start(context, "trouble", maker)?;
    toolstack.expect("guests", "0 ")?;
    let free: i64 = toolstack.ask("free")?.parse()?;
    toolstack.expect("create 1 fault=None", "made")?;
    toolstack.expect("guests", "1 Paused")?;
    check!(!traces(context)?.is_empty(), "a guest that is there leaves no trace: the search is wrong");
    toolstack.expect("unpause 1", "runs")?;
    toolstack.expect("wait 1", "PowerOff")?;
    let left = toolstack.ask("ended 1")?;
    check!(left.starts_with("report ") && left.contains("result: "), "it left {left}");
    let console = toolstack.ask("console 1")?;
    check!(console.starts_with("0 \"spore: trouble"), "the console from its first byte on: {console}");
    toolstack.expect("destroy 1", "gone")?;
    toolstack.expect("guests", "0 ")?;
    check!(toolstack.ask("console 1")?.starts_with("error"), "the console of a guest that is gone");
    check!(traces(context)?.is_empty(), "left: {}", traces(context)?);
    let after: i64 = toolstack.ask("free")?.parse()?;
    check!((free - after).abs() <= 1024, "Xen had {free} KiB free and has {after}");
    toolstack.expect("destroy 1", "gone")
}

fn other_ends(context: &Context<'_>) -> Result<()> {
    let mut toolstack = Toolstack::start(context, "trouble", Maker::Hypercalls)?;
    for (number, fault, end, left) in [(1, "Panic", "Crash", "crash: "), (2, "Error", "PowerOff", "error ")] {
        toolstack.expect(&format!("create {number} fault={fault}"), "made")?;
        toolstack.expect(&format!("unpause {number}"), "runs")?;
        let ended = toolstack.ask(&format!("wait {number}"))?;
        check!(ended.starts_with(end), "{fault}: {ended}");
        let said = toolstack.ask(&format!("ended {number}"))?;
        check!(said.contains(left) && !said.contains("report "), "{fault}: {said}");
        toolstack.expect(&format!("destroy {number}"), "gone")?;
    }
    check!(traces(context)?.is_empty(), "left: {}", traces(context)?);
    Ok(())
}

fn mixed(context: &Context<'_>) -> Result<()> {
    for [maker, other] in [[Maker::Hypercalls, Maker::Xl], [Maker::Xl, Maker::Hypercalls]] {
        let mut toolstack = Toolstack::start(context, "trouble", maker)?;
        toolstack.expect("create 1 fault=None", "made")?;
        toolstack.expect("create 2 fault=None wait_s=3600", "made")?;
        drop(toolstack);
        let mut toolstack = Toolstack::start(context, "trouble", other)?;
        toolstack.expect("guests", "2 Paused Paused")?;
        toolstack.expect("unpause 1", "runs")?;
        toolstack.expect("unpause 2", "runs")?;
        toolstack.expect("wait 1", "PowerOff")?;
        check!(toolstack.ask("ended 1")?.starts_with("report "), "a guest of {maker:?} left no report");
        toolstack.expect("destroy 1", "gone")?;
        by_hand(context, &mut toolstack)?;
        toolstack.expect("destroy 2", "gone")?;
        check!(traces(context)?.is_empty(), "left of guests of {maker:?}: {}", traces(context)?);
    }
    Ok(())
}

/// Does with the only guest what a person does with `xl`.
fn by_hand(context: &Context<'_>, toolstack: &mut Toolstack) -> Result<()> {
    let listed = context.bed.must("xl list | grep 73706f72")?;
    let mut words = listed.split_whitespace();
    let (Some(name), Some(domain)) = (words.next(), words.next()) else { anyhow::bail!("xl lists {listed:?}") };
    let name_of = context.bed.must(&format!("xl domname {domain}"))?;
    check!(name_of.trim() == name, "domain {domain} is {name_of:?}, not {name:?}");
    wait_until("its console is there for xl", || {
        let tty = context.bed.must(&format!("xenstore-read /local/domain/{domain}/console/tty"))?;
        Ok(tty.trim().starts_with("/dev/pts/").then_some(()))
    })?;
    context.bed.must(&format!("xl sysrq {domain} c"))?;
    wait_until("its counters are on its console", || {
        Ok(toolstack.ask("console 2")?.contains("counters").then_some(()))
    })?;
    context.bed.must(&format!("xl shutdown {domain}"))?;
    toolstack.ask("wait 2")?;
    context.bed.must(&format!("xl destroy {domain}")).map(drop)
}

fn fallback(context: &Context<'_>) -> Result<()> {
    if !has_hypercalls(context) {
        return Err(qemu_tests::verdict::Skip("xl makes all guests here".into()).into());
    }
    let mut image = context.image("trouble")?;
    if context.arch == Arch::X86_64 {
        // Its notes say that it is of somebody else.
        let place = image.windows(6).position(|bytes| bytes == b"Spore\0").context("the image has no such note")?;
        image[place..place + 5].copy_from_slice(b"Spare");
    } else {
        // It is longer than its header says.
        image.push(0);
    }
    let mut toolstack = Toolstack::start_with(context, &image, Maker::Hypercalls)?;
    toolstack.session.input().write(b"create 1 fault=None\n")?;
    let line = toolstack.line()?;
    check!(
        line.starts_with("warning: a guest is made by xl, because hypercalls cannot: the image: "),
        "it says {line:?}"
    );
    check!(toolstack.line()?.starts_with("made "), "the guest was not made");
    // The same trouble is said once.
    toolstack.expect("create 2 fault=None", "made")?;
    toolstack.expect("unpause 1", "runs")?;
    toolstack.expect("wait 1", "PowerOff")?;
    toolstack.expect("destroy 1", "gone")?;
    toolstack.expect("destroy 2", "gone")?;
    check!(traces(context)?.is_empty(), "left: {}", traces(context)?);
    Ok(())
}
