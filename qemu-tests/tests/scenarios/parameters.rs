//! Parameters: what is wrong with them is said by name, on the console and to programs, and the guest ends in order.

use crate::support::{PATIENCE, ends_with, guest, status};
use anyhow::Result;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::{GuestSpec, ShutdownReason, check};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "parameters: an unknown key is named", run: unknown },
    Scenario { name: "parameters: a missing key is named", run: missing },
    Scenario { name: "parameters: a malformed value is named with what would be right", run: malformed },
    Scenario { name: "parameters: a repeated key is named", run: repeated },
    Scenario { name: "parameters: a word that is no pair is named", run: not_a_pair },
    Scenario { name: "parameters: a malformed network address is named", run: malformed_address },
    Scenario { name: "parameters: those that a program left win over the command line", run: from_a_program },
    Scenario { name: "parameters: those that a program left need no command line", run: only_from_a_program },
    Scenario { name: "parameters: damage in those that a program left is said", run: damaged },
];

/// The guest must say this error on its console and in `data/status`, and end in order.
fn refuses(context: &Context<'_>, spec: &GuestSpec, error: &str) -> Result<()> {
    let mut guest = context.bed.create(spec)?;
    let line = guest.wait_for("error: ", PATIENCE)?;
    check!(line.contains(error), "the console says {line:?}");
    ends_with(&mut guest, ShutdownReason::PowerOff)?;
    let status = status(&guest)?;
    check!(status == line, "the console says {line:?}, data/status {status:?}");
    check!(guest.xenstore_read("data/result")?.is_none(), "there is a result");
    Ok(())
}

fn trouble(context: &Context<'_>, parameters: &str, error: &str) -> Result<()> {
    refuses(context, &guest(context, "trouble", parameters)?, error)
}

fn unknown(context: &Context<'_>) -> Result<()> {
    let error = "error: parameter \"falut\" is unknown; there are: fault, lines, wait_s, filler_bytes";
    trouble(context, "fault=None falut=None", error)
}

fn missing(context: &Context<'_>) -> Result<()> {
    trouble(context, "", "error: parameter \"fault\" is missing: add fault=...")
}

fn malformed(context: &Context<'_>) -> Result<()> {
    let error = "error: parameter \"lines\": \"three\" is not a whole number from 0 to 4294967295";
    trouble(context, "fault=None lines=three", error)?;
    trouble(context, "fault=Nothing", "error: parameter \"fault\": \"Nothing\" is not one of None, Error, ")
}

fn repeated(context: &Context<'_>) -> Result<()> {
    trouble(context, "fault=None fault=Panic", "error: parameter \"fault\" is given twice")
}

fn not_a_pair(context: &Context<'_>) -> Result<()> {
    trouble(context, "fault=None quiet", "error: parameter \"quiet\": expected key=value")
}

fn malformed_address(context: &Context<'_>) -> Result<()> {
    let mut spec = guest(context, "echo", "ip=10.0.2.300/24")?;
    spec.vif = true;
    refuses(context, &spec, "error: parameter \"ip\": \"10.0.2.300/24\" is not dhcp, or an address")?;
    spec.extra = "ip=10.0.2.50/24 gateway=10.0.3.1".into();
    refuses(context, &spec, "error: parameter \"gateway\": 10.0.3.1 is not inside ip=10.0.2.50/24")
}

fn wanted() -> Result<Vec<u8>> {
    Ok(postcard::to_stdvec(&trouble::Parameters {
        fault: trouble::Fault::Error,
        lines: None,
        wait_s: None,
        filler_bytes: None,
    })?)
}

fn from_a_program(context: &Context<'_>) -> Result<()> {
    let mut spec = guest(context, "trouble", "fault=Panic")?;
    spec.data = vec![("parameters".into(), wanted()?)];
    refuses(context, &spec, "error: the task was told to fail")
}

fn only_from_a_program(context: &Context<'_>) -> Result<()> {
    let mut spec = guest(context, "trouble", "")?;
    spec.data = vec![("parameters".into(), wanted()?)];
    refuses(context, &spec, "error: the task was told to fail")
}

fn damaged(context: &Context<'_>) -> Result<()> {
    let mut spec = guest(context, "trouble", "fault=None")?;
    spec.data = vec![("parameters".into(), vec![0xff; 3])];
    refuses(context, &spec, "error: data/parameters does not fit the task's parameters")
}
