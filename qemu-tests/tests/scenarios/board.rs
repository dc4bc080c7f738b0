//! A board with the node `spored` in its dom0, and what a person does with it.

use crate::support::{PATIENCE, wait_until};
use crate::toolstack::traces;
use anyhow::{Context as _, Result};
use qemu_tests::harness::Context;
use qemu_tests::progress::Lines;
use qemu_tests::session::Session;
use qemu_tests::{node, protocol};
use serde_json::Value;

/// What the node keeps.
pub const STATE: &str = "/var/lib/spored";
/// The keys of the tenant "acme".
pub const KEYS: &str = "/root/keys";

/// A board whose node runs.
pub struct Board<'c> {
    context: &'c Context<'c>,
    spored: Option<Session>,
}

impl<'c> Board<'c> {
    /// Starts a node that knows nothing, with a tenant "acme" and its tasks.
    pub fn start(context: &'c Context<'c>, tasks: &[&str], quota: &str) -> Result<Self> {
        let mut board = Self::install(context)?;
        context.bed.must(&format!("rm -rf {STATE}/* {KEYS}/*; mkdir -p {STATE} {KEYS}"))?;
        board.spore(&format!("key new {KEYS}/acme"))?;
        for task in tasks {
            let folder = format!("/root/images/{}/{task}", context.arch.guests().name());
            for extension in ["img", "elf", "cfg"] {
                let content = std::fs::read(context.image_file(task, extension))
                    .with_context(|| format!("build the image of {task} first"))?;
                context.bed.put(&format!("{folder}/{task}.{extension}"), &content)?;
            }
            board.spore(&format!("pack {task} oci:{STATE}/tasks:{task} --tenant acme --images /root/images"))?;
            board.spore(&format!("sign oci:{STATE}/tasks:{task} --key {KEYS}/acme.key"))?;
        }
        board.begin()?;
        board.spore(&format!("tenant add acme --key {KEYS}/acme.pub {quota}"))?;
        Ok(board)
    }

    /// Brings the programs and the config to a dom0.
    pub fn install(context: &'c Context<'c>) -> Result<Self> {
        // Often: what a task has saved is on disk before a person would look.
        let config =
            format!("name = \"board\"\ncheckpoint_seconds = 1\nstate = \"{STATE}\"\ntasks = \"{STATE}/tasks\"\n");
        node::install(context.bed, context.arch, &config, &mut Lines)?;
        Ok(Self { context, spored: None })
    }

    /// Starts the node and waits until it serves.
    pub fn begin(&mut self) -> Result<()> {
        self.spored = Some(node::start(self.context.bed)?);
        Ok(())
    }

    /// Starts a command of dom0's shell, which ends with what is returned.
    pub fn in_background(&self, command: &str) -> Result<Session> {
        let environment = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())];
        let command = Some(command.to_owned());
        self.context.bed.start(protocol::Session { command, directory: "/".into(), environment, terminal: None })
    }

    /// Kills the node as a lack of memory would.
    pub fn kill(&mut self) -> Result<()> {
        self.context.bed.must("kill -9 $(pidof spored)")?;
        self.spored = None;
        Ok(())
    }

    /// Runs `spore`, which must succeed; returns what it printed.
    pub fn spore(&self, arguments: &str) -> Result<String> {
        let output = self.try_spore(arguments)?;
        output.map_err(|error| anyhow::anyhow!("spore {arguments}: {error}"))
    }

    /// The same, when it may fail: then what it said.
    pub fn try_spore(&self, arguments: &str) -> Result<Result<String, String>> {
        let output = self.context.bed.shell_within(&format!("spore {arguments}"), PATIENCE)?;
        let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok(if output.status == 0 { Ok(said.into_owned()) } else { Err(error.into_owned()) })
    }

    /// The words that have a task run as acme's.
    pub fn run(task: &str, id: &str, words: &str) -> String {
        format!("run oci:{STATE}/tasks:{task} --tenant acme --key {KEYS}/acme.key --id {id} {words}")
    }

    /// What is left of guests once nothing runs: nothing.
    pub fn leaves_nothing(&self) -> Result<()> {
        let mut left = String::new();
        let gone = wait_until("nothing is left of any guest", || {
            left = traces(self.context)?;
            Ok(left.is_empty().then_some(()))
        });
        gone.with_context(|| format!("left:\n{left}"))
    }

    /// The domains that there are beside dom0.
    pub fn domains(&self) -> Result<Vec<String>> {
        let domains = self.context.bed.xenstore_list("/local/domain")?;
        Ok(domains.into_iter().filter(|domain| domain != "0").collect())
    }

    /// Waits until a command is in this phase, as `spore ps` names it.
    pub fn wait_phase(&self, id: &str, phase: &str) -> Result<()> {
        wait_until(&format!("{id} is {phase}"), || {
            let listed = self.spore("ps --all")?;
            let line = listed.lines().find(|line| line.contains(&format!("acme/{id} "))).unwrap_or_default();
            Ok(line.contains(phase).then_some(()))
        })
    }

    /// How often guests were started for a command; none when the node does not know it.
    pub fn attempts(&self, id: &str) -> Result<Option<u64>> {
        let listed: Value = serde_json::from_str(&self.spore("ps --all --output json")?)?;
        let commands = listed["commands"].as_array().context("a list of commands")?;
        let command = commands.iter().find(|command| command["command"] == id);
        Ok(command.and_then(|command| command["attempts"].as_u64()))
    }

    /// The memory that the node's process holds now, in KiB.
    pub fn memory_kib(&self) -> Result<u64> {
        let printed = self.context.bed.must("awk '/^VmRSS/ { print $2 }' /proc/$(pidof spored)/status")?;
        printed.trim().parse().context("the node's memory")
    }
}

impl Drop for Board<'_> {
    fn drop(&mut self) {
        // The bed may be gone; a session that is dropped kills its program.
        self.spored = None;
        let _ = self.context.bed.shell(&format!("rm -rf {STATE} /root/images {KEYS}"));
    }
}
