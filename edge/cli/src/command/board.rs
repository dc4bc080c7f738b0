//! `spore node`.

use anyhow::Result;
use protocol::{GuestState, NodeState, Purpose};

use crate::node::{Node, Options};
use crate::output::{self, Format, say, table};

/// Shows the board.
///
/// # Errors
/// The node does not answer.
pub fn run(options: &Options, format: Format) -> Result<()> {
    let state: NodeState = Node::connect(options, Purpose::Read)?.get("/v1/node")?;
    match format {
        Format::Json => output::json(&state),
        Format::Table => say(&text(&state)),
    }
}

/// A board for people.
#[must_use]
pub fn text(state: &NodeState) -> String {
    let mib = |kib: u64| format!("{} MiB", kib / 1024);
    let facts = [
        ("node", state.node.to_string()),
        ("CPU", state.architecture.clone()),
        ("Xen", state.xen.clone()),
        ("memory free", format!("{}, {} of it kept back", mib(state.memory_free_kib), mib(state.memory_reserve_kib))),
        ("guests", state.guests.len().to_string()),
        ("waiting", state.queued.to_string()),
    ];
    let facts = table(&facts.map(|(name, value)| [name.to_owned(), value]));
    if state.guests.is_empty() { facts } else { format!("{facts}\n{}", guests(&state.guests)) }
}

fn guests(guests: &[GuestState]) -> String {
    let head = ["COMMAND", "TASK", "DOMAIN", "MEMORY", "HEAP (PEAK)", "CPU TIME", "STARTED"].map(str::to_owned);
    let row = |guest: &GuestState| {
        [
            format!("{}/{}", guest.tenant, guest.command),
            guest.task.to_string(),
            guest.domid.to_string(),
            format!("{} MiB", guest.memory_kib / 1024),
            guest.figures.as_ref().map_or("-".to_owned(), |figures| {
                let [used, peak] = [figures.heap_used_bytes, figures.heap_peak_bytes].map(|bytes| bytes.div_ceil(1024));
                format!("{used} KiB ({peak})")
            }),
            format!("{}.{:03} s", guest.cpu_milliseconds / 1000, guest.cpu_milliseconds % 1000),
            guest.started.to_string().split('.').next().unwrap_or_default().to_owned() + "Z",
        ]
    };
    table(&std::iter::once(head).chain(guests.iter().map(row)).collect::<Vec<_>>())
}
