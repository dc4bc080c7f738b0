//! The task `hello`: the smallest guest.

use crate::support::{PATIENCE, ends_with, guest, printed};
use anyhow::Result;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::{Guest, ShutdownReason, check};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "hello: prints its line in 4 MiB and powers off", run: smallest },
    Scenario { name: "hello: at least 90 % of 32 MiB are left for the heap", run: heap_share },
    Scenario { name: "hello: all of 512 MiB can be used", run: large },
    Scenario { name: "hello: parameters that it does not have are named", run: no_parameters },
];

/// Lets a guest of this size run to its end.
fn boot(context: &Context<'_>, memory_mib: u32) -> Result<Guest> {
    let mut spec = guest(context, "hello", "")?;
    spec.memory_mib = memory_mib;
    let mut guest = context.bed.create(&spec)?;
    ends_with(&mut guest, ShutdownReason::PowerOff)?;
    Ok(guest)
}

/// The figures `total_bytes` and `heap_bytes` that it prints.
fn memory(mut guest: Guest) -> Result<(u64, u64)> {
    let result = guest.wait_for("result: ", PATIENCE)?;
    Ok((printed(&result, "total_bytes")?, printed(&result, "heap_bytes")?))
}

fn smallest(context: &Context<'_>) -> Result<()> {
    let mut guest = boot(context, 4)?;
    guest.wait_for("spore: hello ", PATIENCE)?;
    guest.wait_for("Hello from a guest of 4096 KiB", PATIENCE)?;
    guest.wait_for("result: total_bytes=4194304 ", PATIENCE)?;
    guest.wait_for("memory: ", PATIENCE)?;
    Ok(())
}

fn heap_share(context: &Context<'_>) -> Result<()> {
    let (total, heap) = memory(boot(context, 32)?)?;
    check!(total == 32 << 20, "it sees {total} bytes");
    check!(heap * 10 >= total * 9, "{heap} of {total} bytes are left for the heap");
    Ok(())
}

fn large(context: &Context<'_>) -> Result<()> {
    let (total, heap) = memory(boot(context, 512)?)?;
    check!(total == 512 << 20, "it sees {total} bytes");
    check!(heap * 100 >= total * 98, "{heap} of {total} bytes are left for the heap");
    Ok(())
}

fn no_parameters(context: &Context<'_>) -> Result<()> {
    let mut guest = context.bed.create(&guest(context, "hello", "greeting=hi")?)?;
    guest.wait_for("error: parameter \"greeting\" is unknown", PATIENCE)?;
    ends_with(&mut guest, ShutdownReason::PowerOff)
}
