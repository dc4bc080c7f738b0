//! From a signed command to its guest and its result, and where the time goes: the node beside `xl` alone.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use qemu_tests::progress::Lines;
use qemu_tests::session::Session;
use qemu_tests::{Bed, node};
use serde_json::Value;

use super::super::Bench;
use super::super::contestant::Side;
use super::super::figures::Measure;
use super::start;
use crate::image::ImageFiles;

const GROUP: &str = "node";
/// Where the node keeps what it keeps; in dom0's memory.
const STATE: &str = "/var/lib/spore";
const IMAGES: &str = "/root/bench-images";
/// Commands of one figure: dom0 counts CPU time of ended processes in hundredths of a second.
const COMMANDS: u32 = 5;
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Enough for one command after the other, however fast.
const QUOTA: &str = "--guests 8 --memory 64 --starts-per-minute 10000";

/// One command after the other, nothing else running.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let mut board = Board::start(bench)?;
    // The first guest after dom0's boot pays for all that is read for the first time.
    board.commands(1)?;
    for round in 1..=bench.rounds {
        let what = format!("{round}/{} node", bench.rounds);
        bench.take(Side::Spore, &what, |_| board.figures())?;
        bench.take(Side::Spore, &format!("{what}, xl alone"), xl_alone)?;
    }
    Ok(())
}

/// A board whose node runs, with one tenant and the task `hello`.
struct Board<'b> {
    bed: &'b Bed,
    commands: u32,
    _node: Session,
}

impl<'b> Board<'b> {
    fn start(bench: &Bench<'b>) -> Result<Self> {
        let (bed, (task, image)) = (bench.bed, &bench.hello);
        let config = "name = \"board\"\n";
        node::install(bed, bench.arch.machine(), config, &mut Lines)?;
        let folder = format!("{IMAGES}/{}/{}", bench.arch, task.name);
        let ImageFiles { img, elf, cfg, .. } = &image.files;
        for file in [img, elf, cfg] {
            let name = file.file_name().and_then(|name| name.to_str()).context("an image without a name")?;
            let content = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            bed.put(&format!("{folder}/{name}"), &content)?;
        }
        let node = node::start(bed)?;
        bed.must(&format!(
            "spore key new /root/acme && spore pack hello oci:{STATE}/tasks:hello --tenant acme --images {IMAGES} &&
            spore sign oci:{STATE}/tasks:hello --key /root/acme.key &&
            spore tenant add acme --key /root/acme.pub {QUOTA}"
        ))?;
        Ok(Self { bed, commands: 0, _node: node })
    }

