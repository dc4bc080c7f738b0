//! No silent deaths: what a guest dies of stands on its console, and the toolstack knows that it did not end in order.

use crate::support::{PATIENCE, ends_with, guest, wait_until};
use anyhow::{Context as _, Result};
use object::{Architecture, Object, ObjectSymbol};
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::{Arch, Guest, ShutdownReason, check};
use std::fs;
use trouble::Fault;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "crash: a write through a null pointer is named", run: null_write },
    Scenario { name: "crash: code cannot be written", run: text_write },
    Scenario { name: "crash: constants cannot be written", run: constant_write },
    Scenario { name: "crash: the heap cannot be executed", run: heap_execute },
    Scenario { name: "crash: a stack overflow is named with its function", run: stack_overflow },
    Scenario { name: "crash: a frame larger than the stack ends the domain", run: large_frame },
    Scenario { name: "crash: an exhausted heap is named with its figures", run: heap_exhausted },
    Scenario { name: "crash: an allocation larger than memory is named", run: huge_allocation },
    Scenario { name: "crash: a panic is named with its address", run: panic },
    Scenario { name: "crash: the toolstack starts a crashed guest again if it is told to", run: restart },
];

/// Lets the task make a mistake, and returns its guest when it is dead.
fn dead(context: &Context<'_>, fault: Fault) -> Result<Guest> {
    let mut guest = context.bed.create(&guest(context, "trouble", &format!("fault={fault:?}"))?)?;
    guest.wait_for(&format!("trouble: {fault:?}"), PATIENCE)?;
    ends_with(&mut guest, ShutdownReason::Crash)?;
    check!(guest.xenstore_read("data/status")?.is_none(), "a guest that crashed left a status");
    Ok(guest)
}

/// The same, when it is to say these lines at its end, in this order.
fn names(context: &Context<'_>, fault: Fault, lines: &[&str]) -> Result<Guest> {
    let mut guest = dead(context, fault)?;
    for line in lines {
        guest.wait_for(line, PATIENCE)?;
    }
    Ok(guest)
}

/// What a page fault says after its first lines: where it happened.
fn place(context: &Context<'_>) -> &'static str {
    match context.arch.guests() {
        Arch::X86_64 => "  rip 0x",
        Arch::Armv7 | Arch::Aarch64 => "  pc 0x",
    }
}

fn null_write(context: &Context<'_>) -> Result<()> {
    let lines = ["crash: page fault at address 0x0", "  write, page not mapped", place(context)];
    names(context, Fault::NullWrite, &lines).map(drop)
}

fn text_write(context: &Context<'_>) -> Result<()> {
    names(context, Fault::TextWrite, &["crash: page fault at address 0x", "  write, page protected", place(context)])
        .map(drop)
}

fn constant_write(context: &Context<'_>) -> Result<()> {
    let lines = ["crash: page fault at address 0x", "  write, page protected", place(context)];
    names(context, Fault::ConstantWrite, &lines).map(drop)
}

fn heap_execute(context: &Context<'_>) -> Result<()> {
    let lines = ["crash: page fault at address 0x", "  execute, page protected", place(context)];
    names(context, Fault::HeapExecute, &lines).map(drop)
}

fn stack_overflow(context: &Context<'_>) -> Result<()> {
    let mut guest = dead(context, Fault::StackOverflow)?;
    let line = guest.wait_for("crash: stack overflow in the function at 0x", PATIENCE)?;
    let function = function_in(context, &line)?;
    check!(function.contains("recurse"), "it names {function}: {line}");
    Ok(())
}

/// Xen cannot push the trap's frame on a stack that is beyond its end, so this one ends without a word, but it ends.
fn large_frame(context: &Context<'_>) -> Result<()> {
    dead(context, Fault::LargeFrame).map(drop)
}

fn heap_exhausted(context: &Context<'_>) -> Result<()> {
    let mut guest = dead(context, Fault::HeapExhausted)?;
    let line = guest.wait_for("crash: out of memory: 1000 bytes wanted, ", PATIENCE)?;
    // "..., 3801096 of 3805184 in use, ...": nearly all was given out before.
    let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    let [1000, used, all, peak] = numbers[..] else { return Err(guest.complaint(&format!("figures: {line}"))) };
    check!(used * 100 >= all * 97 && peak >= used && all < 4 << 20, "unlikely figures: {line}");
    Ok(())
}

fn huge_allocation(context: &Context<'_>) -> Result<()> {
    names(context, Fault::HugeAllocation, &["crash: out of memory: 1073741824 bytes wanted, "]).map(drop)
}

fn panic(context: &Context<'_>) -> Result<()> {
    let mut guest = dead(context, Fault::Panic)?;
    let line = guest.wait_for("crash: panic at 0x", PATIENCE)?;
    let function = function_in(context, &line)?;
    check!(function.contains("trouble"), "it names {function}: {line}");
    Ok(())
}

fn restart(context: &Context<'_>) -> Result<()> {
    let mut spec = guest(context, "trouble", "fault=Panic lines=1")?;
    spec.on_crash = "restart".into();
    let mut guest = context.bed.create(&spec)?;
    let first = guest.domain()?;
    guest.wait_for("trouble: waiting for line 1", PATIENCE)?;
    crate::console::type_line(context, &guest, "go")?;
    ends_with(&mut guest, ShutdownReason::Crash)?;
    guest.wait_for("crash: panic at 0x", PATIENCE)?;
    guest.wait_for("trouble: waiting for line 1", PATIENCE)?;
    wait_until("another domain's number", || Ok(guest.domain().ok().filter(|domain| *domain > first)))?;
    Ok(())
}

/// The symbol of the function in which the address of this line lies.
fn function_in(context: &Context<'_>, line: &str) -> Result<String> {
    let digits = line.split("0x").nth(1).and_then(|rest| rest.split([',', ' ']).next()).unwrap_or_default();
    let address = u64::from_str_radix(digits, 16).with_context(|| format!("no address in {line:?}"))?;
    let elf = fs::read(context.image_file("trouble", "elf"))?;
    let elf = object::File::parse(elf.as_slice())?;
    // The lowest bit of a symbol of ARM says that its instructions are Thumb's.
    let mark = u64::from(elf.architecture() == Architecture::Arm);
    let holds = |symbol: &object::Symbol<'_, '_>| {
        let start = symbol.address() & !mark;
        (start..start + symbol.size()).contains(&address)
    };
    let symbol = elf.symbols().find(holds).with_context(|| format!("{address:#x} lies in no function"))?;
    Ok(symbol.name()?.to_owned())
}
