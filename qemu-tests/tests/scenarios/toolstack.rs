//! The node's toolstack, driven by hand: the real `xl` and xenstored.

use crate::support::PATIENCE;
use anyhow::{Context as _, Result};
use qemu_tests::check;
use qemu_tests::dom0_program::Program;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol;
use qemu_tests::session::{News, Session};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "toolstack: it makes, starts, reads and removes a guest", run: one_guest },
    Scenario { name: "toolstack: it tells a crash and an error from a good end", run: other_ends },
];

/// What drives the toolstack by hand.
const TOOLSTACK: Program = Program { package: "node", name: "toolstack", example: true };

/// The program, and what it has printed and nobody has read.
pub struct Toolstack {
    session: Session,
    printed: String,
}

impl Toolstack {
    /// Starts it for an image.
    pub fn start(context: &Context<'_>, task: &str) -> Result<Self> {
        context.bring_program(TOOLSTACK)?;
        let image = format!("/var/lib/spore/{task}.img");
        context.bed.put(&image, &context.image(task)?)?;
        let environment = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())];
        let command = Some(format!("exec toolstack {image} 2>&1"));
        let wanted = protocol::Session { command, directory: "/".into(), environment, terminal: None };
        let mut toolstack = Self { session: context.bed.start(wanted)?, printed: String::new() };
        let line = toolstack.line()?;
        check!(line == "ready", "the toolstack says {line}");
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
    let mut toolstack = Toolstack::start(context, "trouble")?;
    toolstack.expect("guests", "0 ")?;
    let free: i64 = toolstack.ask("free")?.parse()?;
    toolstack.expect("create 1 fault=None", "made")?;
    toolstack.expect("guests", "1 Paused")?;
    check!(!traces(context)?.is_empty(), "a guest that is there leaves no trace: the search is wrong");
    toolstack.expect("unpause 1", "runs")?;
    toolstack.expect("wait 1", "PowerOff after 0 s")?;
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
    let mut toolstack = Toolstack::start(context, "trouble")?;
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
