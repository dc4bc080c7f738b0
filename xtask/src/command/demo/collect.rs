//! The demo `collect`: one guest, its console and its summaries.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use console::LogStream;
use qemu_tests::replay::{Expected, Summary};

use super::weather::{TASK, Weather, joined};
use super::{Arguments, step};
use crate::demo::{self, Verdict};
use crate::guest::{self, End, Outcome, Shown};
use crate::image::{self, Image};
use crate::interrupt::Interrupt;
use crate::setup;
use crate::symbols::Symbols;
use crate::workspace::Workspace;

/// From the bed's boot to the guest's end, and what came of it.
pub fn play(arguments: &Arguments) -> Result<Verdict> {
    let workspace = Workspace::load()?;
    let task = workspace.task(TASK)?;
    setup::for_bed(arguments.arch)?;
    let image = image::build_and_say(&workspace, &task, arguments.arch)?;
    let interrupt = Interrupt::listen()?;
    let weather = Weather::start(arguments.fast)?;
    let mut spec = guest::spec(&task, &image, None)?;
    spec.extra = weather.parameters();
    image.description.check(std::slice::from_ref(&spec.extra), task.settings.vif)?;
    let elf = image.elf()?;
    let (stream, symbols) = (LogStream::new(&elf)?, Symbols::new(&elf)?);
    let summaries = weather.summaries()?;

    let bed = guest::boot_bed(arguments.arch, Vec::new(), &interrupt)?;
    step(format_args!("{} MiB of memory for the guest; its parameters: {}", spec.memory_mib, spec.extra));
    let over = AtomicBool::new(false);
    let (outcome, fed, received) = std::thread::scope(|scope| {
        let (weather, over) = (&weather, &over);
        let feed = scope.spawn(|| {
            weather.wait_subscribed(over)?;
            weather.publish(0..weather.messages(), over)
        });
        let watch = scope.spawn(move || demo::watch(&summaries, weather.expected.windows.len(), over));
        let outcome = guest::run(&bed, &spec, stream, None, &interrupt, |shown| {
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
    judge(&image, &outcome, &weather.expected, &received)
}

/// What the figures say, after a run that ended well.
fn judge(image: &Image, outcome: &Outcome, expected: &Expected, received: &[Summary]) -> Result<Verdict> {
    let report = match (&outcome.end, &outcome.report) {
        (End::Shutdown(_), Some(report)) => report,
        (end, _) => anyhow::bail!("the guest left no report: {end:?}, status {:?}", outcome.status),
    };
    let fields = image.description.report_fields(report)?;
    step(format_args!("the guest ran for {:.1} s; its report was read from xenstore", outcome.ran.as_secs_f64()));
    Verdict::new(&fields, expected, received)
}
