//! Brings up the network: grant table, card, stack.

use core::fmt::Write;

use alloc::string::String;

use embassy_executor::Spawner;
use embassy_time::{Duration, with_timeout};
use kernel::net::{Parameters, Runner, Stack};

use super::{Platform, spawn};
use crate::grant_table::GrantTable;
use crate::netfront::{Buffers, Choice, CounterReader, Dropped, Pacing, Setup, netfront};
use crate::words::line;
use crate::xen::Xen;
use crate::{arch, memory};

/// The part of the memory, one in this many, that sockets may take for their buffers: so much that with 32 MiB the first connection,
/// which may be one that only controls, leaves the second the buffers for a fast network.
const SOCKET_SHARE: usize = 4;

/// How long the end of a guest may be held up by peers that do not answer any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// The network as the platform knows it.
pub(super) struct Interface {
    pub(super) stack: Stack,
    card: CounterReader<Xen>,
    grants: GrantTable<Xen>,
}

/// Starts the card's driver and the stack. The interface may get its address much later.
pub(super) fn start(platform: &Platform, spawner: Spawner, parameters: Parameters) -> Result<(), String> {
    let store = &platform.toolstack.store;
    let (entries, count) = arch::map_grant_frames(memory::allocate_run).ok_or("the hypervisor gives no grant table")?;
    // SAFETY: the frames are mapped for good, and this is the only table made of them.
    let grants = unsafe { GrantTable::new(Xen, entries, count) };
    let total_bytes = memory::figures().total_bytes;
    let pacing = Pacing::shared_cpu();
    let buffers = Buffers::for_memory(total_bytes, &pacing);
    let setup = Setup { buffers, pacing, choice: Choice::First };
    let (device, driver) = netfront(platform.events, grants.clone(), *store, setup);
    let card = device.counter_reader();
    spawn(spawner, async move {
        driver.run().await;
    });
    let seed = platform.generator().next_u64();
    let runner = Runner::new(device, parameters, seed).with_buffer_budget(total_bytes / SOCKET_SHARE);
    // This runs once, so the cell is empty.
    let _ = platform.network.set(Interface { stack: runner.stack(), card, grants });
    spawn(spawner, async move {
        runner.run().await;
    });
    Ok(())
}

/// Waits until what the task wrote to its connections has arrived, or too long.
pub(super) async fn settle(platform: &Platform) {
    if let Some(network) = platform.network.get() {
        // The only outcome that differs is a peer that does not answer.
        let _ = with_timeout(PATIENCE, network.stack.settled()).await;
    }
}

/// The names of what is counted, a line each.
const COUNTERS: &str = "\
    received\nsent\nrefused\nfailed\nbounds\ntoo_long\ntoo_many_slots\nbad_extra\ntruncated\nchecksum\nmalformed\nfragments\nforeign\n\
    backlog_full\nspurious_events\nconnections\nbroken\nquarantined";

/// Adds what the card, the stack and the grant table have counted.
pub(super) fn count(platform: &Platform, text: &mut String) {
    let Some(Interface { stack, card, grants }) = platform.network.get() else { return };
    let (card, stack) = (card.read(), stack.drops());
    let dropped = |reason| u64::from(card.dropped(reason));
    let counts = [
        card.received,
        card.sent,
        card.refused,
        dropped(Dropped::Failed),
        dropped(Dropped::Bounds),
        dropped(Dropped::TooLong),
        dropped(Dropped::TooManySlots),
        dropped(Dropped::BadExtra),
        dropped(Dropped::Truncated),
        dropped(Dropped::Checksum),
        stack.malformed.into(),
        stack.fragments.into(),
        stack.foreign.into(),
        stack.backlog_full.into(),
        card.spurious_events,
        card.connections.into(),
        card.broken.into(),
        grants.quarantined() as u64,
    ];
    for (number, count) in counts.into_iter().enumerate() {
        // A string takes what it is given.
        let _ = write!(text, "{}={count} ", line(COUNTERS, number));
    }
}
