//! A board with the node `spored` in its dom0, used with `spore` as a person does: the real `xl`, xenstored and bridge.

use crate::support::{PATIENCE, wait_until};
use crate::toolstack::traces;
use anyhow::{Context as _, Result};
use qemu_tests::check;
use qemu_tests::dom0_program::Program;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol;
use qemu_tests::session::Session;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "node: a signed command runs a task and its result arrives", run: result },
    Scenario { name: "node: a task that crashes starts again, and the end says why", run: crash },
    Scenario { name: "node: what is beyond a tenant's quota is refused with the numbers", run: quota },
];

const SPORED: Program = Program { package: "node", name: "spored", example: false };
const VIF: Program = Program { package: "node", name: "spore-vif", example: false };
const SPORE: Program = Program { package: "cli", name: "spore", example: false };
/// What the node keeps, in dom0's memory.
const STATE: &str = "/var/lib/spored";

/// A board whose node runs.
struct Board<'c> {
    context: &'c Context<'c>,
    spored: Option<Session>,
}

impl<'c> Board<'c> {
    /// Starts a node that knows nothing, with a tenant "acme" and its tasks.
    fn start(context: &'c Context<'c>, tasks: &[&str], quota: &str) -> Result<Self> {
        for program in [SPORED, SPORE, VIF] {
            context.bring_program(program)?;
        }
        let config = format!("name = \"board\"\nstate = \"{STATE}\"\ntasks = \"{STATE}/tasks\"\n");
        context.bed.must(&format!(
            "rm -rf {STATE} /root/keys; mkdir -p {STATE} /root/keys /usr/lib/spore
            ln -sf /usr/bin/spore-vif /usr/lib/spore/spore-vif"
        ))?;
        context.bed.put("/etc/spore/node.toml", config.as_bytes())?;
        let mut board = Self { context, spored: None };
        board.spore("key new /root/keys/acme")?;
        for task in tasks {
            let folder = format!("/root/images/{}/{task}", context.arch.guests().name());
            for extension in ["img", "elf", "cfg"] {
                let content = std::fs::read(context.image_file(task, extension))
                    .with_context(|| format!("build the image of {task} first"))?;
                context.bed.put(&format!("{folder}/{task}.{extension}"), &content)?;
            }
            board.spore(&format!("pack {task} oci:{STATE}/tasks:{task} --tenant acme --images /root/images"))?;
            board.spore(&format!("sign oci:{STATE}/tasks:{task} --key /root/keys/acme.key"))?;
        }
        board.begin()?;
        board.spore(&format!("tenant add acme --key /root/keys/acme.pub {quota}"))?;
        Ok(board)
    }

    /// Starts the node and waits until it serves.
    fn begin(&mut self) -> Result<()> {
        let environment = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())];
        // What it says is for a person who looks into the failure.
        let command = Some("exec spored >>/var/log/xen/spored.log 2>&1".to_owned());
        let wanted = protocol::Session { command, directory: "/".into(), environment, terminal: None };
        self.spored = Some(self.context.bed.start(wanted)?);
        wait_until("the node serves", || Ok((self.context.bed.shell("spore node")?.status == 0).then_some(())))
    }

    /// Runs `spore`, which must succeed; returns what it printed.
    fn spore(&self, arguments: &str) -> Result<String> {
        let output = self.try_spore(arguments)?;
        output.map_err(|error| anyhow::anyhow!("spore {arguments}: {error}"))
    }

    /// The same, when it may fail: then what it said.
    fn try_spore(&self, arguments: &str) -> Result<Result<String, String>> {
        let output = self.context.bed.shell_within(&format!("spore {arguments}"), PATIENCE)?;
        let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok(if output.status == 0 { Ok(said.into_owned()) } else { Err(error.into_owned()) })
    }

    /// The words that have a task run as acme's.
    fn run(task: &str, id: &str, words: &str) -> String {
        format!("run oci:{STATE}/tasks:{task} --tenant acme --key /root/keys/acme.key --id {id} {words}")
    }

    /// What is left of guests once nothing runs: nothing.
    fn leaves_nothing(&self) -> Result<()> {
        let mut left = String::new();
        let gone = wait_until("nothing is left of any guest", || {
            left = traces(self.context)?;
            Ok(left.is_empty().then_some(()))
        });
        gone.with_context(|| format!("left:\n{left}"))
    }

    /// The domains that there are beside dom0.
    fn domains(&self) -> Result<Vec<String>> {
        let domains = self.context.bed.xenstore_list("/local/domain")?;
        Ok(domains.into_iter().filter(|domain| domain != "0").collect())
    }

    /// Waits until a command is in this phase, as `spore ps` names it.
    fn wait_phase(&self, id: &str, phase: &str) -> Result<()> {
        wait_until(&format!("{id} is {phase}"), || {
            let listed = self.spore("ps --all")?;
            let line = listed.lines().find(|line| line.contains(&format!("acme/{id} "))).unwrap_or_default();
            Ok(line.contains(phase).then_some(()))
        })
    }
}

impl Drop for Board<'_> {
    fn drop(&mut self) {
        // The bed may be gone; a session that is dropped kills its program.
        self.spored = None;
        let _ = self.context.bed.shell(&format!("rm -rf {STATE} /root/images /root/keys"));
    }
}

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
    board.spore(&Board::run("trouble", "second", "fault=None"))?;
    board.wait_phase("second", "queued")?;
    check!(board.domains()?.len() == 1, "more guests than the quota has: {:?}", board.domains()?);
    board.spore("stop acme/first")?;
    board.wait_phase("second", "finished")?;
    board.leaves_nothing()
}
