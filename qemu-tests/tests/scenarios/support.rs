//! What scenarios of different subjects share.

use anyhow::{Context as _, Result};
use qemu_tests::harness::Context;
use qemu_tests::{Guest, GuestSpec, ShutdownReason, check};
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};

/// How long anything may take that is waited for. The machine is emulated and its host may be busy; what works takes a
/// small part of it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A guest made of a task's image, without network.
pub fn guest(context: &Context<'_>, task: &str, parameters: &str) -> Result<GuestSpec> {
    let mut spec = GuestSpec::new(task, context.image(task)?);
    spec.extra = parameters.to_owned();
    Ok(spec)
}

/// Waits for the guest's end and checks the reason.
pub fn ends_with(guest: &mut Guest, reason: ShutdownReason) -> Result<()> {
    let end = guest.wait_shutdown(PATIENCE)?;
    if end == reason { Ok(()) } else { Err(guest.complaint(&format!("it ended with {end} instead of {reason}"))) }
}

/// Waits until the guest has ended in order, then checks that its task was content, and returns its report.
pub fn ends_well<R: DeserializeOwned>(guest: &mut Guest) -> Result<R> {
    ends_with(guest, ShutdownReason::PowerOff)?;
    left_well(guest)
}

/// Checks that the task of a guest which has ended was content, and returns its report.
pub fn left_well<R: DeserializeOwned>(guest: &Guest) -> Result<R> {
    let status = status(guest)?;
    check!(status == "ok", "data/status is {status:?}");
    let Some(report) = guest.report()? else {
        return Err(guest.complaint("it left no report, or not all of it"));
    };
    Ok(postcard::from_bytes(&report)?)
}

/// What the guest left in `data/status`; nothing if it left nothing.
pub fn status(guest: &Guest) -> Result<String> {
    let status = guest.xenstore_read("data/status")?.unwrap_or_default();
    String::from_utf8(status).context("data/status is not text")
}

/// The value of `key` in the line `result: key=value ...` of a guest's console.
pub fn printed(line: &str, key: &str) -> Result<u64> {
    let value = line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).with_context(|| format!("no number {key} in {line:?}"))
}

/// Asks again and again until there is an answer; says what was awaited when there is none in time.
pub fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        check!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
    }
}
