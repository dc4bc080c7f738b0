//! `demo`: the main job, shown as it happens.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use qemu_tests::broker::Broker;
use qemu_tests::log_stream::LogStream;
use qemu_tests::replay::{Data, Message, Summaries};

use crate::arch::Arch;
use crate::demo::{self, Verdict};
use crate::guest::{self, End, Outcome, Shown};
use crate::image::{self, Image};
use crate::interrupt::Interrupt;
use crate::setup;
use crate::symbols::Symbols;
use crate::terminal::{self, Style, bytes};
use crate::workspace::{Task, Workspace};

/// The task that the demo is about.
const TASK: &str = "collect";
/// Its name at both brokers.
const CLIENT: &str = "collect-demo";
/// A window is a day.
const WINDOW_S: u32 = 86_400;
/// This machine, as the bed's guests see it.
const THIS_MACHINE: &str = "10.0.2.2";

/// Show the main job: a guest on real Xen collects real sensor readings from one MQTT broker and publishes to another.
///
/// Two real mosquitto run on this machine's loopback interface: the local broker and "the cloud". The image of the task
/// collect is built and started by xl on Xen in QEMU. Five days of readings of 27 weather sensors are replayed; the guest
/// keeps count, minimum, maximum, mean and variance of each sensor and day, and publishes a summary of each. At the end its
/// figures are compared with an independent computation. Exit status 0 means that they agree.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The processor to boot it on.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// Replay as fast as the brokers take it, without pauses that let one watch.
    #[arg(long)]
    fast: bool,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let task = workspace.task(TASK)?;
    setup::for_bed(arguments.arch)?;
    let image = image::build_and_say(&workspace, &task, arguments.arch)?;
    let interrupt = Interrupt::listen()?;

    let (local, cloud) = (Broker::start("demo-local")?, Broker::start("demo-cloud")?);
    step(format_args!("the local broker is mosquitto at 127.0.0.1:{}", local.port()));
    step(format_args!("\"the cloud\" is mosquitto at 127.0.0.1:{}", cloud.port()));
    let data = Data::committed();
    let verdict = play(arguments, &task, &image, &data, (&local, &cloud), &interrupt)?;
    println!("\n{}", verdict.table());
    for line in &verdict.findings {
        println!("{line}");
    }
    let (words, style) = match verdict.passed() {
        true => ("The demo passed: the guest's figures are right.", Style::Green),
        false => ("The demo FAILED: see the findings above.", Style::Red),
    };
    println!("\n{}", terminal::on_stdout(words, style));
    Ok(if verdict.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// From the bed's boot to the guest's end, and what came of it.
fn play(
    arguments: &Arguments,
    task: &Task,
    image: &Image,
    data: &Data,
    (local, cloud): (&Broker, &Broker),
    interrupt: &Interrupt,
) -> Result<Verdict> {
    let messages = data.messages();
    let expected = data.expected(WINDOW_S.into());
    let mut spec = guest::spec(task, image, None)?;
    spec.extra = parameters(local, cloud, expected.readings);
    image.description.check(std::slice::from_ref(&spec.extra), task.settings.vif)?;
    let elf = image.elf()?;
    let (stream, symbols) = (LogStream::new(&elf)?, Symbols::new(&elf)?);
    let summaries = Summaries::subscribe(address(cloud), "summaries/#")?;

    let bed = guest::boot_bed(arguments.arch, Vec::new(), interrupt)?;
    step(format_args!("{} MiB of memory for the guest; its parameters: {}", spec.memory_mib, spec.extra));
    let over = AtomicBool::new(false);
    let (outcome, fed, received) = std::thread::scope(|scope| {
        let (windows, over) = (expected.windows.len(), &over);
        let feed = scope.spawn(|| feed(local, &messages, arguments.fast, over));
        let watch = scope.spawn(move || demo::watch(&summaries, windows, over));
        let outcome = guest::run(&bed, &spec, stream, None, interrupt, |shown| {
            if let Shown::Line(line) = shown {
                guest::print("guest", &demo::cut(line), &symbols);
            }
        });
        over.store(true, Ordering::Relaxed);
        (outcome, joined(feed), joined(watch))
    });
    let outcome = outcome?;
    fed.context("replaying the readings")?;
    let received = received.context("receiving the summaries")?;
    judge(image, &outcome, &expected, &received)
}

/// What the figures say, after a run that ended well.
fn judge(
    image: &Image,
    outcome: &Outcome,
    expected: &qemu_tests::replay::Expected,
    received: &[qemu_tests::replay::Summary],
) -> Result<Verdict> {
    let report = match (&outcome.end, &outcome.report) {
        (End::Shutdown(_), Some(report)) => report,
        (end, _) => anyhow::bail!("the guest left no report: {end:?}, status {:?}", outcome.status),
    };
    let fields = image.description.report_fields(report)?;
    step(format_args!("the guest ran for {:.1} s; its report was read from xenstore", outcome.ran.as_secs_f64()));
    Verdict::new(&fields, expected, received)
}

/// The guest's command line.
fn parameters(local: &Broker, cloud: &Broker, readings: u64) -> String {
    format!(
        "source={THIS_MACHINE}:{} cloud={THIS_MACHINE}:{} topics=sensors/+ window_s={WINDOW_S} readings={readings} \
         client={CLIENT}",
        local.port(),
        cloud.port()
    )
}

fn address(broker: &Broker) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, broker.port()))
}

/// Waits until the guest has subscribed, then publishes the readings.
fn feed(local: &Broker, messages: &[Message], fast: bool, over: &AtomicBool) -> Result<()> {
    let subscribed = format!("Sending SUBACK to {CLIENT}");
    while !local.wait_log(&subscribed, demo::LOOK) {
        if over.load(Ordering::Relaxed) {
            anyhow::bail!("the guest ended before it had subscribed to the sensors' topics");
        }
    }
    let readings: usize = messages.iter().map(|message| message.readings).sum();
    step(format_args!(
        "the guest has subscribed: replaying {} readings of {} hours",
        bytes(readings as u64),
        messages.len() / 3
    ));
    let mut telling = demo::Telling::default();
    qemu_tests::replay::publish(address(local), messages, |_, message| {
        if !fast && !over.load(Ordering::Relaxed) {
            std::thread::sleep(demo::PACE);
        }
        if let Some(line) = telling.sent(message) {
            println!("{line}");
        }
    })?;
    println!("{}", telling.line());
    Ok(())
}

/// A thread's result; its panic goes on here.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn step(text: std::fmt::Arguments<'_>) {
    terminal::say(format_args!("{} {text}", terminal::on_stderr("*", Style::Bold)));
}