    /// Runs so many commands, one after the other, and returns their names.
    fn commands(&mut self, count: u32) -> Result<Vec<String>> {
        let names: Vec<_> = (self.commands..self.commands + count).map(|number| format!("c{number}")).collect();
        self.commands += count;
        for name in &names {
            let run =
                format!("spore run oci:{STATE}/tasks:hello --tenant acme --key /root/acme.key --id {name} --wait");
            let output = self.bed.shell_within(&run, PATIENCE)?;
            ensure!(output.status == 0, "{run}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(names)
    }

    /// Means of some commands.
    fn figures(&mut self) -> Result<Vec<(Measure, f64)>> {
        let (steps, [own, tools]) = (self.steps()?, self.cpu_milliseconds()?);
        let names = self.commands(COMMANDS)?;
        let (steps_after, [own_after, tools_after]) = (self.steps()?, self.cpu_milliseconds()?);
        let mean = |sum: f64| sum / f64::from(COMMANDS);
        let mut rows = self.times(&names)?;
        for (step, milliseconds) in steps_after {
            let before = steps.get(&step).copied().unwrap_or_default();
            rows.push(row(&format!("node_step_{step}"), &format!("step {step}"), mean(milliseconds - before)));
        }
        rows.push(row("node_cpu", "the node's own CPU time of a command", mean(own_after - own)));
        rows.push(row("node_tools_cpu", "CPU time of the processes that it starts for one", mean(tools_after - tools)));
        Ok(rows)
    }

    /// From acceptance to the first instructions and to the result, by the node's own clock; means.
    fn times(&self, names: &[String]) -> Result<Vec<(Measure, f64)>> {
        let list: Value = serde_json::from_str(&self.bed.must("spore --output json ps --all")?)?;
        let commands = list["commands"].as_array().context("spore ps shows no commands")?;
        let (mut guest, mut task, mut result) = (0.0, 0.0, 0.0);
        for name in names {
            let command = commands.iter().find(|command| command["command"] == name.as_str());
            let command = command.with_context(|| format!("spore ps does not show {name}"))?;
            let accepted = milliseconds(command, "accepted")?;
            let started = milliseconds(command, "started")? - accepted;
            let console = self.bed.must(&format!("spore logs acme/{name}"))?;
            let boot = start::task_after(Side::Spore, &console).context("no word of when the task began")?;
            guest += started;
            task += started + boot.as_secs_f64() * 1000.0;
            result += milliseconds(command, "ended")? - accepted;
        }
        let mean = |sum: f64| sum / names.len() as f64;
        Ok(vec![
            row("node_to_guest", "accepted to the guest's first instruction", mean(guest)),
            row("node_to_task", "accepted to the task's first instruction", mean(task)),
            row("node_to_result", "accepted to the result", mean(result)),
        ])
    }

    /// Milliseconds that each step has taken so far, in all.
    fn steps(&self) -> Result<BTreeMap<String, f64>> {
        let metrics = self.bed.must("spore metrics")?;
        let steps = metrics.lines().filter_map(|line| {
            let (step, seconds) = line.strip_prefix("spore_step_seconds_sum{step=\"")?.split_once("\"} ")?;
            Some((step.to_owned(), seconds.parse::<f64>().ok()? * 1000.0))
        });
        let steps: BTreeMap<_, _> = steps.collect();
        ensure!(!steps.is_empty(), "the node's metrics say nothing of steps:\n{metrics}");
        Ok(steps)
    }

    /// CPU time of the node's threads, and of processes that it has started and that have ended, in milliseconds.
    fn cpu_milliseconds(&self) -> Result<[f64; 2]> {
        let text = self.bed.must(
            "node=$(pidof spored); cat /proc/$node/task/*/schedstat | awk '{ns += $1} END {print ns / 1000000}'
            awk '{print ($16 + $17) * 10}' /proc/$node/stat",
        )?;
        let mut figures = text.split_whitespace().map(str::parse::<f64>);
        let mut next = || figures.next().context("no figure")?.with_context(|| format!("reading {text}"));
        Ok([next()?, next()?])
    }
}

/// What `xl` alone takes for the same guest.
fn xl_alone(bench: &Bench<'_>) -> Result<Vec<(Measure, f64)>> {
    let image = format!("{IMAGES}/{}/hello/hello.img", bench.arch);
    // The kernel's uptime is what dom0's shell can read: in hundredths of a second. A uuid that is given: xl would wait
    // for random numbers.
    let text = bench.bed.must(&format!(
        "set -e; xl=$(ls /usr/lib/xen-*/bin/xl); now() {{ cut -d' ' -f1 /proc/uptime | tr -d .; }}
        a=$(now); $xl create -q -p -e /dev/null 'name=\"alone\"' 'uuid=\"6e6f6465-0000-4000-8000-000000000001\"' \\
            'kernel=\"{image}\"' memory=4 vcpus=1
        b=$(now); $xl unpause alone; c=$(now); $xl destroy alone; d=$(now)
        echo $((b - a)) $((c - b)) $((d - c))"
    ))?;
    let keys =
        [("xl_create", "xl alone: create"), ("xl_unpause", "xl alone: unpause"), ("xl_destroy", "xl alone: destroy")];
    let times: Vec<f64> = text
        .split_whitespace()
        .map(|time| time.parse::<f64>().map(|hundredths| hundredths * 10.0))
        .collect::<Result<_, _>>()?;
    ensure!(times.len() == keys.len(), "xl's times are {text:?}");
    Ok(keys.into_iter().zip(times).map(|((key, name), time)| row(key, name, time)).collect())
}

fn row(key: &str, name: &str, value: f64) -> (Measure, f64) {
    (Measure::less(key, GROUP, name, "ms"), value)
}

/// A time of a command's status, in milliseconds since 1970.
fn milliseconds(command: &Value, key: &str) -> Result<f64> {
    let text = command[key].as_str().with_context(|| format!("the command has no time \"{key}\""))?;
    let time = humantime::parse_rfc3339(text).with_context(|| format!("{key}: {text}"))?;
    Ok(time.duration_since(std::time::UNIX_EPOCH)?.as_secs_f64() * 1000.0)
}
